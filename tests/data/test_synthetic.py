"""The synthetic world: exact, deterministic, plausible, and written whole or not at all."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import psbench_data
from psbench_data import UNLABELED, InputError, PersonSearchDataset
from psbench_data.synthetic.bodies import random_bodies, random_poses, reach
from psbench_data.synthetic.formats import FORMATS, default_spec, official_spec, write
from psbench_data.synthetic.key_point_files import image_key_points
from psbench_data.synthetic.people import figures, random_wardrobe
from psbench_data.synthetic.sheet import contact_sheet
from psbench_data.synthetic.spec import SPLITS, WorldSpec
from psbench_data.synthetic.world import plan
from tests.conftest import SMALL_WORLD

SMALL_CHANGES = {
    "train_scenes": 12,
    "test_scenes": 30,
    "train_identities": 6,
    "test_identities": 7,
    "appearances": (2, 4),
    "image_size": (64, 96),
    "gallery_entries": (15, 20),
}


def small_spec(name: str, **changes: object) -> WorldSpec:
    """A world of a second that suits a format."""
    return default_spec(name, **{**SMALL_CHANGES, **({"walking": 2} if name == "prw" else {}), **changes})


@st.composite
def specs(draw: st.DrawFn) -> WorldSpec:
    """Worlds of any shape that can be asked for, with exact totals."""
    scenes = {split: draw(st.integers(4, 25)) for split in SPLITS}
    people = (draw(st.integers(1, 3)), draw(st.integers(3, 6)))
    appearances = (2, draw(st.integers(2, min(scenes.values()))))
    walking = draw(st.integers(0, 2))
    identities, totals = {}, {}
    for split in SPLITS:
        most = scenes[split] * people[1]
        extra = walking if split == "test" else 0
        identities[split] = draw(st.integers(1 + walking - extra, max(min(12, most // 2 - extra), 1 + walking - extra)))
        count = identities[split] + extra
        labelled = draw(st.integers(2 * count, min(count * appearances[1], most)))
        totals[f"{split}_labelled"] = labelled
        totals[f"{split}_boxes"] = draw(st.integers(max(labelled, scenes[split] * people[0]), most))
    return WorldSpec(
        seed=draw(st.integers(0, 2**31)),
        train_scenes=scenes["train"],
        test_scenes=scenes["test"],
        train_identities=identities["train"],
        test_identities=identities["test"],
        walking=walking,
        appearances=appearances,
        people=people,
        image_size=(draw(st.integers(48, 200)), draw(st.integers(48, 200))),
        places=draw(st.integers(1, 9)),
        wander=draw(st.booleans()),
        gallery_entries=(scenes["test"] - 1,),
        **totals,
    )


def _digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@settings(max_examples=60, deadline=None)
@given(specs())
def test_totals_are_exact_and_nobody_is_twice_in_a_scene(spec: WorldSpec) -> None:
    for split in plan(spec).splits:
        labelled = split.people != UNLABELED
        assert len(split) == spec.scenes(split.name)
        assert len(split.people) == spec.boxes(split.name)
        assert labelled.sum() == spec.labelled(split.name)
        people, times = np.unique(split.people[labelled], return_counts=True)
        assert len(people) == spec.identities(split.name)
        assert times.min() >= spec.appearances[0]
        assert times.max() <= spec.appearances[1]
        crowd = np.diff(split.offsets)
        assert crowd.min() >= spec.people[0]
        assert crowd.max() <= spec.people[1]
        pairs = np.stack([split.scenes, split.people], axis=1)[labelled]
        assert len(np.unique(pairs, axis=0)) == len(pairs)


@settings(max_examples=40, deadline=None)
@given(specs())
def test_boxes_are_inside_their_scene_and_differ(spec: WorldSpec) -> None:
    height, width = spec.image_size
    for split in plan(spec).splits:
        assert (split.boxes[:, :2] >= 0).all()
        assert (split.boxes[:, 2:] <= [width, height]).all()
        assert (split.boxes[:, 2:] > split.boxes[:, :2]).all()
        placed = np.concatenate([split.scenes[:, None], split.boxes], axis=1)
        assert len(np.unique(placed, axis=0)) == len(placed)


def test_train_people_are_not_in_the_test_split_unless_they_walk() -> None:
    world = plan(small_spec("prw", walking=3))
    train, test = (set(split.people.tolist()) - {UNLABELED} for split in world.splits)
    assert len(train & test) == 3
    assert not train & {int(world.test.people[rows[0]]) for rows in world.queried()}


def test_people_who_wander_are_seen_by_several_cameras_and_those_who_stay_by_one() -> None:
    seen = {}
    for wander in (True, False):
        world = plan(WorldSpec(places=5, wander=wander))
        cameras = [len(set(world.test.places[world.test.scenes[rows]].tolist())) for rows in world.queried()]
        seen[wander] = np.mean(cameras)
    assert seen[True] > 3
    assert seen[False] < 1.5


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31))
def test_a_box_fits_the_person_that_is_drawn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bodies, poses = random_bodies(1, rng), random_poses(1, rng)
    left, right = reach(bodies, poses)[0]
    whole = np.array([[300 + 200 * left, 50, 300 + 200 * right, 250]])
    shapes = figures(bodies, poses, [random_wardrobe(rng)], whole, light=1)[0]
    points = np.concatenate([points for points, _ in shapes])
    drawn = np.concatenate([points.min(axis=0), points.max(axis=0)])
    np.testing.assert_allclose(drawn, whole[0], atol=0.02 * 200)


def test_key_points_are_where_the_limbs_are_drawn() -> None:
    split = plan(WorldSpec(image_size=(400, 600))).train
    rng = np.random.default_rng(0)
    wardrobes = [random_wardrobe(rng) for _ in range(100)]
    drawn = figures(split.bodies[:100], split.poses[:100], wardrobes, split.whole[:100], light=1)
    for points, shapes in zip(image_key_points(split), drawn, strict=False):
        centres = np.stack([polygon.mean(axis=0) for polygon, _ in shapes])
        for wrist in (10, 15):
            assert np.abs(centres - points[wrist]).sum(axis=1).min() < 0.01


def test_no_two_boxes_are_equal_even_where_nobody_has_room() -> None:
    crowd = WorldSpec(
        train_scenes=150, test_scenes=8, people=(1, 40), train_boxes=150 * 40, image_size=(48, 48), heights=(0.21, 1.0)
    )
    train = plan(crowd).train
    placed = np.concatenate([train.scenes[:, None], train.boxes], axis=1)
    assert len(np.unique(placed, axis=0)) == len(placed)


def test_people_are_mostly_visible_although_some_are_covered_or_cut() -> None:
    test = plan(official_spec("prw")).test
    assert 0.001 < (test.covered > 0.3).mean() < 0.2
    assert 0.005 < (test.whole[:, 0] < -1).mean() < 0.2


@pytest.mark.parametrize("name", FORMATS)
def test_same_seed_same_bytes(name: str, tmp_path: Path) -> None:
    write(name, small_spec(name), tmp_path / "a")
    write(name, small_spec(name), tmp_path / "b")
    write(name, small_spec(name), tmp_path / "plain", images=False)
    write(name, small_spec(name, seed=1), tmp_path / "other", images=False)
    first = _digests(tmp_path / "a")
    assert _digests(tmp_path / "b") == first
    annotations = {path: digest for path, digest in first.items() if not path.endswith(".jpg")}
    assert len(first) - len(annotations) == 42
    assert _digests(tmp_path / "plain") == annotations
    # Of another seed, at most the lists of images' sizes are the same.
    other = _digests(tmp_path / "other")
    same = {path for path, digest in other.items() if annotations.get(path) == digest}
    assert same <= {"train_shape.txt", "test_shape.txt"}
    marker = json.loads((tmp_path / "a/synthetic.json").read_text())
    assert marker["format"] == name
    assert marker["seed"] == 0
    assert marker["written_by"] == "psbench-data synthesize"


def test_reading_gives_back_what_was_planned(world: PersonSearchDataset) -> None:
    for planned in plan(SMALL_WORLD).splits:
        scenes = world.split(planned.name)
        first = 0 if planned.name == "train" else SMALL_WORLD.train_identities
        people = np.where(planned.people == UNLABELED, UNLABELED, planned.people - first)
        read = [(*box, person) for s in scenes for box, person in zip(s.boxes, s.person_ids, strict=True)]
        wanted = [(*box, person) for box, person in zip(planned.boxes, people, strict=True)]
        assert sorted(read) == sorted(wanted)


def test_every_query_has_its_person_elsewhere(world: PersonSearchDataset) -> None:
    test = world.split("test")
    protocol = world.protocol("gallery-50")
    assert (protocol.gallery_sizes == 50).all()
    for i, query in enumerate(protocol.queries):
        gallery = [test.names[s] for s in protocol.gallery(i)]
        assert query.scene not in gallery
        with_person = {scene.name for scene in test if query.person_id in scene.person_ids} - {query.scene}
        truth = {test.names[s] for s in protocol.truth_scenes[protocol.truth_queries == i]}
        assert truth == with_person
        assert truth <= set(gallery)


def test_tree_says_that_it_is_synthetic(world: PersonSearchDataset, golden: PersonSearchDataset) -> None:
    assert world.synthetic
    assert "synthetic" in world.origin
    assert not golden.synthetic


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": "coco"}', '{"format": ["prw"]}', "[]", "", "\udcff"])
def test_another_file_of_the_marker_s_name_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "synthetic.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"synthetic\.json: not what `psbench-data synthesize` writes"):
        psbench_data.load("synthetic", root=tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_contact_sheet_shows_any_format(name: str, tmp_path: Path) -> None:
    from PIL import Image

    write(name, small_spec(name), tmp_path / "tree")
    contact_sheet(tmp_path / "tree", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 1400


def test_official_totals_are_the_published_ones() -> None:
    published = {
        "cuhk_sysu": ((11206, 55272, 15085, 5532), (6978, 40871, 8345, 2900)),
        "prw": ((5704, 18048, 14907, 483), (6112, 25062, 19127, 544)),
    }
    for name, counts in published.items():
        spec = official_spec(name, seed=3)
        assert spec.seed == 3
        for split, wanted in zip(SPLITS, counts, strict=True):
            assert (spec.scenes(split), spec.boxes(split), spec.labelled(split), spec.identities(split)) == wanted
    for name, scenes, boxes, identities in (("lsps", 51836, 60433, 4067), ("movienet_cs", 160816, 274274, 3087)):
        spec = official_spec(name)
        assert sum(map(spec.scenes, SPLITS)) == scenes
        assert sum(map(spec.boxes, SPLITS)) == boxes
        assert sum(map(spec.identities, SPLITS)) == identities


def test_impossible_worlds_are_refused_with_all_reasons(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        WorldSpec(train_scenes=0, places=0, appearances=(1, 5), image_size=(20, 20))
    assert len(error.value.faults) >= 4
    with pytest.raises(InputError, match="labelled boxes"):
        WorldSpec(test_scenes=20, test_identities=100)
    with pytest.raises(InputError, match="smallest official gallery"):
        write("cuhk_sysu", WorldSpec(test_scenes=40, test_identities=10), tmp_path / "small")
    with pytest.raises(InputError, match="6 cameras"):
        write("prw", WorldSpec(), tmp_path / "cameras")
    with pytest.raises(InputError, match="cannot write the format"):
        write("prww", WorldSpec(), tmp_path / "unknown")
    with pytest.raises(InputError, match="too many for the pool"):
        write("movienet_cs", small_spec("movienet_cs", gallery_entries=(3,)), tmp_path / "pool")
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="something here already"):
        write("cuhk_sysu", SMALL_WORLD, occupied)
    assert (occupied / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["occupied"]


def test_interrupted_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("psbench_data.synthetic.tree.draw_scene", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write("cuhk_sysu", SMALL_WORLD, tmp_path / "half")
    assert list(tmp_path.iterdir()) == []


def test_another_seed_is_another_world(world: PersonSearchDataset, tmp_path: Path) -> None:
    write("cuhk_sysu", dataclasses.replace(SMALL_WORLD, seed=1), tmp_path / "other", images=False)
    assert psbench_data.load("cuhk_sysu", root=tmp_path / "other").fingerprint != world.fingerprint
