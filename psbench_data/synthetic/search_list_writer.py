"""Writes the search lists of CUHK-SYSU and MovieNet-CS, TestG<size>.mat, byte for byte as the genuine files are built.

All but a few of the millions of entries lack the person, and such an entry is the same bytes wherever its scene is
listed: they are made once a scene and joined.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from psbench_data.errors import InputError
from psbench_data.matlab import mat5

_TITLE = b"MATLAB 5.0 MAT-file, written by psbench-data synthesize"
_LARGEST = 2**32 - 1
# Level 3 is at the knee for these lists: those below make larger files in the same time, those above take longer.
_LEVEL = 3
_ENTRY = ("imname", "idlocate", "ishard")
_GALLERY_HEADER = len(mat5.matrix(mat5.struct_header((1, 0), _ENTRY)))
_NOT_HARD = mat5.matrix(mat5.array_header(mat5.DOUBLES, (1, 1)), mat5.element(mat5.UINT8, b"\0"))
_EMPTY = {
    "absent": mat5.matrix(),
    "0x0": mat5.matrix(mat5.array_header(mat5.DOUBLES, (0, 0)), mat5.element(mat5.DOUBLE, b"")),
}


@dataclass(frozen=True, eq=False)
class ListedSearch:
    """One query and its gallery; boxes are (4,), x y w h, whole pixels from 0 to 65,535.

    Attributes:
        person: the label of the person searched for.
        query: the scene that the query is cut from, as an index into the pool, and its box.
        matches: the entries with the person, which come first: pool index and box.
        others: (m,) int32, the pool indices of the entries without the person.
    """

    person: str
    query: tuple[int, np.ndarray]
    matches: list[tuple[int, np.ndarray]]
    others: np.ndarray


def write_search_lists(
    path: Path,
    variable: str,
    pool: Sequence[str],
    searches: Sequence[ListedSearch],
    *,
    empty: Literal["absent", "0x0"],
) -> None:
    """Write a search list; equal input gives equal bytes.

    Args:
        path: the file.
        variable: the name of its variable, such as TestG4000.
        pool: the names of the scenes.
        searches: the rows.
        empty: how the place of an absent person is written: `absent`, without any array, as in CUHK-SYSU, or as a
            `0x0` array, as in MovieNet-CS.

    Raises:
        InputError: there are more entries than a MATLAB 5 file can hold.
    """
    names = [_text(name) for name in pool]
    without = [name + 2 * _EMPTY[empty] for name in names]
    lengths = np.array([len(entry) for entry in without], np.int64)
    queries = [_query(search, names) for search in searches]
    matches = [b"".join(_entry(names[scene], box) for scene, box in search.matches) for search in searches]
    galleries = [
        _GALLERY_HEADER + len(found) + int(lengths[search.others].sum())
        for found, search in zip(matches, searches, strict=True)
    ]
    header = mat5.struct_header((1, len(searches)), ("Query", "Gallery"), name=variable)
    total = len(header) + sum(map(len, queries)) + sum(galleries)
    if total > _LARGEST:
        raise InputError(
            f"{path}: {len(searches):,} queries with these galleries are {total:,} bytes, and a variable of a MATLAB 5 "
            f"file holds at most {_LARGEST:,}. Ask for fewer queries or a smaller gallery."
        )

    def parts() -> Iterable[bytes]:
        yield struct.pack("<II", mat5.MATRIX, total) + header
        for search, query, found, size in zip(searches, queries, matches, galleries, strict=True):
            entries = len(search.matches) + len(search.others)
            yield query + struct.pack("<II", mat5.MATRIX, size - 8) + mat5.struct_header((1, entries), _ENTRY) + found
            yield b"".join([without[scene] for scene in search.others.tolist()])

    _write_compressed(path, parts())


def _write_compressed(path: Path, parts: Iterable[bytes]) -> None:
    deflate = zlib.compressobj(_LEVEL)
    with path.open("wb") as file:
        file.write(_TITLE.ljust(116) + bytes(8) + mat5.FILE_HEADER_END)
        start = file.tell()
        file.write(bytes(8))
        for part in parts:
            file.write(deflate.compress(part))
        file.write(deflate.flush())
        size = file.tell() - start - 8
        file.seek(start)
        file.write(struct.pack("<II", mat5.COMPRESSED, size))


def _query(search: ListedSearch, names: Sequence[bytes]) -> bytes:
    scene, box = search.query
    header = mat5.struct_header((1, 1), (*_ENTRY, "idname"))
    return mat5.matrix(header, _entry(names[scene], box), _text(search.person))


def _entry(name: bytes, box: np.ndarray) -> bytes:
    # As in the genuine files: numbers of class double, stored as uint8 where all four fit, else as uint16.
    kind, code = (mat5.UINT8, "<4B") if box.max() <= 255 else (mat5.UINT16, "<4H")
    numbers = mat5.element(kind, struct.pack(code, *box.tolist()))
    return name + mat5.matrix(mat5.array_header(mat5.DOUBLES, (1, 4)), numbers) + _NOT_HARD


def _text(text: str) -> bytes:
    return mat5.matrix(mat5.array_header(mat5.CHAR, (1, len(text))), mat5.element(mat5.UTF8, text.encode()))
