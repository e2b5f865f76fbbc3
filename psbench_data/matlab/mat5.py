"""The parts that MATLAB 5 files are made of.

Format: "MAT-File Format" (The MathWorks). A file is a header of 128 bytes and then one element a variable. An element
is a tag (type, number of bytes) and its bytes; an array is an element (miMATRIX) made of elements: flags, dimensions,
name, then what it holds. Up to four bytes may sit in the tag itself ("small" elements).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Protocol

# Types of elements.
INT8, UINT8, UINT16, INT32, UINT32, DOUBLE, MATRIX, COMPRESSED, UTF8, UTF16 = 1, 2, 4, 5, 6, 9, 14, 15, 16, 17
# Classes of arrays; those up to 15 that are not here are numeric.
CELL, STRUCT, OBJECT, CHAR, SPARSE, DOUBLES, OPAQUE = 1, 2, 3, 4, 5, 6, 17

FILE_HEADER_SIZE = 128
FILE_HEADER_END = b"\x00\x01IM"  # version 1.0, little-endian
_MOST_NUMBERS = 1 << 40
_LARGEST_PART = 1 << 20  # of an array's header; only a damaged one has more


class LayoutError(Exception):
    """A layout that is not recognised for sure; `arrays.decode` knows more of them."""


class DamageError(Exception):
    """Bytes that no writer of MATLAB 5 files would leave."""


class Bytes(Protocol):
    """Whatever hands out bytes in order."""

    def read(self, size: int, /) -> bytes:
        """Exactly `size` bytes; raises DamageError where there are fewer."""


@dataclass(frozen=True)
class ArrayHeader:
    """What precedes the content of an array.

    Attributes:
        kind: the MATLAB class, such as STRUCT.
        dims: its dimensions; empty where the class has none.
        name: the variable's name; empty inside a struct or cell.
        fields: the names of a struct's fields.
    """

    kind: int
    dims: tuple[int, ...]
    name: str
    fields: tuple[str, ...]

    @property
    def is_struct_vector(self) -> bool:
        """Whether this is an array of structs along one dimension, so that their order is beyond doubt."""
        along_one = 0 in self.dims or math.prod(self.dims) == max(self.dims)
        return self.kind == STRUCT and along_one and 0 < len(self.fields) == len(set(self.fields))

    @property
    def children(self) -> int:
        """The number of arrays that a struct array or cell is made of."""
        return math.prod(self.dims) * {CELL: 1, STRUCT: len(self.fields), OBJECT: len(self.fields)}.get(self.kind, 0)

    def require_room(self, size: int) -> None:
        """Raise DamageError where `size` bytes cannot be what the numbers promise: readers allocate by the numbers."""
        promised = max(self.children, math.prod(self.dims) if self.kind in (CELL, STRUCT, OBJECT) else 0)
        if promised * 8 > size:
            raise DamageError(f"{promised:,} arrays cannot be in {size:,} bytes")


def read_header(source: Bytes) -> ArrayHeader:
    """Read the header of an array; `source` is then at its content."""
    flags = _header_part(source)
    if len(flags) != 8:
        raise DamageError("an array has no header")
    kind = flags[0]
    if kind == OPAQUE:
        return ArrayHeader(kind, (), "", ())
    packed = _header_part(source)
    dims = struct.unpack(f"<{len(packed) // 4}i", packed[: len(packed) // 4 * 4])
    # An empty array may have any length along its other dimensions, but numpy counts those too.
    if len(dims) < 2 or min(dims) < 0 or math.prod(max(dim, 1) for dim in dims) > _MOST_NUMBERS:
        raise DamageError(f"an array has the dimensions {dims}")
    name = _header_part(source).decode("latin1")
    if kind not in (STRUCT, OBJECT):
        return ArrayHeader(kind, dims, name, ())
    if kind == OBJECT:
        _header_part(source)  # the name of its class
    length, names = int.from_bytes(_header_part(source), "little"), _header_part(source)
    if names and (not length or len(names) % length):
        raise DamageError("a struct's fields have no names")
    fields = tuple(names[i : i + length].split(b"\0")[0].decode("latin1") for i in range(0, len(names), length or 1))
    return ArrayHeader(kind, dims, name, fields)


def read_element(source: Bytes, largest: int) -> tuple[int, bytes]:
    """Read an element: its type and at most `largest` bytes of data."""
    tag = source.read(8)
    kind, size = struct.unpack("<II", tag)
    if kind >> 16:
        return kind & 0xFFFF, tag[4 : 4 + (kind >> 16)]
    if size > largest:
        raise DamageError(f"{size:,} bytes cannot be in {largest:,}")
    return kind, source.read(size + -size % 8)[:size]


def _header_part(source: Bytes) -> bytes:
    return read_element(source, _LARGEST_PART)[1]


def read_matrix_size(source: Bytes) -> int:
    """Read the tag of an array: the number of bytes that follow."""
    kind, size = struct.unpack("<II", source.read(8))
    if kind != MATRIX:
        raise DamageError(f"an array was expected where type {kind} is")
    return int(size)


def array_header(kind: int, dims: tuple[int, int], name: str = "") -> bytes:
    """The header of an array that is no struct, without the tag."""
    return struct.pack("<IIIIIIii", UINT32, 8, kind, 0, INT32, 8, *dims) + element(INT8, name.encode("latin1"))


def struct_header(dims: tuple[int, int], fields: tuple[str, ...], name: str = "") -> bytes:
    """The header of a struct array, without the tag."""
    length = 1 + max(map(len, fields), default=0)
    names = b"".join(field.encode("latin1").ljust(length, b"\0") for field in fields)
    return array_header(STRUCT, dims, name) + element(INT32, length.to_bytes(4, "little")) + element(INT8, names)


def matrix(*parts: bytes) -> bytes:
    """An array: its header and its content behind their tag."""
    return struct.pack("<II", MATRIX, sum(map(len, parts))) + b"".join(parts)


def element(kind: int, data: bytes) -> bytes:
    """An element of an array, as short as it can be and a multiple of 8 bytes."""
    if 0 < len(data) <= 4:
        return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


class Slices:
    """Bytes at hand, handed out in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def read(self, size: int) -> bytes:
        data = self._data[self.position : self.position + size]
        if len(data) < size:
            raise DamageError("an array is longer than the one that holds it")
        self.position += size
        return data

    @property
    def left(self) -> int:
        """The number of bytes that are left."""
        return len(self._data) - self.position
