"""Mutations that know a format: what they give is still of that format, so that a reader comes to what stands in it.

What they are given may be damaged already; where it is no longer of its format, bytes of it are damaged.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache, wraps
from random import Random
from typing import Any, Concatenate, ParamSpec

import numpy as np

from tests.reliability.fuzz.mutating import damaged_bytes
from tests.reliability.fuzz.structure import restructured

Change = Callable[[Random, bytes], bytes]
P = ParamSpec("P")
NUMBERS = (
    -1, 0, 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, 2**64 - 1, 10**30, 0.5, -0.0, 1e-320, 1e308,
    float("nan"), float("inf"), -float("inf"),
)  # fmt: skip
_SIZES = (0, 1, 3, 7, 2**16, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**64 - 1)


def bytes_changed(random: Random, content: bytes) -> bytes:
    """Damaged as what it is does not matter."""
    return damaged_bytes(random, content, [content])


def of_its_format(
    change: Callable[Concatenate[Random, bytes, P], bytes],
) -> Callable[Concatenate[Random, bytes, P], bytes]:
    """A change that damages bytes of what cannot be read as what it was."""

    @wraps(change)
    def changed(random: Random, content: bytes, *more: P.args, **named: P.kwargs) -> bytes:
        try:
            return change(random, content, *more, **named)
        # Of damaged files, there is no telling what libraries raise.
        except Exception:
            return bytes_changed(random, content)

    return changed


@of_its_format
def json_changed(random: Random, content: bytes) -> bytes:
    """A document of JSON with another value, name or part."""
    return restructured(random, json.loads(content))


@of_its_format
def lines_changed(random: Random, content: bytes) -> bytes:
    """Documents of JSON, one a line, with another one among them."""
    lines = content.splitlines(keepends=True)
    at = random.randrange(len(lines))
    lines[at] = json_changed(random, lines[at]) + random.choice((b"\n", b"\n", b"\r\n", b""))
    return b"".join(lines)


@of_its_format
def npy_changed(random: Random, content: bytes) -> bytes:
    """An .npy array whose header says something else: of another shape, type, order or version."""
    stream = io.BytesIO(content)
    np.lib.format.read_magic(stream)
    was, _, dtype = np.lib.format.read_array_header_1_0(stream)
    data = stream.read()
    shape: Any = list(was)
    kind = random.randrange(5)
    if kind == 0 and shape:
        shape[random.randrange(len(shape))] = random.choice((-1, 0, 1, 2**31, 2**62, 10**30, 1.5, True, "3"))
    elif kind == 1:
        shape = random.choice(([], [2**32, 2**32], [-1, -len(data)], [1] * 64, [0, 2**62], [len(data)], "x"))
    types = ("|O", "<f8", ">f4", "<f2", "<U1", "<U1000000", "|V0", "<c16", "<m8", "|b1", "|S0", [("a", "|O")], "zz")
    descr = random.choice(types) if kind in (2, 3) else dtype.str
    header = {"descr": descr, "fortran_order": random.choice((False, True, 1, None)), "shape": tuple(shape)}
    text = repr(header) if kind < 4 else random.choice(("{" * 5000, repr(header) * 2, "__import__('os')", "()", ""))
    if random.random() < 0.2:
        data = random.choice((b"", data[:-1], data * 2, pickle.dumps([1, 2])))
    if random.random() < 0.5:
        data = _numbers_changed(random, data, dtype)
    version = random.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\0\0"))
    padded = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    length = len(padded) if random.random() < 0.9 else random.choice(_SIZES)
    width = "<H" if version == b"\1\0" else "<I"
    return b"\x93NUMPY" + version + struct.pack(width, length % 2 ** (8 * struct.calcsize(width))) + padded + data


def _numbers_changed(random: Random, data: bytes, dtype: np.dtype) -> bytes:
    if dtype.kind not in "iuf" or not data or len(data) % dtype.itemsize:
        return data
    numbers = np.frombuffer(data, dtype).copy()
    with np.errstate(all="ignore"):
        value = np.asarray(random.choice(NUMBERS if dtype.kind == "f" else (-1, 0, 10**9)), np.float64)
        numbers[random.randrange(len(numbers))] = value.astype(dtype)
    return numbers.tobytes()


@of_its_format
def zip_changed(random: Random, content: bytes, change: Change = bytes_changed) -> bytes:
    """A ZIP archive that is whole, with a member changed, said twice, missing, compressed, or under another name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(info.file_size for info in archive.infolist()) > _MOST:
            raise ValueError("to be damaged as bytes")
        # No more than they say: one may have been made to unfold to a gigabyte before.
        members = [
            [info.filename, archive.open(info).read(info.file_size), zipfile.ZIP_STORED] for info in archive.infolist()
        ]
    one = random.choice(members)
    kind = random.randrange(7) if random.random() < 0.97 else 7
    if kind < 3:
        one[1] = change(random, one[1])
    elif kind == 3:
        one[0] = random.choice((f"../{one[0]}", f"/{one[0]}", one[0] + "\x1b[2J", random.choice(members)[0], "new.npy"))
    elif kind == 4:
        members.append(list(one))
    elif kind == 5:
        members.remove(one)
    elif kind == 6:
        one[2] = random.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    else:
        one[1] = zeroes()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, data, compression in members:
            # Without the warning about names that occur twice.
            archive.NameToInfo.pop(name, None)
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    if kind == 7:
        # The member's bytes are those of a compressed one, and so say both of its headers.
        size = random.choice((_ZEROES, len(one[1]), 1))
        return _headers_changed(written.getvalue(), one[0], {"compression": 8, "size": size})
    lie = {random.choice(list(_HEADER)): random.choice((0, 1, 9, 2**31, 2**32 - 1, random.randrange(2**16)))}
    return _headers_changed(written.getvalue(), one[0], lie) if random.random() < 0.2 else written.getvalue()


