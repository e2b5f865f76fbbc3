"""Several commands in one folder: what one of them is making, the others wait for."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psbench.locking import hold, let_go
from psbench_data import InputError


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process is in such a block of the same name, and be there alone.

    Args:
        path: of a file, made if it is not there. The lock goes with the process, however that ends.

    Raises:
        InputError: there can be no such file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be made ({error}). Give a folder in a writable place.") from error
    with file:
        if not hold(file, patience=0):
            print(f"waiting for another command, which is making {path.name}", file=sys.stderr, flush=True)
            hold(file, patience=math.inf)
        try:
            yield
        finally:
            let_go(file)
