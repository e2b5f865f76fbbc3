"""Writing search lists: scipy reads what was given."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

from psbench_data import InputError
from psbench_data.synthetic.search_list_writer import ListedSearch, write_search_lists
from tests.data import search_list_files as files


@settings(deadline=None, max_examples=60)
@given(data=st.data(), empty=st.sampled_from(["absent", "0x0"]))
def test_what_is_written_is_read_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, empty: Literal["absent", "0x0"]
) -> None:
    pool = data.draw(st.lists(files.NAMES, min_size=1, max_size=9, unique=True))
    scene = st.integers(0, len(pool) - 1)
    place = st.tuples(scene, files.BOXES.map(np.array))
    search = st.builds(
        ListedSearch,
        st.text("p01", min_size=1, max_size=6),
        place,
        st.lists(place, max_size=3),
        st.lists(scene, max_size=9).map(lambda listed: np.array(listed, np.int32)),
    )
    searches = data.draw(st.lists(search, max_size=5))
    path = tmp_path_factory.mktemp("written") / "TestG50.mat"
    write_search_lists(path, "TestG50", pool, searches, empty=empty)
    expected = [
        (
            one.person,
            pool[one.query[0]],
            one.query[1].tolist(),
            [(pool[i], box.tolist()) for i, box in one.matches] + [(pool[i], None) for i in one.others.tolist()],
        )
        for one in searches
    ]
    assert files.read(path, "TestG50") == files.read_by_scipy(path, "TestG50") == expected
    content = path.read_bytes()
    write_search_lists(path, "TestG50", pool, searches, empty=empty)
    assert path.read_bytes() == content


@pytest.mark.parametrize(("empty", "shape"), [("absent", (1, 0)), ("0x0", (0, 0))])
def test_written_types_are_those_of_the_genuine_files(
    tmp_path: Path, empty: Literal["absent", "0x0"], shape: tuple[int, int]
) -> None:
    path = tmp_path / "TestG50.mat"
    small, large = np.array([1, 2, 3, 255]), np.array([1, 2, 3, 256])
    search = ListedSearch("p1", (0, small), [(1, large)], np.array([0], np.int32))
    write_search_lists(path, "TestG50", ["a.jpg", "b.jpg"], [search], empty=empty)
    row = loadmat(path)["TestG50"][0, 0]
    query, gallery = row["Query"][0, 0], row["Gallery"]
    assert gallery.shape == (1, 2)
    assert query["imname"].tolist() == ["a.jpg"]
    assert (query["idlocate"].dtype, query["idlocate"].shape) == (np.uint8, (1, 4))
    assert gallery[0, 0]["idlocate"].dtype == np.uint16
    assert (query["ishard"].dtype, query["ishard"].tolist()) == (np.uint8, [[0]])
    assert gallery[0, 1]["idlocate"].shape == gallery[0, 1]["ishard"].shape == shape


def test_more_entries_than_a_file_can_hold_are_refused(tmp_path: Path) -> None:
    box = np.array([1, 2, 3, 4])
    everywhere = ListedSearch("p1", (0, box), [], np.zeros(5_000_000, np.int32))
    path = tmp_path / "TestG50.mat"
    with pytest.raises(InputError, match=r"TestG50.mat: 12 queries .* a MATLAB 5 file holds at most 4,294,967,295"):
        write_search_lists(path, "TestG50", ["a.jpg"], [everywhere] * 12, empty="absent")
    assert not path.exists()
