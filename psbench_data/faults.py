"""Collecting the faults of a file's rows, so that all of them are told at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psbench_data.errors import InputError

COPY_AGAIN = "Copy the file again from the dataset's archive."


_EXPECTED = (ValueError, TypeError, KeyError, IndexError, OverflowError)
"""What numbers, numpy and scipy raise where a field is missing or is something else."""


class RowFaults:
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
        self._path = path
        self._remedy = remedy
        self._found: list[str] = []

    def __enter__(self) -> RowFaults:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None and self._found:
            raise InputError(self._found)

    def row(self, number: int | str) -> _Row:
        """The block in which a row is parsed; rows count from 0, as in the official lists, lines from 1."""
        return _Row(self, f"row {number}" if isinstance(number, int) else number)

    def add(self, where: str, why: str) -> None:
        """Note a fault."""
        self._found.append(f"{self._path}: {where}: {why}. {self._remedy}")


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
