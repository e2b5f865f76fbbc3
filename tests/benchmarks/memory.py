"""How much memory work takes, as Linux tells it, and a process in which nothing else has taken any."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def resident() -> float:
    """GiB, now."""
    return _status("VmRSS")


def peak_gib(work: Callable[[], object]) -> float:
    """The most that is resident while it runs, operands and all."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    work()
    return _status("VmHWM")


def in_new_process(work: Callable[..., T], *arguments: object) -> T:
    """Do something where nothing that went before has left memory behind; `work` is of the top of a module."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 2**20
