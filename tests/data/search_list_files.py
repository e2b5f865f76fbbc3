"""Search lists made by hand, and what scipy reads of a file."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy.io import loadmat

from psbench_data.matlab import mat5
from psbench_data.sources.search_lists import SearchRow, search_rows
from tests.conftest import EVALUATION

GOLDEN = EVALUATION / "cuhk_sysu/annotation/test/train_test/TestG50.mat"

Box = Sequence[float]
Row = tuple[str, str, list[int], list[tuple[str, list[int] | None]]]
"""Person, scene and box of the query, and per entry of the gallery its scene and box."""


def read_by_scipy(path: Path, variable: str) -> list[Row]:
    """The rows of a file by `scipy.io.loadmat`, entry by entry."""

    def string(value: Any) -> str:
        while isinstance(value, np.ndarray):
            value = value.item()
        return value

    def box(entry: Any) -> list[int] | None:
        values = entry["idlocate"].ravel()
        return [int(value) for value in values] if values.size else None

    rows = []
    for row in loadmat(path)[variable].ravel():
        query = row["Query"][0, 0]
        gallery = [(string(entry["imname"]), box(entry)) for entry in row["Gallery"].ravel()]
        rows.append((string(query["idname"]), string(query["imname"]), box(query), gallery))
    return rows


def plain(row: SearchRow) -> Row:
    """A row that can be compared."""
    assert row.query_box.dtype == row.gallery_boxes.dtype == np.int64
    assert row.gallery_boxes.shape == (len(row.gallery_scenes), 4)
    assert not row.gallery_boxes[~row.gallery_present].any()
    found = zip(row.gallery_scenes, row.gallery_boxes.tolist(), row.gallery_present.tolist(), strict=True)
    gallery = [(scene, box if present else None) for scene, box, present in found]
    return row.person, row.query_scene, row.query_box.tolist(), gallery


def read(path: Path, variable: str) -> list[Row]:
    """The rows of a file by what is tested."""
    return [plain(row) for row in search_rows(path, variable)]


NAMES = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "tt001/", "a/b/"]),
        st.text(st.sampled_from("sS1290_-. äßλ人"), min_size=1, max_size=9).filter(lambda name: name.strip(". ")),
        st.sampled_from([".jpg", ".png"]),
    ),
)
BOXES = st.one_of(
    st.lists(st.integers(1, 255), min_size=4, max_size=4), st.lists(st.integers(1, 65535), min_size=4, max_size=4)
)


def uncompress(path: Path, target: Path) -> Path:
    """Write a compressed file of one variable as an uncompressed one."""
    content = path.read_bytes()
    target.write_bytes(content[:128] + zlib.decompress(content[136:]))
    return target


# The parts of files in layouts that scipy does not write.


def mat_file(variable: bytes) -> bytes:
    return mat5.FILE_HEADER_END.rjust(128) + variable


def text(text: str, kind: int = mat5.UTF8) -> bytes:
    wide = kind in (mat5.UINT16, mat5.UTF16)
    data = text.encode("utf-16-le" if wide else "utf-8")
    length = len(data) // 2 if wide else len(text)
    return mat5.matrix(mat5.array_header(mat5.CHAR, (1, length)), mat5.element(kind, data))


def numbers(*values: float, kind: int = mat5.UINT16, code: str = "H") -> bytes:
    data = struct.pack(f"<{len(values)}{code}", *values)
    return mat5.matrix(mat5.array_header(mat5.DOUBLES, (1, len(values))), mat5.element(kind, data))


def struct_array(fields: tuple[str, ...], *content: bytes, count: int = 1, name: str = "") -> bytes:
    return mat5.matrix(mat5.struct_header((1, count), fields, name), *content)


ENTRY = ("imname", "idlocate", "ishard")
QUERY = struct_array((*ENTRY, "idname"), text("q.jpg"), numbers(1, 2, 3, 400), numbers(0), text("p1"))


def search_list(gallery: bytes, query: bytes = QUERY) -> bytes:
    return mat_file(struct_array(("Query", "Gallery"), query, gallery, name="TestG50"))
