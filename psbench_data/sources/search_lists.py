"""The search lists of CUHK-SYSU and MovieNet-CS, TestG<size>.mat: each query with its gallery.

    TestG<size>   1 x Q struct
      Query       1 x 1 struct: imname, idlocate (x y w h), ishard, idname
      Gallery     1 x n struct: imname, idlocate, ishard; the last two empty where the scene lacks the person

The largest have tens of millions of entries, hence a row at a time and all entries of a row at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from psbench_data import matlab
from psbench_data.faults import RowFaults
from psbench_data.matlab.arrays import decode
from psbench_data.matlab.mat5 import DamageError, LayoutError
from psbench_data.matlab.stream import find_variable, unreadable
from psbench_data.matlab.structs import Structs, fits_int64
from psbench_data.names import safe_name

_PATIENCE = 3
"""Seconds after which the bar appears: most lists are read before, the largest are not."""


@dataclass(frozen=True, eq=False)
class SearchRow:
    """One query and its gallery. Boxes are x y w h as on disk, pixels.

    Attributes:
        person: the label of the person searched for.
        query_scene: the scene that the query is cut from.
        query_box: (4,) int64.
        gallery_scenes: the n scenes to search, in the official order, with repeats.
        gallery_boxes: (n, 4) int64, the person's box; zeros where the scene lacks the person.
        gallery_present: (n,) bool, whether the entry has a box.

    All boxes have area: a person who is not in a scene has an empty box there, not a flat one.
    """

    person: str
    query_scene: str
    query_box: np.ndarray
    gallery_scenes: list[str]
    gallery_boxes: np.ndarray
    gallery_present: np.ndarray

    def __post_init__(self) -> None:
        if not (self.query_box[2:] > 0).all():
            raise ValueError("the query has no box, or one without area")
        flat = self.gallery_present & (self.gallery_boxes[:, 2:] <= 0).any(axis=1)
        for entry in np.flatnonzero(flat)[:1].tolist():
            box = self.gallery_boxes[entry].tolist()
            raise ValueError(f"gallery entry {entry} ({self.gallery_scenes[entry]}) has a box without area ({box})")


def search_rows(path: Path, variable: str) -> Iterator[SearchRow]:
    """Read a search list row by row; on a terminal, a bar shows how far one is that takes long.

    Args:
        path: the file.
        variable: the name of its variable, such as TestG4000.

    Raises:
        InputError: the file is damaged, of another kind, or holds another variable; or, after the last row, some rows
            cannot be used, all of which are told. Until then the rows yielded may be those of a damaged file.
    """
    from tqdm import tqdm

    total, parsers = _parsers(path, variable, _SceneNames())
    with RowFaults(path) as faults:
        # Shown where standard error is a terminal.
        for i, parse in enumerate(tqdm(parsers, path.stem, total, unit="queries", delay=_PATIENCE, disable=None)):
            row = None
            with faults.row(i):
                try:
                    row = parse()
                except DamageError as error:
                    raise unreadable(path, error) from error
            if row is not None:
                yield row


class _SceneNames(dict[bytes, str]):
    """Every scene's name once: checked when it is first met, and shared by all rows that list it."""

    def __missing__(self, raw: bytes) -> str:
        self[raw] = name = safe_name(raw.decode(), "the image folder")
        return name


def _parsers(path: Path, variable: str, scenes: _SceneNames) -> tuple[int, Iterator[Callable[[], SearchRow]]]:
    """The number of rows, and for each what parses it."""
    try:
        found = find_variable(path, variable)
        if found.header.is_struct_vector:
            return math.prod(found.header.dims), (partial(_from_bytes, row, scenes) for row in found.structs())
        listed = matlab.items(path, variable, decode(found.content()))
    except (DamageError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    return len(listed), (partial(_from_struct, row, scenes) for row in listed)


def _from_bytes(row: dict[str, bytes], scenes: _SceneNames) -> SearchRow:
    if missing := {"Query", "Gallery"} - row.keys():
        raise ValueError(f"it has no {' and no '.join(sorted(missing))}")
    try:
        query, gallery = Structs(row["Query"]), Structs(row["Gallery"])
        if len(query) != 1:
            raise LayoutError
        person, query_scene = query.texts("idname")[0], query.texts("imname")[0]
        query_box = query.vectors("idlocate", 4)[0][0]
        names = gallery.texts("imname")
        boxes, present = gallery.vectors("idlocate", 4)
    except LayoutError:
        return _from_arrays(decode(row["Query"]), decode(row["Gallery"]), scenes)
    listed = [scenes[name] for name in names]
    return SearchRow(person.decode(), scenes[query_scene], query_box, listed, boxes, present)


def _from_struct(row: Any, scenes: _SceneNames) -> SearchRow:
    row = matlab.struct(row)
    return _from_arrays(row["Query"], row["Gallery"], scenes)


def _from_arrays(query: Any, gallery: Any, scenes: _SceneNames) -> SearchRow:
    """A row of arrays as `scipy.io.loadmat` gives them."""
    query, gallery = matlab.struct(query), np.ravel(gallery)
    boxes = [_box(entry) for entry in gallery]
    none = np.zeros(4, np.int64)
    return SearchRow(
        person=matlab.text(query["idname"]),
        query_scene=_scene(query, scenes),
        query_box=none if (box := _box(query)) is None else box,
        gallery_scenes=[_scene(entry, scenes) for entry in gallery],
        gallery_boxes=np.array([none if box is None else box for box in boxes], np.int64).reshape(-1, 4),
        gallery_present=np.array([box is not None for box in boxes], bool),
    )


def _scene(entry: Any, scenes: _SceneNames) -> str:
    return scenes[matlab.text(entry["imname"]).encode()]


def _box(entry: Any) -> np.ndarray | None:
    box = np.ravel(entry["idlocate"])
    if not box.size:
        return None
    if box.size != 4:
        raise ValueError(f"idlocate has {box.size} values where x, y, w, h were expected")
    if box.dtype.kind not in "iuf" or not fits_int64(box):
        raise ValueError(f"idlocate is {box.tolist()}")
    return box.astype(np.int64)
