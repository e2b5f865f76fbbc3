"""Reading search lists: what scipy reads of them, in any layout; and rows that cannot be used."""

import struct
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat, whosmat

from psbench_data import InputError
from psbench_data.matlab import mat5
from psbench_data.sources.search_lists import search_rows
from tests.conftest import EVALUATION
from tests.data import search_list_files as files

GOLDENS = [path for path in sorted(EVALUATION.glob("*/annotation/test/*/*.mat")) if "Train" not in path.name]


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: f"{path.parts[-5]}-{path.stem}")
def test_goldens_are_read_as_scipy_reads_them(path: Path) -> None:
    ((variable, *_),) = whosmat(path)
    rows = files.read(path, variable)
    assert rows == files.read_by_scipy(path, variable)
    assert rows


def test_names_are_shared_between_rows() -> None:
    """Millions of entries name a few thousand scenes."""
    scenes = [scene for row in search_rows(files.GOLDEN, "TestG50") for scene in row.gallery_scenes]
    assert len({id(scene) for scene in scenes}) == len(set(scenes))


def test_nothing_is_shown_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psbench_data.sources.search_lists._PATIENCE", 0)
    assert len(list(search_rows(files.GOLDEN, "TestG50"))) == 16
    assert capsys.readouterr().err == ""


def test_a_bar_is_shown_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psbench_data.sources.search_lists._PATIENCE", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert len(list(search_rows(files.GOLDEN, "TestG50"))) == 16
    assert "16/16" in capsys.readouterr().err


# Files of every kind that scipy can write


def _structs(columns: dict[str, list]) -> np.ndarray:
    array = np.empty((1, len(next(iter(columns.values())))), dtype=[(name, object) for name in columns])
    for name, values in columns.items():
        for i, value in enumerate(values):
            array[name][0, i] = value
    return array


ROWS = st.lists(
    st.tuples(
        st.text(st.sampled_from("p0123456789"), min_size=1, max_size=8),
        files.NAMES,
        files.BOXES,
        st.lists(st.tuples(files.NAMES, st.none() | files.BOXES), max_size=6),
    ),
    max_size=4,
)


@st.composite
def saved_variables(draw: st.DrawFn) -> tuple[dict[str, Any], list[files.Row]]:
    """The variables of a file in one of the layouts of different writers, and the rows of its variable `TestG50`."""
    rows = draw(ROWS)
    cells = draw(st.integers(0, 2))
    dtype = draw(st.sampled_from([None, np.uint16, np.int32, np.int64, np.float32, np.float64]))
    absent = draw(st.sampled_from([np.zeros((1, 0)), np.zeros((0, 0)), np.zeros((0, 0), np.uint8)]))
    reverse, extra, shape = draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from([(1, 4), (4, 1), (2, 2)]))

    def name(value: str) -> Any:
        wrapped: Any = value
        for _ in range(cells):
            wrapped, inner = np.empty((1, 1), object), wrapped
            wrapped[0, 0] = inner
        return wrapped

    def numbers(box: files.Box | None) -> np.ndarray:
        if box is None:
            return absent
        smallest = np.uint8 if max(box) <= 255 else np.uint16
        return np.array(box, dtype or smallest).reshape(shape)

    def ordered(columns: dict[str, list]) -> np.ndarray:
        if extra:
            columns = {"note": [np.arange(14.0)] * len(next(iter(columns.values()))), **columns}
        return _structs(dict(reversed(columns.items())) if reverse else columns)

    def entries(listed: Sequence[tuple[str, files.Box | None]], **more: list) -> np.ndarray:
        flags = [absent if box is None else np.zeros((1, 1), np.uint8) for _, box in listed]
        names, boxes = [name(scene) for scene, _ in listed], [numbers(box) for _, box in listed]
        return ordered({"imname": names, "idlocate": boxes, "ishard": flags, **more})

    queries = [entries([(scene, box)], idname=[name(person)]) for person, scene, box, _ in rows]
    galleries = [entries(gallery) for *_, gallery in rows]
    listed = ordered({"Query": queries, "Gallery": galleries})
    if rows and draw(st.booleans()):
        listed = listed.T
    variables: dict[str, Any] = {"TestG50": listed}
    if draw(st.booleans()):
        variables = {"before": {"a": [1, "two"]}, "empty": np.zeros((0, 0)), **variables, "after": "text"}
    return variables, rows