_MOST = 2**24
_ZEROES = 2**30
_HEADER = {"flags": (6, 2), "compression": (8, 2), "crc": (14, 4), "stored": (18, 4), "size": (22, 4)}
"""Where they stand in a member's own header, and how long they are; in the directory, two bytes later."""


@cache
def zeroes() -> bytes:
    """A megabyte that unfolds to a gigabyte, as `zlib` calls it raw."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = packed.compress(bytes(2**24)) + packed.flush(zlib.Z_FULL_FLUSH)
    return part * (_ZEROES // 2**24) + packed.flush()


def _headers_changed(content: bytes, name: str, values: dict[str, int]) -> bytes:
    """Of a member, what both of its headers say."""
    changed, called = bytearray(content), name.encode()
    for begin, length, shift in ((b"PK\3\4", 30, 0), (b"PK\1\2", 46, 2)):
        at = content.rfind(called, 0, content.rfind(called)) if shift == 0 else content.rfind(called)
        if at >= length and content.startswith(begin, at - length):
            for what, value in values.items():
                offset, width = _HEADER[what]
                place = at - length + offset + shift
                changed[place : place + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")
    return bytes(changed)


@of_its_format
def safetensors_changed(random: Random, content: bytes) -> bytes:
    """A safetensors file whose header says something else, of its tensors or of the whole."""
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    text, kind = b"", random.randrange(6)
    said = header.get("__metadata__", {})
    tensor = random.choice([value for name, value in header.items() if name != "__metadata__"])
    if kind == 0 and said:
        name = random.choice(list(said))
        # Each value is a document of its own.
        said[name] = json_changed(random, said[name].encode()).decode("utf-8", "replace")
    elif kind == 1:
        tensor["shape"] = random.choice(([], [0], [2**40], [2**32, 2**32], [-1], [1] * 70, tensor["shape"] + [1]))
    elif kind == 2:
        start, stop = tensor["data_offsets"]
        offsets = ([0, stop], [stop, start], [start, 2**62], [-1, stop], [0, 0], [start])
        tensor["data_offsets"] = random.choice(offsets)
    elif kind == 3:
        tensor["dtype"] = random.choice(("F64", "F16", "BF16", "I8", "BOOL", "F8_E4M3", "C64", "X", ""))
    elif kind == 4:
        data = bytes_changed(random, data)
    else:
        text = restructured(random, header)
    text = text or json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    told = len(text) if random.random() < 0.9 else random.choice(_SIZES)
    return told.to_bytes(8, "little") + text + data


@of_its_format
def png_changed(random: Random, content: bytes) -> bytes:
    """A PNG whose chunks are whole, with one changed, moved, missing or said twice."""
    chunks = []
    at = 8
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append([content[at + 4 : at + 8], content[at + 8 : at + 8 + size]])
        at += 12 + size
    one = random.choice(chunks)
    kind = random.choice((0, 1, 2, 3, 5)) if random.random() < 0.97 else 4
    if kind < 2:
        one[1] = bytes_changed(random, one[1])
    elif kind == 2:
        one[0] = random.choice((b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"zTXt", b"iCCP", b"eXIf", b"acTL", b"fdAT"))
    elif kind == 3:
        chunks.insert(random.randrange(1, len(chunks)), list(random.choice(chunks)))
    elif kind == 4:
        chunks.insert(1, [random.choice((b"zTXt", b"iCCP")), b"a\0\0x\x9c" + zeroes()])
    else:
        sizes = (0, 1, 2**16, 20_000, 2**31 - 1, 2**32 - 1)
        side = random.choice(sizes).to_bytes(4, "big") + random.choice(sizes).to_bytes(4, "big")
        chunks[0][1] = side + chunks[0][1][8:]
    return content[:8] + b"".join(
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big") for name, data in chunks
    )
