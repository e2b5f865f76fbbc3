"""Python's own operations on files below a folder, counted, and a process that kills itself just before one of them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

COUNTED = "operations.txt"
"""What they are counted in, a byte each, beside the folder."""
_CHANGING = ("os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate")


def count_operations(folder: Path, *, last: int | None, group: bool) -> None:
    """Count what this process does with files from here on.

    Args:
        folder: in which.
        last: the operation, counted from 1, that it does not come to; None if it is not to be killed.
        group: whether its whole group is killed with it.
    """
    # Nothing is left to do at the moment itself but to count and to kill.
    counter = os.open(folder.parent / COUNTED, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    process, seen = os.getpid(), 0

    def see(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in _CHANGING and not (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        path = arguments[0]
        if not isinstance(path, str | bytes | os.PathLike) or os.getpid() != process:
            return
        if not Path(os.fsdecode(path)).absolute().is_relative_to(folder):
            return
        seen += 1
        os.write(counter, b".")
        if seen == last:
            (os.killpg if group else os.kill)(process, signal.SIGKILL)

    sys.addaudithook(see)
