"""A MATLAB 5 struct array decoded field by field for all its structs at once.

Only the usual layout is taken: little-endian, every array two-dimensional and nameless, text in ASCII or UTF-8.
Whatever differs raises LayoutError, so that nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from psbench_data.matlab.arrays import NUMBERS, NUMERIC_CLASSES
from psbench_data.matlab.mat5 import (
    CELL,
    CHAR,
    INT8,
    MATRIX,
    UINT8,
    UINT16,
    UTF8,
    UTF16,
    LayoutError,
    Slices,
    read_header,
)

# The tags that any two-dimensional nameless array begins with: 8 bytes of flags, 8 of dimensions, none of name.
_FLAGS, _DIMS, _NO_NAME = 0x8_0000_0006, 0x8_0000_0005, 0x0_0000_0001
_LOW = 0xFFFF_FFFF
_TEXT = range(CHAR, CHAR + 1)


def fits_int64(values: np.ndarray) -> bool:
    """Whether all numbers are finite and so small that int64 holds them and their sums."""
    return bool(((values > -(2.0**62)) & (values < 2.0**62)).all())


class Structs:
    """The structs of a vector of structs.

    Args:
        content: the bytes of its array, without the tag.

    Raises:
        LayoutError: it is no vector of structs, or in no usual layout.
        DamageError: its header is none.
    """

    def __init__(self, content: bytes) -> None:
        if len(content) % 8 or not content:
            raise LayoutError
        source = Slices(content)
        header = read_header(source)
        if not header.is_struct_vector:
            raise LayoutError
        self._fields = header.fields
        self._bytes = np.frombuffer(content, np.uint8)
        self._words = np.frombuffer(content, "<u8")
        self._starts = self._children(source.position // 8, header.children)

    def __len__(self) -> int:
        return len(self._starts) // len(self._fields)

    def texts(self, field: str) -> list[bytes]:
        """Per struct the text of a field, UTF-8, also where it is wrapped in a cell; trailing NUL dropped."""
        starts = self._unwrapped(self._column(field))
        texts = np.empty(len(starts), object)
        for group, kind, rows, columns, data in self._arrays(starts, _TEXT):
            if kind in (UINT16, UTF16) and not data.shape[1] % 2:
                # MATLAB's own characters, also under the name of plain numbers, which scipy cuts off to a byte.
                characters = np.full(len(data), data.shape[1] // 2)
                if (data.view("<u2") < 0x80).all():
                    data = np.ascontiguousarray(data[:, ::2])
                else:
                    data = np.array([text.tobytes().decode("utf-16-le").encode() for text in data])[:, None]
            elif kind == UTF8 or (kind in (INT8, UINT8) and (data < 0x80).all()):
                # All bytes of a character but its first are 0b10xxxxxx.
                characters = np.count_nonzero((data & 0xC0) != 0x80, axis=1)
            else:
                raise LayoutError
            if not data.size or (rows != 1).any() or (columns != characters).any():
                raise LayoutError
            texts[group] = data.view(f"S{data.itemsize * data.shape[1]}")[:, 0].tolist()
        return texts.tolist()

    def vectors(self, field: str, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Per struct the numbers of a field: either `length` of them or none.

        Returns:
            The numbers, (n, length) int64, truncated; zeros where there are none.
            Where there are numbers, (n,) bool.
        """
        starts = self._column(field)
        vectors = np.zeros((len(starts), length), np.int64)
        present = np.zeros(len(starts), bool)
        filled = np.flatnonzero(self._sizes(starts))
        for group, kind, rows, columns, data in self._arrays(starts[filled], NUMERIC_CLASSES):
            if not data.shape[1] and (rows * columns == 0).all():
                continue
            if kind not in NUMBERS or data.shape[1] != length * np.dtype(NUMBERS[kind]).itemsize:
                raise LayoutError
            values = data.view(NUMBERS[kind])
            if not (np.minimum(rows, columns) == 1).all() or not (np.maximum(rows, columns) == length).all():
                raise LayoutError
            if not fits_int64(values):
                raise LayoutError
            vectors[filled[group]] = values.astype(np.int64)
            present[filled[group]] = True
        return vectors, present

    def _children(self, first: int, count: int) -> np.ndarray:
        """The word that each child begins at: `count` children that fill the array from word `first` to its end.

        An array begins with its tag and that of its flags, or is a tag alone. Those within another are passed over, and
        what is left must be a chain without gaps: then it is the only one, whatever the data look like.
        """
        words = self._words[first:]
        opens: np.ndarray = words == MATRIX
        opens[:-1] |= ((words[:-1] & _LOW) == MATRIX) & (words[1:] == _FLAGS)
        starts = np.flatnonzero(opens) + first
        sizes = self._sizes(starts)
        ends = starts + 1 + sizes // 8
        outer = np.ones(len(starts), bool)
        outer[1:] = starts[1:] >= np.maximum.accumulate(ends)[:-1]
        starts, sizes, ends = starts[outer], sizes[outer], ends[outer]
        chain = np.concatenate([[first], ends])
        if len(starts) != count or chain[-1] != len(self._words) or (chain[:-1] != starts).any() or (sizes % 8).any():
            raise LayoutError
        return starts

    def _column(self, field: str) -> np.ndarray:
        if field not in self._fields:
            raise LayoutError
        return self._starts[self._fields.index(field) :: len(self._fields)]

    def _sizes(self, starts: np.ndarray) -> np.ndarray:
        return (self._words[starts] >> 32).astype(np.int64)

    def _heads(self, starts: np.ndarray) -> np.ndarray:
        """The seven words, (n, 7), that an array which is not empty begins with: tag, flags, dimensions, name."""
        if (self._sizes(starts) < 48).any():
            raise LayoutError
        heads = self._words[starts[:, None] + np.arange(7)]
        if (heads[:, [1, 3, 5]] != np.array([_FLAGS, _DIMS, _NO_NAME], np.uint64)).any():
            raise LayoutError
        return heads

    def _unwrapped(self, starts: np.ndarray) -> np.ndarray:
        """The arrays themselves where some are the one element of a cell."""
        heads = self._heads(starts)
        wrapped = (heads[:, 2] & _LOW) == CELL
        if not wrapped.any():
            return starts
        inner = heads[wrapped, 6]
        if (
            (heads[wrapped, 4] != 0x1_0000_0001).any()
            or ((inner & _LOW) != MATRIX).any()
            or ((inner >> 32) + 48 != heads[wrapped, 0] >> 32).any()
        ):
            raise LayoutError
        return starts + np.where(wrapped, 6, 0)

    def _arrays(
        self, starts: np.ndarray, classes: range
    ) -> Iterator[tuple[np.ndarray, int, np.ndarray, np.ndarray, np.ndarray]]:
        """The arrays in groups of one type and size: which, the type, rows (m,), columns (m,), data (m, bytes)."""
        heads = self._heads(starts)
        flags = heads[:, 2] & _LOW
        if ((flags < classes.start) | (flags >= classes.stop)).any():
            raise LayoutError
        rows, columns = (heads[:, 4] & _LOW).astype(np.int64), (heads[:, 4] >> 32).astype(np.int64)
        tags = heads[:, 6]
        small = (tags & _LOW) > 0xFFFF
        kinds = np.where(small, tags & 0xFFFF, tags & _LOW).astype(np.int64)
        sizes = np.where(small, (tags & _LOW) >> 16, tags >> 32).astype(np.int64)
        if (sizes[small] > 4).any() or (48 + np.where(small, 0, sizes + -sizes % 8) != self._sizes(starts)).any():
            raise LayoutError
        places = np.where(small, starts * 8 + 52, starts * 8 + 56)
        groups, members = np.unique(sizes << 32 | kinds, return_inverse=True)
        for i, key in enumerate(groups.tolist()):
            group = np.flatnonzero(members == i)
            data = self._bytes[places[group, None] + np.arange(key >> 32)]
            yield group, key & _LOW, rows[group], columns[group], data
