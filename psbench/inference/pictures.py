"""The pictures of pieces, decoded ahead, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypedDict, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from psbench.processes import this_process
from psbench.zoo.images import image_tensor, to_float
from psbench_data import InputError, Scenes

R = TypeVar("R")


class Pictures(NamedTuple):
    """Pictures of one piece.

    Attributes:
        piece: its place in the list of pieces.
        rows: counted from the piece's start.
        images: (3, H, W) float32 in [0, 1] each, on the process's device, all of one size.
    """

    piece: int
    rows: list[int]
    images: list[Tensor]


class _Batch(TypedDict):
    """`Pictures` as they are decoded, in uint8. With `faults`, some are missing among the images."""

    piece: int
    rows: list[int]
    images: list[Tensor]
    faults: list[str]


class _Place(NamedTuple):
    piece: int
    row: int
    scene: int


class _Decoded(Dataset[Any]):
    def __init__(self, scenes: Scenes) -> None:
        self._scenes = scenes

    def __getitem__(self, place: _Place) -> dict[str, Any]:
        try:
            return {"place": place, "image": image_tensor(self._scenes[place.scene])}
        except InputError as error:
            # As a value: what is raised in a worker reaches the main process wrapped in a traceback.
            return {"place": place, "fault": str(error)}


def over_pictures(
    scenes: Scenes,
    pieces: Sequence[Sequence[int]],
    run: Callable[[Pictures], Sequence[R]],
    done: Callable[[int, list[R]], None],
    *,
    batch_size: int = 1,
    workers: int = 0,
) -> None:
    """Run something over the pictures of pieces, one piece after the other, in full precision.

    Args:
        scenes: that the pieces are of.
        pieces: the positions of each one's scenes, at least one.
        run: gives a result for each of some pictures.
        done: takes each piece's place in the list, and its results in the order of its scenes; then they are let go.
        batch_size: pictures at once, at most; only such of exactly one size are, so that none is padded.
        workers: processes that decode; 0 decodes in this one.

    Raises:
        InputError: at the end of a piece, naming all its pictures that do not decode.
    """
    device = this_process().device
    loader: DataLoader[_Batch] = DataLoader(
        _Decoded(scenes),
        batch_sampler=_equal_sizes(scenes, pieces, batch_size),
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=device.type == "cuda",
        # The loader draws a seed even where nothing is random; not out of the generator that training goes on with.
        generator=torch.Generator(),
    )
    for piece, batches in groupby(loader, key=lambda batch: batch["piece"]):
        results, faults = dict[int, R](), list[str]()
        for batch in batches:
            faults += batch["faults"]
            if not faults:
                images = [to_float(image.to(device, non_blocking=True)) for image in batch["images"]]
                # Not with the rounding of a training that this may be called from.
                with torch.autocast(device.type, enabled=False):
                    found = run(Pictures(piece, batch["rows"], images))
                results |= zip(batch["rows"], found, strict=True)
        if faults:
            raise InputError(faults)
        done(piece, [results[row] for row in range(len(results))])


def of_queries(
    scenes: Scenes, positions: np.ndarray, boxes: np.ndarray, run: Callable[[Tensor, Tensor], R], *, workers: int = 0
) -> tuple[list[R], Tensor]:
    """Run something over queries, scene after scene, so that each is decoded once.

    Args:
        scenes: that the queries are cut from.
        positions: (Q,) the scene of each.
        boxes: (Q, 4) float32, xyxy, pixels.
        run: gives one result for the image and the boxes (n, 4) of n queries in it.
        workers: as in `over_pictures`.

    Returns:
        The results, and (Q,) int64: where each query stands when they are put one after the other.
    """
    distinct, order = np.unique(positions), np.argsort(positions, kind="stable")
    results: list[R] = []

    def run_one(pictures: Pictures) -> list[R]:
        (row,), (image,) = pictures.rows, pictures.images
        return [run(image, torch.from_numpy(boxes[positions == distinct[row]]).to(image.device))]

    over_pictures(scenes, [distinct.tolist()], run_one, lambda _, found: results.extend(found), workers=workers)
    return results, torch.from_numpy(np.argsort(order))


def _equal_sizes(scenes: Scenes, pieces: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[_Place]]:
    for number, positions in enumerate(pieces):
        by_size: dict[tuple[int, int] | None, list[_Place]] = {}
        for row, scene in enumerate(positions):
            size = scenes[scene].image_size() if batch_size > 1 else None
            by_size.setdefault(size, []).append(_Place(number, row, scene))
        for places in by_size.values():
            for start in range(0, len(places), batch_size):
                yield places[start : start + batch_size]


def _collate(samples: list[dict[str, Any]]) -> _Batch:
    return {
        "piece": samples[0]["place"].piece,
        "rows": [sample["place"].row for sample in samples],
        "images": [sample["image"] for sample in samples if "image" in sample],
        "faults": [sample["fault"] for sample in samples if "fault" in sample],
    }
