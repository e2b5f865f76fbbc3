"""Collecting the faults of a file's rows, and those of several files, so that all of them are told at once."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from psbench_data.errors import InputError

COPY_AGAIN = "Copy the file again from the dataset's archive."
ONE_RELEASE = "Use the files of one release."

_EXPECTED = (ValueError, TypeError, KeyError, IndexError, OverflowError)
"""What numbers, numpy and scipy raise where a field is missing or is something else."""


@contextmanager
def told_as_input_error(path: Path) -> Iterator[None]:
    """Turn what the file system refuses within the block into an InputError, about `path` where it names no file."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{error.filename or path}: cannot be read ({error.strerror or error}). Make it readable for your account."
        ) from error


class Collected:
    """Raises, when its block ends, one InputError with the faults of all its steps.

        with Collected() as faults:
            for path in paths:
                with faults.step():
                    read(path)  # what is wrong with this file is kept, and the loop goes on

    An InputError outside of a step ends the block, and is told with the others.
    """

    def __init__(self) -> None:
        self._found: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, _: object) -> None:
        if self._found and (kind is None or isinstance(error, InputError)):
            raise InputError([*self._found, *(error.faults if error else [])]) from error

    @contextmanager
    def step(self) -> Iterator[None]:
        """A step that others do not depend on."""
        try:
            yield
        except InputError as error:
            self._found += error.faults


class RowFaults(Collected):
    """Raises, when its block ends, one InputError with the faults of all rows.

        with RowFaults(path) as faults:
            for i, row in enumerate(rows):
                with faults.row(i):
                    parse(row)  # what goes wrong in here is this row's fault, and the loop goes on

    Args:
        path: the file that the rows are of.
        remedy: what to do about a fault.
    """

    def __init__(self, path: Path, remedy: str = COPY_AGAIN) -> None:
        super().__init__()
        self._path = path
        self._remedy = remedy

    def row(self, number: int | str) -> _Row:
        """The block in which a row is parsed; rows count from 0, as in the official lists, lines from 1."""
        return _Row(self, f"row {number}" if isinstance(number, int) else number)

    def add(self, where: str, why: str) -> None:
        """Note a fault."""
        self._found.append(f"{self._path}: {where}: {why.rstrip('.')}. {self._remedy}")


@dataclass
class _Row:
    faults: RowFaults
    where: str

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, _: object) -> bool:
        if isinstance(error, _EXPECTED) and not isinstance(error, InputError):
            self.faults.add(self.where, str(error))
            return True
        return False


def require_some(found: Sized, path: Path, what: str) -> None:
    """Refuse a file that holds nothing of what it is there for; raises InputError."""
    if not found:
        raise InputError(f"{path}: holds no {what}. {COPY_AGAIN}")
