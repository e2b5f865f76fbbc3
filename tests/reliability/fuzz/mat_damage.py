"""Damage to MATLAB 5 files within what is compressed: other sizes, types and dimensions, and other values."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from functools import lru_cache
from random import Random
from typing import Any

import numpy as np

from psbench_data.matlab import mat5
from psbench_data.matlab.arrays import decode
from psbench_data.matlab.mat5 import Slices
from tests.reliability.fuzz.mutating import damaged_bytes
from tests.reliability.fuzz.words import odd_text

_SIZES = (0, 1, 2, 4, 5, 7, 8, 9, 16, 48, 56, 2**16, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1)
_SHAPES = ((0, 0), (0, 1), (1, 0), (1, 1), (4, 1), (1, 4), (1, 5), (2, 2), (1, 2, 2), (3, 0, 2))
_DTYPES = ("u1", "i1", "u2", "i4", "i8", "u8", "f4", "f8", "c16", "?")


def damaged_mat(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """One of the .mat files with something else in it that is not undone by a checksum."""
    names = [name for name in files if name.endswith(".mat")]
    name = random.choice(names)
    others = [_inflated(files[other]) or b"" for other in random.sample(names, min(2, len(names)))]
    way = random.choice((_with_values, _with_values, _with_tags, _with_bytes))
    return {name: way(random, files[name], others)}


def _inflated(content: bytes) -> bytes | None:
    """A file with its variables uncompressed; None where it is damaged before them."""
    parts, at = [content[: mat5.FILE_HEADER_SIZE]], mat5.FILE_HEADER_SIZE
    while at + 8 <= len(content):
        kind, size = struct.unpack_from("<II", content, at)
        element = content[at : at + 8 + size]
        try:
            parts.append(zlib.decompress(element[8:]) if kind == mat5.COMPRESSED else element)
        except zlib.error:
            return None
        at += 8 + size
    return b"".join(parts)


def _deflated(content: bytes) -> bytes:
    """A file whose one variable is compressed, whatever it is by now."""
    start, variable = content[: mat5.FILE_HEADER_SIZE], content[mat5.FILE_HEADER_SIZE :]
    packed = zlib.compress(variable, 1)
    return start + struct.pack("<II", mat5.COMPRESSED, len(packed)) + packed


def _with_bytes(random: Random, content: bytes, others: list[bytes]) -> bytes:
    plain = _inflated(content)
    if plain is None:
        return damaged_bytes(random, content, others)
    plain = damaged_bytes(random, plain, others)
    return _deflated(plain) if random.random() < 0.5 else plain


def _with_tags(random: Random, content: bytes, others: list[bytes]) -> bytes:
    """A tag, a class, dimensions or the length of names changed."""
    plain = bytearray(_inflated(content) or content)
    tags = [at for at in range(128, len(plain) - 16, 8) if _is_tag(plain, at)]
    if not tags:
        return _with_bytes(random, content, others)
    for _ in range(random.choice((1, 1, 2))):
        at = random.choice(tags)
        kind, size = struct.unpack_from("<II", plain, at)
        if kind == mat5.UINT32 and size == 8 and random.random() < 0.7:
            plain[at + 8] = random.choice((*range(19), 255))
            plain[at + 9] ^= random.choice((0, 2, 4, 8, 255))
        elif kind == mat5.INT32 and size == 8 and random.random() < 0.7:
            struct.pack_into("<II", plain, at + 8, *random.choices(_SIZES, k=2))
        elif random.random() < 0.5:
            near = random.choice((*_SIZES, size + 8, abs(size - 8), size * 2, len(plain)))
            struct.pack_into("<I", plain, at + 4, near % 2**32)
        else:
            struct.pack_into("<I", plain, at, random.choice((*range(20), 0x10001, 0x40001, 0x50001, 0xFFFF0001)))
    return _deflated(bytes(plain)) if random.random() < 0.5 else bytes(plain)


def _is_tag(plain: bytearray, at: int) -> bool:
    kind, size = struct.unpack_from("<II", plain, at)
    return 0 < kind < 18 and size <= len(plain) - at


def _with_values(random: Random, content: bytes, others: list[bytes]) -> bytes:
    """A file well-formed and with another value somewhere."""
    from scipy.io import savemat

    try:
        name, value = _variable(content)
    # What was damaged before need be none of these any more.
    except (mat5.DamageError, ValueError):
        return _with_bytes(random, content, others)
    variables = {name: _changed(random, value)}
    if random.random() < 0.1:
        variables = {odd_text(random)[:30].strip("_") or "x": value} | (variables if random.random() < 0.5 else {})
    stream = io.BytesIO()
    try:
        with warnings.catch_warnings(action="ignore"):
            savemat(stream, variables, do_compression=random.random() < 0.5, long_field_names=True)
    except (TypeError, ValueError, IndexError):
        return _with_bytes(random, content, others)
    return stream.getvalue()


@lru_cache(maxsize=64)
def _variable(content: bytes) -> tuple[str, Any]:
    """The name and the value of a file's first variable; scipy's own reader may end the process."""
    variable = (_inflated(content) or b"")[mat5.FILE_HEADER_SIZE + 8 :]
    return mat5.read_header(Slices(variable)).name, decode(variable)


def _changed(random: Random, value: Any) -> Any:
    """A value with another one somewhere in it; the value itself stays as it is."""
    if isinstance(value, np.ndarray) and value.size and value.dtype == object and random.random() < 0.9:
        value = value.copy()
        place = random.randrange(value.size)
        value.flat[place] = _changed(random, value.flat[place])
        return value
    if isinstance(value, np.ndarray) and value.size and value.dtype.names and random.random() < 0.9:
        value = value.copy()
        place, field = random.randrange(value.size), random.choice(value.dtype.names)
        value[field].flat[place] = _changed(random, value[field].flat[place])
        return value
    if isinstance(value, np.ndarray) and value.size and value.dtype.kind in "iuf" and random.random() < 0.3:
        return random.choice((value.T, value[:0], np.concatenate([value, value]), value.astype(float) * -1e30))
    return _other_value(random)


def _other_value(random: Random) -> Any:
    cell = np.empty((1, 1), object)
    cell[0, 0] = np.zeros((0, 0))
    number = random.choice((0, 1, -1, 255, 65_535, 2**31, 2**53, float("nan"), float("inf"), 1e300, -1e300, 0.5))
    with np.errstate(all="ignore"):
        numbers = np.full(random.choice(_SHAPES), number).astype(random.choice(_DTYPES))
    return random.choice((numbers, numbers, odd_text(random)[:100_000], odd_text(random)[:50], "a", cell, {"a": 1}))
