"""The pictures of pieces, decoded ahead, in batches of one size."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import chain, groupby, islice, tee
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from psbench.inference.ahead import made_ahead
from psbench.processes import decoding_workers, images_at_once, this_process, while_memory_lasts
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


class _Place(NamedTuple):
    piece: int
    row: int
    scene: int


class _Batch(NamedTuple):
    """Pictures as they are decoded, in uint8, each or else what is wrong with it."""

    places: list[_Place]
    decoded: list[Tensor | InputError]


def over_pictures(
    scenes: Scenes,
    pieces: Sequence[Sequence[int]],
    run: Callable[[Pictures], Sequence[R]],
    done: Callable[[int, list[R]], None],
    *,
    batch_size: int | None = None,
    workers: int | None = None,
) -> None:
    """Run something over the pictures of pieces, one piece after the other, in full precision.

    Where the device's memory does not suffice for a batch, its halves run one after the other, and so do all after it.

    Args:
        scenes: that the pieces are of.
        pieces: the positions of each one's scenes, at least one.
        run: gives a result for each of some pictures.
        done: takes each piece's place in the list, and its results in the order of its scenes; then they are let go.
        batch_size: pictures at once, at most; only such of exactly one size are, so that none is padded. By default 8
            on a GPU, else 1.
        workers: threads that decode; 0 decodes in this one. By default 4 beside a GPU, else 0.

    Raises:
        InputError: at the end of a piece, naming all its pictures that do not decode; one picture is too much for the
            device's memory.
    """
    device = this_process().device
    most = images_at_once(device) if batch_size is None else batch_size
    with closing(_batches(scenes, pieces, most, workers, device)) as batches:
        for piece, of_piece in groupby(batches, key=lambda batch: batch.places[0].piece):
            results, faults = dict[int, R](), list[str]()
            for places, decoded in of_piece:
                faults += [fault for one in decoded if isinstance(one, InputError) for fault in one.faults]
                if faults:
                    continue
                images = [to_float(one.to(device, non_blocking=True)) for one in decoded if isinstance(one, Tensor)]
                rows = [place.row for place in places]
                found, most = _in_parts(run, Pictures(piece, rows, images), most, device)
                results |= zip(rows, found, strict=True)
            if faults:
                raise InputError(faults)
            done(piece, [results[row] for row in range(len(results))])


def _in_parts(
    run: Callable[[Pictures], Sequence[R]], pictures: Pictures, most: int, device: torch.device
) -> tuple[list[R], int]:
    """What `run` gives for pictures, so many at once as the device's memory suffices for; and how many those are.

    Raises:
        InputError: it does not suffice for one.
    """
    piece, rows, images = pictures
    if len(rows) <= most:
        # Not with the rounding of a training that this may be called from.
        with torch.autocast(device.type, enabled=False):
            found = while_memory_lasts(run, pictures)
        if found is not None:
            return list(found), most
        if len(rows) == 1:
            height, width = images[0].shape[1:]
            raise InputError(
                f"the memory of {device} does not suffice for one image of {height}x{width} pixels. Free it of other "
                "programs, take a device with more, or a model that makes images smaller (min_size, max_size)."
            )
        most = len(rows) // 2
    middle, results = len(rows) // 2, list[R]()
    for half in (slice(middle), slice(middle, None)):
        found, most = _in_parts(run, Pictures(piece, rows[half], images[half]), most, device)
        results += found
    return results, most


def _batches(
    scenes: Scenes, pieces: Sequence[Sequence[int]], most: int, workers: int | None, device: torch.device
) -> Generator[_Batch]:
    workers = decoding_workers(device) if workers is None else workers

    def decoded(place: _Place) -> Tensor | InputError:
        try:
            image = image_tensor(scenes[place.scene])
        except InputError as error:
            return error
        return image.pin_memory() if device.type == "cuda" else image

    planned, again = tee(_equal_sizes(scenes, pieces, most))
    images = made_ahead(decoded, chain.from_iterable(again), workers=workers, waiting=2 * max(most, workers))
    with closing(images):
        for places in planned:
            yield _Batch(places, list(islice(images, len(places))))


def of_queries(
    scenes: Scenes, positions: np.ndarray, boxes: np.ndarray, run: Callable[[Tensor, Tensor], R], *, workers: int | None
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

    def keep(_: int, found: list[R]) -> None:
        results.extend(found)

    over_pictures(scenes, [distinct.tolist()], run_one, keep, batch_size=1, workers=workers)
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
