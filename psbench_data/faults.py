"""Collecting the faults of a file's rows, and those of several files, so that all of them are told at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from psbench_data.errors import InputError

COPY_AGAIN = "Copy the file again from the dataset's archive."
ONE_RELEASE = "Use the files of one release."
_TOLD_OF_A_KIND, _ROWS_NAMED = 3, 5

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


@contextmanager
def told_of(path: Path | str, instead_of: str = "") -> Iterator[None]:
    """Have every fault that is found within the block begin with a file, `instead_of` some other beginning."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {fault.removeprefix(instead_of)}" for fault in error.faults) from None


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


class FaultsByKind:
    """The faults of a file's lists by kind: of many of one kind some are told, and in which rows the others are.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kinds: dict[tuple[str, str], list[tuple[int | None, str]]] = {}

    def add(self, table: str, row: int | None, what: str, remedy: str) -> None:
        """Note a fault; those of one list that have one remedy are of one kind.

        Args:
            table: the list that it is in.
            row: counted from 0; None for the list as a whole.
            what: what is wrong, without a full stop.
            remedy: what to do, a sentence.
        """
        self._kinds.setdefault((table, remedy), []).append((row, what))

    def told(self) -> list[str]:
        """The faults as sentences: the first of every kind, so that a long list shows them all, and then the others."""
        kinds = [
            [f"{self._path}: {where}: {what}. {remedy}" for where, what in _some(table, faults)]
            for (table, remedy), faults in self._kinds.items()
        ]
        return by_turns(kinds)


def by_turns(kinds: Sequence[Sequence[str]]) -> list[str]:
    """Faults by kind, none without a fault, in one list: the first of every kind, and then the others."""
    return [kind[0] for kind in kinds] + [fault for kind in kinds for fault in kind[1:]]


def _some(table: str, faults: Sequence[tuple[int | None, str]]) -> list[tuple[str, str]]:
    """Where and what the first faults of a kind are; of more than can be read, in which rows the others are."""
    told = [(table if row is None else f"{table} {row}", what) for row, what in faults]
    rest = [row for row, _ in faults[_TOLD_OF_A_KIND:]]
    if len(rest) <= 1:
        return told
    more = f" and {len(rest) - _ROWS_NAMED:,} more" if len(rest) > _ROWS_NAMED else ""
    rows = f"{table} {', '.join(map(str, rest[:_ROWS_NAMED]))}{more}"
    return [*told[:_TOLD_OF_A_KIND], (rows, f"the same fault as {told[0][0]}")]


def require_some(found: Sized, path: Path, what: str) -> None:
    """Refuse a file that holds nothing of what it is there for; raises InputError."""
    if not found:
        raise InputError(f"{path}: holds no {what}. {COPY_AGAIN}")
