"""Readers that do what none may, by which tests see that the harness notices."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from psbench_data import InputError
from tests.reliability.fuzz.target import Target

_SOUND = b"0 1 2 3\n" * 9


def write(folder: Path) -> None:
    (folder / "sound.txt").write_bytes(_SOUND)


def _content(folder: Path) -> bytes | None:
    """What stands in the file, None where that is what was written."""
    path = folder / "sound.txt"
    content = path.read_bytes() if path.is_file() else b""
    return None if content == _SOUND else content


def _toy(name: str, act: Callable[[], object]) -> Target:
    def read(folder: Path) -> None:
        if _content(folder) is not None:
            act()

    return Target(name, write, ("sound.txt",), read, memory=64)


def _endless() -> None:
    while True:
        pass


def _deep() -> None:
    _deep()


def _hungry() -> None:
    np.zeros(1 << 30, np.uint8)


def _refuse(fault: str) -> None:
    """With a fault as it is given: what InputError makes of one is not in question here."""
    error = InputError("")
    error.faults, error.args = [fault], (fault,)
    raise error


def _hungry_in_secret() -> None:
    try:
        _hungry()
    except MemoryError as error:
        raise InputError("sound.txt: too large.") from error


TOYS: dict[str, tuple[Callable[[], object], str, str]] = {
    "endless": (_endless, "hang", "toys.py"),
    "endless in C": (lambda: max(iter(int, 1)), "hang", "toys.py"),
    "hungry": (_hungry, "memory", "_hungry"),
    "hungry in secret": (_hungry_in_secret, "memory", "_hungry"),
    "KeyError": (lambda: {}["key"], "exception", "KeyError"),
    "RecursionError": (_deep, "exception", "RecursionError"),
    "abort": (os.abort, "death", "SIGABRT"),
    "exit": (lambda: os._exit(3), "death", "exit 3"),
    "warning": (lambda: warnings.warn("said", RuntimeWarning, stacklevel=1), "warning", "RuntimeWarning"),
    "print": (lambda: print("a line", flush=True), "output", "prints"),
    "no file named": (lambda: _refuse("something is wrong"), "message", "names no file"),
    "terminal escape": (lambda: _refuse("sound.txt: \x1b[31m"), "message", "control"),
    "endless message": (lambda: _refuse("sound.txt: " + "x" * 30_000), "message", "too long"),
    "right": (lambda: _refuse("sound.txt: not as it should be."), "refused", ""),
}
"""Readers of damaged files: what they do, and what the harness is to make of it."""
TARGETS = tuple(_toy(name, act) for name, (act, _, _) in TOYS.items())
