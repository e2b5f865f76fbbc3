"""How large the columns of a Parquet file become, by what stands beside their pages: nothing of them is unfolded.

pyarrow tells sizes out of the end of the file alone, which may say anything, and ends the process where some of that
cannot be right. So the headers are read here: at the end of the file where each column's pages are, at each page its
size and number of values. They are written in Thrift's compact protocol (apache/parquet-format, `parquet.thrift`;
apache/thrift, `thrift-compact-protocol.md`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

_MAGIC = b"PAR1"
_HEADER = 2**16
"""Bytes in which the header of a page is looked for; statistics in it may be long."""
_DEEPEST = 32
_WIDTHS = {2: 8, 5: 8}
"""Bytes of a value of the types INT64 and DOUBLE; of the others four are counted."""
_PAGES_WITH_VALUES = (5, 8)
"""Fields of a page's header: data of version 1, and of version 2."""


_SMALL = 2**26
_MOST_EXPANSION = 200


class Chunk(NamedTuple):
    """The pages of one column in one group of rows.

    Attributes:
        column: the name of the column; of nested ones, of the outermost.
        start, stop: where the pages begin and end in the file.
        values: how many there are, as the end of the file says.
        width: bytes of one.
    """

    column: str
    start: int
    stop: int
    values: int
    width: int


def bytes_in_memory(path: Path, names: Collection[str]) -> int:
    """What some columns take when they are read, at least.

    Args:
        path: of the file.
        names: of the columns; those that are not there take nothing.

    Raises:
        ValueError: the headers cannot be read.
        OSError: the file cannot be.
    """
    try:
        with path.open("rb") as file:
            return sum(_unfolded(file, chunk) for chunk in _chunks(file) if chunk.column in names)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"its headers are not those of a Parquet file ({error!r})") from None


def most_bytes(path: Path) -> int:
    """What a file may take in memory: little, or 200 times its size, as computed floats and drawn galleries hardly
    compress at all."""
    return max(_SMALL, _MOST_EXPANSION * path.stat().st_size)


def _chunks(file: IO[bytes]) -> list[Chunk]:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or length + 12 > size:
        raise ValueError("its end is not that of a Parquet file")
    file.seek(size - 8 - length)
    groups = _Reader(file.read(length)).struct().get(4, [])
    return [_chunk(column[3]) for group in groups for column in group[1]]


def _chunk(column: dict[int, Any]) -> Chunk:
    # Of a column without rows there are no pages, and nothing but a nought says so.
    start = min((place for place in (column[9], column.get(11)) if place), default=0)
    name = column[3][0].decode("utf-8", "replace")
    return Chunk(name, start, start + column[7], column[5], _WIDTHS.get(column[1], 4))


def _unfolded(file: IO[bytes], chunk: Chunk) -> int:
    total, seen, at = 0, 0, chunk.start
    # As pyarrow reads them: until there are enough values, whatever follows.
    while seen < chunk.values and at < chunk.stop:
        file.seek(at)
        reader = _Reader(file.read(_HEADER))
        header = reader.struct()
        values = sum(header[kind][1] for kind in _PAGES_WITH_VALUES if kind in header)
        if min(header[2], header[3], values) < 0:
            raise ValueError("a page of less than nothing")
        total += max(header[2], values * chunk.width)
        seen += values
        at += reader.at + header[3]
    return max(total, chunk.values * chunk.width)


class _Reader:
    """Reads Thrift's compact protocol, numbers and bytes as they are, structs as dicts by the numbers of their fields.

    Attributes:
        at: how far it has come.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields of a struct."""
        found: dict[int, Any] = {}
        field = 0
        while byte := self._byte():
            kind = byte & 15
            field = field + (byte >> 4) if byte >> 4 else self._zigzag()
            # Of a truth value that is a field, the type says which.
            found[field] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("structs in structs without end")
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._varint())
        if kind in (9, 10):
            byte = self._byte()
            count = self._varint() if byte >> 4 == 15 else byte >> 4
            return [self._value(byte & 15, depth + 1) for _ in self._times(count)]
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError(f"a value of the unknown type {kind}")

    def _times(self, count: int) -> Iterator[int]:
        """As often as a list says that it goes on, if there can be so much of it."""
        if count > len(self._content) - self.at:
            raise ValueError("a list that is longer than the file")
        yield from range(count)

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _bytes(self, count: int) -> bytes:
        if self.at + count > len(self._content):
            raise ValueError("it ends too soon")
        self.at += count
        return self._content[self.at - count : self.at]

    def _varint(self) -> int:
        number, shift = 0, 0
        while (byte := self._byte()) & 128:
            number |= (byte & 127) << shift
            if (shift := shift + 7) > 63:
                raise ValueError("a number without end")
        return number | byte << shift

    def _zigzag(self) -> int:
        number = self._varint()
        return number >> 1 ^ -(number & 1)
