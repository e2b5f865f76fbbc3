"""The pictures of pieces, decoded ahead, in batches of one size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypedDict

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from psbench.inference.work import Piece, Work
from psbench.zoo.images import image_tensor
from psbench_data import InputError, Scene, Scenes


class PictureBatch(TypedDict):
    """Pictures of one piece.

    `piece` is its place in the list of pieces, `rows` are counted from its start, `images` (3, H, W) uint8 each, all of
    one size. With `faults`, pictures that do not decode are missing among the images.
    """

    piece: int
    rows: list[int]
    images: list[Tensor]
    faults: list[str]


class _Place(NamedTuple):
    piece: int
    row: int
    scene: int


class _Pictures(Dataset[Any]):
    def __init__(self, scenes: Scenes) -> None:
        self._scenes = scenes

    def __getitem__(self, place: _Place) -> dict[str, Any]:
        try:
            return {"place": place, "image": image_tensor(self._scenes[place.scene])}
        except InputError as error:
            # As a value: what is raised in a worker reaches the main process wrapped in a traceback.
            return {"place": place, "fault": str(error)}


def picture_batches(
    work: Work, pieces: Sequence[Piece], *, batch_size: int, workers: int, pinned: bool
) -> DataLoader[PictureBatch]:
    """The pictures of the pieces, one piece after the other.

    Args:
        work: that the pieces are of.
        pieces: which, and in which order.
        batch_size: pictures of a batch, at most; only such of exactly one size, so that none is padded.
        workers: processes that decode; 0 decodes in this one.
        pinned: whether in memory from which a GPU copies by itself.
    """
    return DataLoader(
        _Pictures(work.scenes),
        batch_sampler=_equal_sizes(work, pieces, batch_size),
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pinned,
        # The loader draws a seed even where nothing is random; not out of the generator that training goes on with.
        generator=torch.Generator(),
    )


def _equal_sizes(work: Work, pieces: Sequence[Piece], batch_size: int) -> Iterator[list[_Place]]:
    for number, piece in enumerate(pieces):
        by_size: dict[tuple[int, int] | None, list[_Place]] = {}
        for row, scene in enumerate(work.positions(piece)):
            size = _size(work.scenes[scene]) if batch_size > 1 else None
            by_size.setdefault(size, []).append(_Place(number, row, scene))
        for places in by_size.values():
            for start in range(0, len(places), batch_size):
                yield places[start : start + batch_size]


def _size(scene: Scene) -> tuple[int, int] | None:
    """Of the file itself: what an annotation says of it may be wrong. None if it cannot be told."""
    try:
        with Image.open(scene.path) as image:
            return image.size
    # Decoding will say what is wrong with the file.
    except Exception:
        return None


def _collate(samples: list[dict[str, Any]]) -> PictureBatch:
    return {
        "piece": samples[0]["place"].piece,
        "rows": [sample["place"].row for sample in samples],
        "images": [sample["image"] for sample in samples if "image" in sample],
        "faults": [sample["fault"] for sample in samples if "fault" in sample],
    }
