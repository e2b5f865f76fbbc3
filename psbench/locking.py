"""Files that one process at a time holds."""

from __future__ import annotations

import time
from typing import IO, Any

_EVERY = 0.1
"""Seconds between two tries."""


def hold(file: IO[Any], *, patience: float) -> bool:
    """Take a file's lock, which goes with the process, however that ends; some systems and file systems have none.

    Args:
        file: open; `let_go` before it is closed.
        patience: seconds to wait for others. What a killed process started (workers that decode) holds its locks for a
            few seconds more.

    Returns:
        False if another process still holds it.
    """
    end = time.monotonic() + patience
    while True:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_EVERY)
        except (ImportError, OSError):
            return True
        else:
            return True


def let_go(file: IO[Any]) -> None:
    """Give the lock back; closing the file does not, as long as a process that was started meanwhile has it open."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)
    except (ImportError, OSError):
        pass
