"""Damaged search lists: one clear message, in little time and memory."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from psbench_data import InputError
from psbench_data.matlab import mat5
from psbench_data.synthetic.search_list_writer import ListedSearch, write_search_lists
from tests.data import search_list_files as files


@pytest.fixture
def uncompressed(tmp_path: Path) -> Path:
    return files.uncompress(files.GOLDEN, tmp_path / "uncompressed.mat")


@pytest.mark.parametrize("compressed", [True, False])
def test_a_truncated_file_is_refused(tmp_path: Path, uncompressed: Path, compressed: bool) -> None:
    content = (files.GOLDEN if compressed else uncompressed).read_bytes()
    path = tmp_path / "cut.mat"
    for size in {*range(0, 300, 3), *range(0, len(content), 97), *range(len(content) - 20, len(content))}:
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"cut.mat.* Copy the file again from the dataset's archive \(a download"):
            files.read(path, "TestG50")


@pytest.mark.parametrize("kind", ["compressed", "uncompressed", "written"])
def test_a_corrupted_file_is_read_or_refused(tmp_path: Path, uncompressed: Path, kind: str) -> None:
    written = tmp_path / "written.mat"
    if kind == "written":
        box = np.array([1, 2, 3, 4])
        search = ListedSearch("p1", (0, box), [(1, box)], np.array([1, 2], np.int32))
        write_search_lists(written, "TestG50", ["a.jpg", "b.jpg", "c.jpg"], [search] * 3, empty="absent")
        files.uncompress(written, written)
    content = {"compressed": files.GOLDEN, "uncompressed": uncompressed, "written": written}[kind].read_bytes()
    path, rng = tmp_path / "flipped.mat", np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        # What comes first decides how the rest is taken.
        last = len(content) if rng.random() < 0.5 else 700
        for place in rng.integers(0, last, rng.integers(1, 4)).tolist():
            damaged[min(place, len(content) - 1)] = int(rng.choice([0, 1, 2, 14, 15, 255, rng.integers(256)]))
        path.write_bytes(damaged)
        try:
            files.read(path, "TestG50")
        except InputError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("place", ["rows", "gallery", "cell"])
def test_numbers_without_bytes_allocate_nothing(tmp_path: Path, place: str) -> None:
    many = 2**31 - 1
    entry = [files.text("a.jpg"), files.numbers(0), files.numbers(0)]
    gallery = files.struct_array(files.ENTRY, *entry, count=many if place == "gallery" else 1)
    if place == "cell":
        gallery = mat5.matrix(mat5.array_header(mat5.CELL, (many, 1)))
    path = tmp_path / "TestG50.mat"
    count = many if place == "rows" else 1
    rows = files.struct_array(("Query", "Gallery"), files.QUERY, gallery, count=count, name="TestG50")
    path.write_bytes(files.mat_file(rows))
    tracemalloc.start()
    with pytest.raises(InputError, match="not a readable MATLAB 5 file"):
        files.read(path, "TestG50")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


@pytest.mark.parametrize("change", [lambda data: data[:-3], lambda data: data + bytes(8)])
def test_a_row_of_the_wrong_length_is_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "TestG50.mat"
    gallery = files.struct_array(files.ENTRY, files.text("a.jpg"), mat5.matrix(), mat5.matrix())
    path.write_bytes(files.search_list(change(gallery)))
    with pytest.raises(InputError, match="not a readable MATLAB 5 file"):
        files.read(path, "TestG50")


def _missing(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(b""), "not a readable MATLAB 5 file (0 bytes"),
        (lambda path: path.write_text("s1.jpg\ts2.jpg\n" * 40), "not a readable MATLAB 5 file"),
        (
            lambda path: path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM\x89HDF\r\n\x1a\n"),
            "this is a MATLAB 7.3 (HDF5) file, while the official file is MATLAB 5",
        ),
        (
            lambda path: path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + bytes(80)),
            "this is a MATLAB file of big-endian numbers, while the official file is MATLAB 5",
        ),
        (lambda path: savemat(path, {"x": np.arange(50)}, format="4"), "not a readable MATLAB 5 file"),
        (
            lambda path: savemat(path, {"TestG50": np.arange(50)}),
            "expected TestG50 to be cells or structs, found 1x50 numbers",
        ),
        (lambda path: savemat(path, {"TestG100": 1, "b": 2}), "expected the variable 'TestG50', found TestG100, b"),
        (lambda path: path.write_bytes(path.read_bytes()[:128]), "expected the variable 'TestG50', found nothing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0"), "not a readable MATLAB 5 file"),
        (_missing, "not a readable MATLAB 5 file"),
        (_folder, "not a readable MATLAB 5 file"),
    ],
    ids=[
        *("empty", "text", "7.3", "big-endian", "version 4", "numbers"),
        *("other variable", "no variable", "checksum", "missing", "folder"),
    ],
)
def test_another_file_is_named_for_what_it_is(tmp_path: Path, damage: Callable[[Path], None], says: str) -> None:
    path = tmp_path / "TestG50.mat"
    path.write_bytes(files.GOLDEN.read_bytes())
    damage(path)
    with pytest.raises(InputError) as error:
        files.read(path, "TestG50")
    assert str(error.value).startswith(f"{path}: ")
    assert says in str(error.value)
