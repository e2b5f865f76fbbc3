"""Files and folders that one process at a time holds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from psbench_data import InputError

_EVERY = 0.1
"""Seconds between two tries."""
_PATIENCE = 10.0
"""Seconds in which the workers of a process that was killed have noticed it, and let go of its folder."""


@contextmanager
def at_work(folder: Path, *, what: str) -> Iterator[None]:
    """Make a folder, if it is not there, and keep other processes out that want to work in it.

    One that was made, and in which nothing came to be, is removed.

    Args:
        folder: that is filled.
        what: is done there, with an article: "a training".

    Raises:
        InputError: it cannot be made, another process is at work in it, or somebody removed it meanwhile.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}). Give one in a writable place.") from error
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        # Systems that do not open folders have no such locks either.
        yield
        return
    try:
        if not hold(descriptor, patience=_PATIENCE):
            raise InputError(f"{folder}: {what} is at work here already. Wait for it, or give another folder.")
        try:
            yield
            if not _is_at(folder, descriptor):
                raise InputError(f"{folder}: was removed while {what} was at work here. Give the same command again.")
        finally:
            if made:
                with suppress(OSError):
                    folder.rmdir()
            let_go(descriptor)
    finally:
        os.close(descriptor)


def _is_at(folder: Path, descriptor: int) -> bool:
    """Whether a folder is still the one that was opened."""
    with suppress(OSError):
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    return False


def hold(file: IO[Any] | int, *, patience: float) -> bool:
    """Take a file's lock, which goes with the process, however that ends; some systems and file systems have none.

    Args:
        file: open, or the descriptor of what is; `let_go` before it is closed.
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


def let_go(file: IO[Any] | int) -> None:
    """Give the lock back; closing the file does not, as long as a process that was started meanwhile has it open."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)
    except (ImportError, OSError):
        pass
