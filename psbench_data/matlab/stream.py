"""MATLAB 5 files as a stream: one struct of a struct array at a time, in little memory.

`scipy.io.loadmat` makes Python objects of the whole file, some 1 kB an array, which is too much for lists of millions.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from psbench_data.errors import InputError
from psbench_data.matlab import mat5
from psbench_data.matlab.mat5 import ArrayHeader, DamageError

_AGAIN = "Copy the file again from the dataset's archive (a download may have been cut off)."
_SAVE_AGAIN = "Use the original, or save it in MATLAB with the option -v7."
_KINDS = {b"\x00\x02IM": "a MATLAB 7.3 (HDF5) file", b"\x01\x00MI": "a MATLAB file of big-endian numbers"}
"""Files that are not read here, by the end of their header. scipy reads the second kind, and can be killed by one."""
_CHUNK = 1 << 15  # deflate makes at most 1,032 bytes of one, so at most 34 MB of this


def unreadable(path: Path, why: object) -> InputError:
    """The error for a file that is damaged, or of another kind."""
    size = path.stat().st_size if path.is_file() else 0
    return InputError(f"{path}: not a readable MATLAB 5 file ({size:,} bytes; {why}). {_AGAIN}")


def missing(path: Path, names: Sequence[str], found: Iterable[str]) -> InputError:
    """The error for a file that has none of the variables."""
    wanted = " or ".join(repr(name) for name in names)
    there = ", ".join(sorted(name for name in found if name and not name.startswith("__"))) or "nothing"
    return InputError(f"{path}: expected the variable {wanted}, found {there}. {_AGAIN}")


@dataclass(frozen=True)
class Variable:
    """The place of a variable in a file; see `find_variable`."""

    path: Path
    header: ArrayHeader
    offset: int
    size: int

    def structs(self) -> Iterator[dict[str, bytes]]:
        """Each struct of a struct array, in order: per field the bytes of its array without the tag.

        Raises:
            InputError: the file is damaged. This may be found out after the last struct.
        """
        with _damage_is_told(self.path), self.path.open("rb") as file:
            stream = _Stream(file, self.offset, self.size)
            end = 8 + mat5.read_matrix_size(stream)
            fields = mat5.read_header(stream).fields
            for _ in range(math.prod(self.header.dims)):
                row = {}
                for name in fields:
                    size = mat5.read_matrix_size(stream)
                    if stream.position + size > end:
                        raise DamageError("an array is longer than the one that holds it")
                    row[name] = stream.read(size)
                yield row
            stream.require_end(end)

    def content(self) -> bytes:
        """The bytes of the whole array without the tag.

        Raises:
            InputError: the file is damaged.
        """
        with _damage_is_told(self.path), self.path.open("rb") as file:
            stream = _Stream(file, self.offset, self.size)
            size = mat5.read_matrix_size(stream)
            content = stream.read(size)
            stream.require_end(8 + size)
            return content


def find_variable(path: Path, *names: str) -> Variable:
    """Find the first of some variables that a file has; of several of one name, the last.

    Raises:
        InputError: the file is damaged or of another kind, or holds no such variable.
    """
    with _damage_is_told(path), path.open("rb") as file:
        start = file.read(mat5.FILE_HEADER_SIZE)
        if other := _KINDS.get(start[-4:]):
            raise InputError(f"{path}: this is {other}, while the official file is MATLAB 5. {_SAVE_AGAIN}")
        # The minor version says nothing. Files of version 4 begin with a small number; text, as here, has no zero byte.
        if len(start) < mat5.FILE_HEADER_SIZE or start[-3:] != mat5.FILE_HEADER_END[1:] or 0 in start[:4]:
            raise DamageError("it does not begin as one")
        variables: dict[str, Variable] = {}
        for offset, size in _elements(file, path.stat().st_size):
            stream = _Stream(file, offset, size)
            content = mat5.read_matrix_size(stream)
            header = mat5.read_header(stream)
            if header.name in names:
                header.require_room(content)
            variables[header.name] = Variable(path, header, offset, size)
    for name in names:
        if name in variables:
            return variables[name]
    raise missing(path, names, variables)


def _elements(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """The place and the size of each variable's element, tag included."""
    offset = mat5.FILE_HEADER_SIZE
    while offset < end:
        file.seek(offset)
        tag = file.read(8)
        if len(tag) < 8:
            raise DamageError("it ends early")
        size = struct.unpack("<II", tag)[1]
        if not size or offset + 8 + size > end:
            raise DamageError("it ends early" if size else "a variable has no bytes")
        yield offset, 8 + size
        offset += 8 + size


@contextmanager
def _damage_is_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (DamageError, zlib.error) as error:
        raise unreadable(path, error) from error
    except OSError as error:
        raise unreadable(path, f"{type(error).__name__}: {error}") from error


class _Stream:
    """The bytes of a variable's array, tag included, handed out in order and inflated where they are compressed.

    Args:
        file: the file.
        offset: where the variable's element begins.
        size: its size in the file.
    """

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        file.seek(offset)
        kind = int.from_bytes(file.read(4), "little")
        self._inflate = zlib.decompressobj() if kind == mat5.COMPRESSED else None
        skipped = 8 if self._inflate else 0
        file.seek(offset + skipped)
        self._file, self._left, self._held = file, size - skipped, bytearray()
        self.position = 0

    def read(self, size: int) -> bytes:
        while len(self._held) < size:
            if not self._fill():
                raise DamageError("it ends early")
        data = bytes(self._held[:size])
        del self._held[:size]
        self.position += size
        return data

    def require_end(self, position: int) -> None:
        """Raise DamageError unless this is the end, and the checksum of compressed bytes is right."""
        while self._fill():
            if self._held:
                break
        if self.position != position or self._held:
            raise DamageError("it holds more than its header says")
        if self._inflate and not self._inflate.eof:
            raise DamageError("it ends early")

    def _fill(self) -> bool:
        """Take in some more bytes; False at the end."""
        chunk = self._file.read(min(_CHUNK, self._left))
        self._left -= len(chunk)
        if self._inflate and self._inflate.eof and chunk:
            raise DamageError("it holds more than its header says")
        self._held += self._inflate.decompress(chunk) if self._inflate else chunk
        return bool(chunk)
