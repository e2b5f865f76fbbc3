"""Calls, each waited for: how long they take, and in how much memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from psbench.efficiency.computing import PeakMemory, wait_for
from psbench.efficiency.result import Timing, Way

B = TypeVar("B")


@dataclass(frozen=True)
class Stopwatch:
    """Times calls that take a batch and give the number of people of each of its images.

    Attributes:
        device: that is waited for.
        what: is timed, in words, for the progress bar; None shows none.
    """

    device: torch.device
    what: str | None = None

    def one_by_one(self, run: Callable[[B], list[int]], batches: Sequence[B], number: int, way: Way) -> Timing:
        """Time the last `number` calls, none of which begins before the one before has ended."""
        with PeakMemory(self.device) as memory:
            taken = [self.seconds(run, batch) for batch in self._shown(batches, way)][-number:]
        seconds = np.array([of_call for of_call, _ in taken])
        people = [found for _, found in taken]
        spread = float(np.median(seconds)), float(np.percentile(seconds, 95))
        return _timing(way, 0, people, float(seconds.sum()), spread, memory.bytes)

    def overlapping(
        self, run: Callable[[B], list[int]], batches: Iterable[B], number: int, way: Way, workers: int
    ) -> Timing:
        """Time the last `number` calls of a loop over batches that so many workers make meanwhile.

        At least one comes before them: the end of the one before is where the clock starts.
        """
        people, ends = [], []
        with PeakMemory(self.device) as memory:
            for batch in self._shown(batches, way):
                people.append(run(batch))
                wait_for(self.device)
                ends.append(time.perf_counter())
        return _timing(way, workers, people[-number:], ends[-1] - ends[-number - 1], None, memory.bytes)

    def seconds(self, run: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
        """Of one call, and what came of it."""
        wait_for(self.device)
        start = time.perf_counter()
        result = run(*arguments)
        wait_for(self.device)
        return time.perf_counter() - start, result

    def _shown(self, batches: Iterable[B], way: Way) -> Iterable[B]:
        return tqdm(batches, desc=f"{self.what}, {way}", unit="batch", leave=False, disable=self.what is None)


def _timing(
    way: Way, workers: int, people: list[list[int]], seconds: float, spread: tuple[float, float] | None, memory: int
) -> Timing:
    """Of calls that took so long together, with the people of each image of each; median and 95th percentile."""
    of_images = [number for of_call in people for number in of_call]
    return Timing(
        way=way,
        batch=len(people[0]),
        workers=workers,
        images=len(of_images),
        images_per_second=len(of_images) / seconds,
        median=spread[0] if spread else None,
        p95=spread[1] if spread else None,
        people=float(np.mean(of_images)),
        memory=memory,
    )
