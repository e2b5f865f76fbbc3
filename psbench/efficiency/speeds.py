"""What is timed of every model: the network alone at several batches, and from JPEG bytes to results on the host."""

from __future__ import annotations

import math
from contextlib import closing
from itertools import cycle, islice
from typing import NamedTuple, Protocol

from torch import Tensor

from psbench.efficiency.pictures import Pictures
from psbench.efficiency.result import Timing
from psbench.efficiency.settings import Settings
from psbench.efficiency.timing import Stopwatch
from psbench.inference.ahead import made_ahead
from psbench.processes import while_memory_lasts
from psbench.zoo.images import to_float
from psbench_data import InputError


class Timed(Protocol):
    """What a model does with pictures, by their numbers; both give the number of people of each."""

    def network(self, numbers: list[int]) -> list[int]:
        """From what waits on the device, made from these pictures before, to results there."""

    def whole(self, numbers: list[int], images: list[Tensor]) -> list[int]:
        """From the pictures, (3, H, W) float32 in [0, 1] on the device, to results on the host."""


class Batch(NamedTuple):
    """Pictures that were decoded, (3, H, W) uint8."""

    numbers: list[int]
    images: list[Tensor]


def speeds(
    timed: Timed, pictures: Pictures, settings: Settings, *, what: str, progress: bool
) -> tuple[tuple[Timing, ...], int | None]:
    """Time a model.

    Args:
        timed: it.
        pictures: that it is timed with.
        settings: how.
        what: it is called in the progress bar.
        progress: whether to show one.

    Returns:
        The timings, see `AtSize`, and the batch for which memory did not suffice, if there was one.

    Raises:
        InputError: it does not suffice for one image.
    """
    clock = Stopwatch(settings.device, what if progress else None)
    timings: list[Timing] = []
    too_large = None
    for batch in settings.batches:
        batches, number = _batches(pictures, batch, settings)
        timing = while_memory_lasts(clock.one_by_one, timed.network, batches, number, "network")
        if timing is None:
            too_large = batch
            break
        timings.append(timing)
    if not timings:
        raise InputError(f"{what}: one image is too much for the memory of {settings.device}. Give a smaller size.")
    best = max(timings, key=lambda timing: timing.images_per_second).batch
    for batch in sorted({1, best}):
        for workers in sorted({0, settings.workers}):
            timing = while_memory_lasts(_end_to_end, timed, pictures, batch, settings, clock, workers)
            timings += [timing] if timing else []
    return tuple(timings), too_large


def _end_to_end(
    timed: Timed, pictures: Pictures, batch: int, settings: Settings, clock: Stopwatch, workers: int
) -> Timing:
    def run(batch: Batch) -> list[int]:
        images = [to_float(image.to(settings.device, non_blocking=True)) for image in batch.images]
        return timed.whole(batch.numbers, images)

    def decoded(numbers: list[int]) -> Batch:
        images = [pictures.decoded(number) for number in numbers]
        return Batch(numbers, [image.pin_memory() for image in images] if settings.device.type == "cuda" else images)

    batches, number = _batches(pictures, batch, settings, least=min(workers, 1))
    if not workers:
        return clock.one_by_one(lambda numbers: run(decoded(numbers)), batches, number, "end to end")
    with closing(made_ahead(decoded, batches, workers=workers, waiting=2 * workers)) as ahead:
        return clock.overlapping(run, ahead, number, "end to end", workers)


def _batches(pictures: Pictures, size: int, settings: Settings, least: int = 0) -> tuple[list[list[int]], int]:
    """Batches of pictures, by their numbers, those to warm up first; and how many count.

    Of larger batches fewer warm up, as long as all sizes are among them; and at least so many.
    """
    batches = pictures.batches(size, settings.images)
    enough = max(math.ceil(settings.warm_up / size), len(pictures.mix))
    before = max(min(settings.warm_up, enough), least)
    return [*islice(cycle(batches), before), *batches], len(batches)