@settings(deadline=None, max_examples=150)
@given(saved=saved_variables(), compressed=st.booleans())
def test_every_layout_is_read_as_scipy_reads_it(
    tmp_path_factory: pytest.TempPathFactory, saved: tuple[dict[str, Any], list[files.Row]], compressed: bool
) -> None:
    variables, rows = saved
    path = tmp_path_factory.mktemp("saved") / "TestG50.mat"
    savemat(path, variables, do_compression=compressed)
    read = files.read(path, "TestG50")
    assert read == files.read_by_scipy(path, "TestG50")
    assert read == rows


def test_a_cell_of_structs_is_read_too(tmp_path: Path) -> None:
    structs = loadmat(files.GOLDEN)["TestG50"]
    cells = np.empty((len(structs.T), 1), object)
    for i, row in enumerate(structs.T):
        cells[i, 0] = row[:, None]
    path = tmp_path / "TestG50.mat"
    savemat(path, {"TestG50": cells}, do_compression=True)
    assert files.read(path, "TestG50") == files.read_by_scipy(files.GOLDEN, "TestG50")


# Layouts that scipy does not write


@pytest.mark.parametrize("kind", [mat5.INT8, mat5.UINT8, mat5.UINT16, mat5.UTF8, mat5.UTF16])
@pytest.mark.parametrize("name", ["s1.jpg", "s1.j", "tt001/shot_0002.jpg", "mü.jpg", "名.jpg", "🙂.jpg"])
def test_text_of_any_type(tmp_path: Path, name: str, kind: int) -> None:
    path = tmp_path / "TestG50.mat"
    nothing = mat5.matrix()
    entry = [files.text(name, kind), nothing, nothing]
    path.write_bytes(files.search_list(files.struct_array(files.ENTRY, *entry, *entry, count=2)))
    if kind in (mat5.INT8, mat5.UINT8) and not name.isascii():
        with pytest.raises(InputError, match="row 0: 'ascii' codec can't decode byte"):
            files.read(path, "TestG50")
    else:
        assert files.read(path, "TestG50")[0][3] == [(name, None)] * 2
        # scipy cuts wide characters off where they are written as plain numbers.
        assert not name.isascii() or files.read(path, "TestG50") == files.read_by_scipy(path, "TestG50")


@pytest.mark.parametrize(
    ("kind", "code"),
    [(1, "b"), (2, "B"), (3, "h"), (4, "H"), (5, "i"), (6, "I"), (7, "f"), (9, "d"), (12, "q"), (13, "Q")],
)
def test_numbers_of_any_type_are_added_without_overflow(tmp_path: Path, kind: int, code: str) -> None:
    path = tmp_path / "TestG50.mat"
    box = files.numbers(100, 120, 90, 110, kind=kind, code=code)
    path.write_bytes(files.search_list(files.struct_array(files.ENTRY, files.text("a.jpg"), box, files.numbers(0))))
    (row,) = search_rows(path, "TestG50")
    assert (row.gallery_boxes[0, :2] + row.gallery_boxes[0, 2:]).tolist() == [190, 230]
    assert files.read(path, "TestG50") == files.read_by_scipy(path, "TestG50")


def test_data_that_look_like_arrays_do_not_confuse(tmp_path: Path) -> None:
    """A field may hold any numbers, those of tags too."""
    words = [14, 14 | 8 << 32, 0x8_0000_0006, 14 | 48 << 32, 0x8_0000_0006, 6, 0x8_0000_0005, 14 | 4_000_000 << 32]
    decoy = files.numbers(*words, 0x8_0000_0006, kind=13, code="Q")
    path = tmp_path / "TestG50.mat"
    entries = [files.text("a.jpg"), decoy, mat5.matrix(), files.text("b.jpg"), decoy, files.numbers(1, 2, 3, 4)]
    path.write_bytes(files.search_list(files.struct_array(("imname", "ishard", "idlocate"), *entries, count=2)))
    assert files.read(path, "TestG50") == files.read_by_scipy(path, "TestG50")
    assert files.read(path, "TestG50")[0][3] == [("a.jpg", None), ("b.jpg", [1, 2, 3, 4])]


# Rows that cannot be used


