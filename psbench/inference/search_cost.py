"""What a query-guided search took, kept beside its predictions as cost.json."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from psbench.processes import this_process
from psbench_data import InputError
from psbench_data.atomic import new_file
from psbench_data.validation import file_error

COST = "cost.json"
Part = Literal["query", "scenes", "pairs", "reid"]
"""What seconds go to: encoding queries, encoding scenes, correlation and head of pairs, re-ID."""
_WORDS: dict[Part, str] = {
    "query": "query",
    "scenes": "encoding the scenes",
    "pairs": "correlation and head",
    "reid": "re-ID",
}


class SearchCost(BaseModel):
    """What a search took.

    Attributes:
        hardware: what one process ran on, where it was finished.
        queries, scenes: how many were encoded.
        pairs: how many were searched.
        crops: how many proposals were embedded by the re-ID network.
        seconds: that the processes spent together. Decoding images, and writing, are not counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hardware: str
    queries: int = Field(ge=0)
    scenes: int = Field(ge=0)
    pairs: int = Field(ge=0)
    crops: int = Field(default=0, ge=0)
    seconds: dict[Part, float]

    @property
    def per_pair(self) -> float:
        """Seconds of correlation and head for one pair."""
        return self.seconds["pairs"] / max(self.pairs, 1)

    def per_query(self, scenes: int = 100, *, encoded: bool = False) -> dict[Part, float]:
        """Seconds of one query, by what they are spent on.

        IGPN's paper (table 5) has 6 s for 100 scenes on a GTX 1080 Ti, and does not say whether scenes are encoded in
        that time.

        Args:
            scenes: to search in. Of re-ID, where its network was asked, the time is that of as many proposals as were
                kept in this search, whatever the number of scenes.
            encoded: the scenes are encoded already, for other queries.
        """
        queries, each = max(self.queries, 1), self.seconds["scenes"] / max(self.scenes, 1)
        parts: dict[Part, float] = {"query": self.seconds["query"] / queries}
        if not encoded:
            parts["scenes"] = scenes * each
        parts["pairs"] = scenes * self.per_pair
        if "reid" in self.seconds:
            parts["reid"] = self.seconds["reid"] / queries
        return parts

    def __str__(self) -> str:
        """Two lines: of a pair, and of a query over 100 scenes."""
        alone, among = self.per_query(), self.per_query(encoded=True)
        parts = ", ".join(f"{_WORDS[part]} {seconds:.3g} s" for part, seconds in alone.items())
        return (
            f"{self.pairs} pairs, {1000 * self.per_pair:.3g} ms each (correlation and head), on {self.hardware}\n"
            f"one query over 100 scenes: {sum(alone.values()):.3g} s ({parts}); "
            f"{sum(among.values()):.3g} s where the scenes are encoded already"
        )


class Stopwatch:
    """Adds up seconds by what they are spent on; the device is waited for, so that they are its own, too."""

    def __init__(self) -> None:
        self._device = this_process().device
        self._seconds: dict[Part, float] = {}

    @contextmanager
    def __call__(self, part: Part) -> Iterator[None]:
        """Count the time of a block."""
        self._wait()
        start = time.perf_counter()
        yield
        self._wait()
        self._seconds[part] = self._seconds.get(part, 0.0) + time.perf_counter() - start

    def take(self) -> dict[Part, float]:
        """The seconds since this was last asked."""
        taken, self._seconds = self._seconds, {}
        return taken

    def _wait(self) -> None:
        if self._device.type != "cpu":
            torch.accelerator.synchronize(self._device)


def write_cost(cost: SearchCost, folder: Path) -> None:
    """Write cost.json into the folder of predictions."""
    with new_file(folder / COST) as partial:
        partial.write_text(cost.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_cost(folder: Path) -> SearchCost:
    """What the search of a folder took.

    Raises:
        InputError: the folder does not say, or not in this form.
    """
    path = folder / COST
    if not path.is_file():
        raise InputError(f"{path}: not there. It is written by `psbench predict` for query-guided models.")
    try:
        return SearchCost.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise file_error(path, error, "Predict again.") from None
