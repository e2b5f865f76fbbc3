"""The synthetic world: deterministic, consistent, and in the official form."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

import psbench_data
from psbench_data import UNLABELED, InputError, PersonSearchDataset
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from psbench_data.synthetic.world import WorldSpec, plan_split
from tests.conftest import SMALL_WORLD


def _digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_same_bytes(world_root: Path, tmp_path: Path) -> None:
    write_cuhk_sysu(SMALL_WORLD, tmp_path / "again")
    assert _digests(tmp_path / "again") == _digests(world_root)


def test_another_seed_is_another_world(world: PersonSearchDataset, tmp_path: Path) -> None:
    import dataclasses

    write_cuhk_sysu(dataclasses.replace(SMALL_WORLD, seed=1), tmp_path / "other", images=False)
    assert psbench_data.load("cuhk_sysu", root=tmp_path / "other").fingerprint != world.fingerprint


def test_reading_gives_back_what_was_planned(world: PersonSearchDataset) -> None:
    for split in ("train", "test"):
        planned = plan_split(SMALL_WORLD, split)
        read = {
            (tuple(box), person)
            for scene in world.split(split)
            for box, person in zip(scene.boxes.tolist(), scene.person_ids.tolist(), strict=True)
        }
        wanted = {
            (tuple(box), UNLABELED if person is None else person)
            for scene in planned
            for box, person in zip(scene.boxes.astype(float).tolist(), scene.person_ids, strict=True)
        }
        assert read == wanted


def test_every_query_has_its_person_elsewhere(world: PersonSearchDataset) -> None:
    test = world.split("test")
    protocol = world.protocol("gallery-50")
    assert (np.diff(protocol.gallery_offsets) == 50).all()
    for i, query in enumerate(protocol.queries):
        gallery = [test.names[s] for s in protocol.gallery(i)]
        assert query.scene not in gallery
        with_person = {scene.name for scene in test if query.person_id in scene.person_ids} - {query.scene}
        truth = {test.names[s] for s in protocol.truth_scenes[protocol.truth_queries == i]}
        assert truth == with_person
        assert truth <= set(gallery)


def test_variables_and_types_are_the_official_ones(world_root: Path) -> None:
    images = loadmat(world_root / "annotation/Images.mat")["Img"]
    assert images.dtype.names == ("imname", "nAppear", "box")
    assert images[0, 0]["box"].dtype.names == ("idlocate", "ishard")
    assert images[0, 0]["box"][0, 0]["idlocate"].dtype in (np.uint8, np.uint16)
    row = loadmat(world_root / "annotation/test/train_test/TestG50.mat")["TestG50"][0, 0]
    assert row["Query"].dtype.names == ("imname", "idlocate", "ishard", "idname")
    assert row["Gallery"][0, -1]["idlocate"].shape == (1, 0)


def test_tree_says_that_it_is_synthetic(world: PersonSearchDataset, golden: PersonSearchDataset) -> None:
    assert world.synthetic
    assert "synthetic" in world.origin
    assert not golden.synthetic


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    train=st.integers(2, 8),
    test=st.integers(2, 60),
    identities=st.integers(1, 4),
    height=st.integers(48, 200),
)
def test_boxes_are_inside_their_scene(seed: int, train: int, test: int, identities: int, height: int) -> None:
    spec = WorldSpec(
        seed=seed,
        train_scenes=train,
        test_scenes=test,
        train_identities=1,
        test_identities=identities,
        appearances=(2, 2),
        people=(4, 5),
        image_size=(height, 2 * height),
    )
    for scene in plan_split(spec, "test"):
        assert (scene.boxes[:, :2] >= 0).all()
        assert (scene.boxes[:, 2:] <= [2 * height, height]).all()
        assert (scene.boxes[:, 2:] > scene.boxes[:, :2]).all()


def test_impossible_worlds_are_refused_with_all_reasons(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        WorldSpec(train_scenes=0, places=0, appearances=(1, 5), image_size=(20, 20))
    assert len(error.value.faults) >= 4
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="something here already"):
        write_cuhk_sysu(SMALL_WORLD, occupied)
    assert (occupied / "thesis.txt").read_text() == "years of work"


def test_interrupted_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("psbench_data.synthetic.cuhk_sysu.draw_scene", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_cuhk_sysu(SMALL_WORLD, tmp_path / "half")
    assert list(tmp_path.iterdir()) == []
