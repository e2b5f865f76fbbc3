"""What a part of the measurements hands over, and what it was measured on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch

from psbench.efficiency.computing import wait_for
from psbench.hardware import device_name, versions


@dataclass
class Result:
    """What came out of a part.

    Attributes:
        method: how the figures were taken, in words.
        figures: plain values.
        lines: of the table that is printed last.
        faults: what is not as it must be; none is a success.
        files: to keep besides the figures, by name.
    """

    method: str
    figures: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def tell(self, line: str) -> None:
        """Add a line to the table, and show it now."""
        self.lines.append(line)
        print(line, flush=True)

    def write(self, part: str, device: str, folder: Path) -> None:
        """PART.json, which says what was measured, how, on what and when; and the files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        told = {"part": part, **surroundings(device), "method": self.method, "faults": self.faults}
        text = json.dumps(told | {"figures": self.figures}, indent=1)
        (folder / f"{part}.json").write_text(text + "\n", encoding="utf-8")


def surroundings(device: str) -> dict[str, Any]:
    """The date, the device by its own name, and the versions."""
    return {"date": date.today().isoformat(), "device": device_name(torch.device(device)), "versions": versions()}


def seconds(work: Callable[[], object], device: str, rounds: int = 5) -> float:
    """The least of some rounds after one to warm up, each waited for."""
    taken = []
    for _ in range(rounds + 1):
        wait_for(torch.device(device))
        start = time.perf_counter()
        work()
        wait_for(torch.device(device))
        taken.append(time.perf_counter() - start)
    return min(taken[1:])