def _query(**changed: bytes) -> bytes:
    fields = {
        "imname": files.text("q.jpg"),
        "idlocate": files.numbers(1, 2, 3, 4),
        "ishard": files.numbers(0),
        "idname": files.text("p1"),
    }
    fields |= changed
    kept = {name: content for name, content in fields.items() if content}
    return files.struct_array(tuple(kept), *kept.values())


def _entry(**changed: bytes) -> bytes:
    kept = {name: content for name, content in (ENTRY_FIELDS | changed).items() if content}
    return files.struct_array(tuple(kept), *kept.values())


ENTRY_FIELDS = {"imname": files.text("a.jpg"), "idlocate": files.numbers(1, 2, 3, 4), "ishard": files.numbers(0)}
HUGE = files.numbers(1, 2, 1e300, 4, kind=9, code="d")
NAN = files.numbers(1, 2, float("nan"), 4, kind=9, code="d")
FAULTS = {
    "query without box": (_query(idlocate=mat5.matrix()), _entry(), "the query has no box, or one without area"),
    "query without width": (_query(idlocate=files.numbers(1, 2, 0, 4)), _entry(), "no box, or one without area"),
    "query with negative height": (
        _query(idlocate=files.numbers(1, 2, 3, -4, kind=3, code="h")),
        _entry(),
        "no box, or one without area",
    ),
    "query with three values": (
        _query(idlocate=files.numbers(1, 2, 3)),
        _entry(),
        "idlocate has 3 values where x, y, w, h",
    ),
    "query without person": (_query(idname=b""), _entry(), "idname"),
    "query without scene": (_query(imname=b""), _entry(), "imname"),
    "entry without height": (
        _query(),
        _entry(idlocate=files.numbers(1, 2, 3, 0)),
        "gallery entry 0 (a.jpg) has a box without area ([1, 2, 3, 0])",
    ),
    "entry with negative width": (
        _query(),
        _entry(idlocate=files.numbers(1, 2, -3, 4, kind=3, code="h")),
        "gallery entry 0 (a.jpg) has a box without area ([1, 2, -3, 4])",
    ),
    "entry with three values": (_query(), _entry(idlocate=files.numbers(1, 2, 3)), "idlocate has 3 values"),
    "entry with five values": (_query(), _entry(idlocate=files.numbers(1, 2, 3, 4, 5)), "idlocate has 5 values"),
    "entry with NaN": (_query(), _entry(idlocate=NAN), "idlocate is [1.0, 2.0, nan, 4.0]"),
    "entry with a number beyond all images": (_query(), _entry(idlocate=HUGE), "idlocate is [1.0, 2.0, 1e+300, 4.0]"),
    "entry with text": (_query(), _entry(idlocate=files.text("here")), "idlocate"),
    "entry without scene": (_query(), _entry(imname=b""), "imname"),
    "entry with empty name": (_query(), _entry(imname=files.text("")), ""),
    "entry outside": (_query(), _entry(imname=files.text("../a.jpg")), "'../a.jpg' is not the name of a file inside"),
    "query outside": (
        _query(imname=files.text("/etc/a.jpg")),
        _entry(),
        "'/etc/a.jpg' is not the name of a file inside",
    ),
    "entry with control character": (_query(), _entry(imname=files.text("a\x07.jpg")), r"'a\x07.jpg' is not the name"),
    "entry with NUL": (_query(), _entry(imname=files.text("a\0.jpg")), r"'a\x00.jpg' is not the name"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("compressed", [False, True])
def test_faulty_rows_are_told_together_when_the_others_are_read(tmp_path: Path, fault: str, compressed: bool) -> None:
    query, gallery, why = FAULTS[fault]
    variable = files.struct_array(
        ("Query", "Gallery"), query, gallery, _query(), _entry(), query, gallery, count=3, name="TestG50"
    )
    path = tmp_path / "TestG50.mat"
    data = zlib.compress(variable)
    path.write_bytes(files.mat_file(struct.pack("<II", mat5.COMPRESSED, len(data)) + data if compressed else variable))
    rows = search_rows(path, "TestG50")
    assert files.plain(next(rows)) == ("p1", "q.jpg", [1, 2, 3, 4], [("a.jpg", [1, 2, 3, 4])])
    with pytest.raises(InputError) as error:
        next(rows)
    for fault_found, number in zip(error.value.faults, (0, 2), strict=True):
        assert fault_found.startswith(f"{path}: row {number}: ")
        assert why in fault_found
        assert fault_found.endswith(". Copy the file again from the dataset's archive.")
