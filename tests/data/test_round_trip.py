"""Draw, load, export, load again: scenes and protocols stay what they were, at any size."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import psbench_data
from psbench_data import InputError, PersonSearchDataset
from psbench_data.exporting.coco import export_coco
from psbench_data.synthetic.formats import FORMATS, write
from psbench_data.synthetic.spec import WorldSpec


@st.composite
def specs(draw: st.DrawFn, name: str) -> WorldSpec:
    """Worlds of a few scenes to some dozens."""
    identities = draw(st.integers(1, 6))
    # Training people who also walk through test scenes have ids there in these two formats only.
    walking = draw(st.integers(0, identities - 1)) if name in ("prw", "lsps") else 0
    return WorldSpec(
        seed=draw(st.integers(0, 2**31)),
        train_scenes=draw(st.integers(12, 30)),
        test_scenes=draw(st.integers(24, 60)),
        train_identities=identities,
        test_identities=draw(st.integers(1, 8)),
        walking=walking,
        appearances=(2, draw(st.integers(2, 5))),
        people=(1, draw(st.integers(3, 5))),
        places=draw(st.integers(2, 6)),
        gallery_entries=(draw(st.integers(18, 20)), 22),
    )


def _same(one: PersonSearchDataset, other: PersonSearchDataset) -> None:
    for split in ("train", "test"):
        a, b = one.split(split), other.split(split)
        assert a.fingerprint == b.fingerprint
        assert (a.names, a.paths, a.identities) == (b.names, b.paths, b.identities)
        np.testing.assert_array_equal(a.sizes, b.sizes)
    assert set(one.protocols) == set(other.protocols)
    for name in one.protocols:
        p, q = one.protocol(name), other.protocol(name)
        assert p.table.equals(q.table)
        assert (p.rest, p.version, p.pool.tolist()) == (q.rest, q.version, q.pool.tolist())


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_draw_load_export_load(name: str, data: st.DataObject) -> None:
    spec = data.draw(specs(name))
    with TemporaryDirectory() as folder:
        root = Path(folder) / name
        write(name, spec, root, images=False)
        dataset = psbench_data.load(name, root=root)
        assert dataset.synthetic
        assert not dataset.restricted
        for split in ("train", "test"):
            scenes = dataset.split(split)
            if name != "movienet_cs":  # whose splits are the scenes that its lists name
                assert (len(scenes), len(scenes.boxes)) == (spec.scenes(split), spec.boxes(split))
                assert (scenes.person_ids >= 0).sum() == spec.labelled(split)
        for protocol in map(dataset.protocol, dataset.protocols):
            if protocol.rest in ("none", "all"):
                assert not len(protocol.unanswerable)
        export_coco(dataset, Path(folder) / "coco")
        again = psbench_data.load("coco", root=Path(folder) / "coco", images=root)
        assert again.synthetic
        _same(dataset, again)


def test_asking_for_synthetic_people_draws_them_once(tmp_path: Path) -> None:
    root = tmp_path / "drawn"
    world = {"train_scenes": 12, "test_scenes": 24, "train_identities": 3, "test_identities": 4, "appearances": (2, 4)}
    first = psbench_data.load("synthetic", root=root, format="prw", images=False, **world)
    assert (first.name, first.synthetic, len(first.split("test"))) == ("prw", True, 24)
    written = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert psbench_data.load("synthetic", root=root).fingerprint == first.fingerprint
    assert psbench_data.load("synthetic", root=root, **world).fingerprint == first.fingerprint
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == written
    with pytest.raises(InputError, match="drawn with seed=0, asked for 1"):
        psbench_data.load("synthetic", root=root, seed=1)
    with pytest.raises(InputError, match="Did you mean 'test_scenes'"):
        psbench_data.load("synthetic", root=root, testscenes=3)
    with pytest.raises(InputError, match="format='prw', asked for 'lsps'"):
        psbench_data.load("synthetic", root=root, format="lsps")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    with pytest.raises(InputError, match="there is something here already"):
        psbench_data.load("synthetic", root=tmp_path / "other")
