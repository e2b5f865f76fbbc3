"""Training pairs: who is searched for in which scene, how often each kind comes, and what a sample holds."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch.utils.data import DataLoader

import psbench_data
from psbench.training.batches import Draw, EpochBatches, TrainingScenes, collate, training_loader
from psbench.training.pairs import KINDS, Kind, TrainingPairs
from psbench.zoo.images import image_tensor
from psbench.zoo.layers.patches import query_patch
from psbench_data import UNLABELED, InputError, PersonSearchDataset, Scenes
from psbench_data.scenes import scenes_table

THIRDS = (1 / 3, 1 / 3, 1 / 3)
PATCH = (56, 24)


def _scenes(*people: list[int]) -> Scenes:
    """Scenes without pictures, with these people in them."""
    names = [f"{i}.jpg" for i in range(len(people))]
    every = np.array([[8 * k, 4, 8 * k + 6, 30] for k in range(4)], np.float32)
    boxes = [every[: len(ids)] for ids in people]
    known = {person for ids in people for person in ids if person != UNLABELED}
    table = scenes_table(names, names, boxes, [np.array(ids, np.int64) for ids in people])
    return Scenes(table, Path("nowhere"), [str(person) for person in sorted(known)])


def _allowed(people: list[list[int]], i: int) -> set[Kind]:
    """The kinds that a scene allows, from the definition."""
    labelled = [{person for person in ids if person != UNLABELED} for ids in people]
    elsewhere = set().union(*labelled[:i], *labelled[i + 1 :])
    allowed = {
        "cross-scene": bool(labelled[i] & elsewhere),
        "self-scene": bool(labelled[i]),
        "negative": bool(elsewhere - labelled[i]),
    }
    return {kind for kind in KINDS if allowed[kind]}


PEOPLE = st.lists(st.lists(st.integers(-1, 4), max_size=4), min_size=1, max_size=6)


@given(people=PEOPLE, epoch=st.integers(0, 3), seed=st.integers(0, 9))
def test_pairs_are_what_their_kind_says(people: list[list[int]], epoch: int, seed: int) -> None:
    scenes = _scenes(*people)
    usable = [i for i in range(len(people)) if _allowed(people, i)]
    if not usable:
        with pytest.raises(InputError, match="no training scene allows a pair"):
            TrainingPairs(scenes, seed=seed, mixture=THIRDS, patch=PATCH)
        return
    pairs = TrainingPairs(scenes, seed=seed, mixture=THIRDS, patch=PATCH)
    assert len(pairs) == len(usable)
    for index, i in enumerate(usable):
        pair = pairs.pair(index, epoch)
        assert pair.person_id == scenes.person_ids[pair.box] != UNLABELED
        assert scenes.offsets[pair.scene] <= pair.box < scenes.offsets[pair.scene + 1]
        assert pair.kind in _allowed(people, i)
        assert (pair.scene == i) == (pair.kind == "self-scene")
        assert (pair.person_id in people[i]) == (pair.kind != "negative")


@pytest.mark.parametrize("mixture", [THIRDS, (2, 1, 1), (0.5, 0.0, 0.5)])
def test_kinds_are_as_frequent_as_configured(mixture: tuple[float, float, float]) -> None:
    """In each of these scenes every kind is possible."""
    scenes = _scenes([0, 1, -1], [0, 2], [1, 2, 3], [3, 0])
    pairs = TrainingPairs(scenes, seed=1, mixture=mixture, patch=PATCH)
    epochs = 1500
    for index in range(4):
        counts = Counter(pairs.pair(index, epoch).kind for epoch in range(epochs))
        expected = epochs * np.array(mixture) / sum(mixture)
        drawn = expected > 0
        observed = np.array([counts[kind] for kind in KINDS])
        assert observed[~drawn].sum() == 0
        assert chisquare(observed[drawn], expected[drawn]).pvalue > 1e-3


def test_scenes_that_allow_less_share_what_they_allow() -> None:
    # In the first is nobody; in the second one who is nowhere else; in the third strangers.
    people = [[], [0], [-1, -1], [1, 2], [1, 2]]
    pairs = TrainingPairs(_scenes(*people), seed=3, mixture=(0.4, 0.2, 0.4), patch=PATCH)
    assert len(pairs) == 5
    counts = [Counter(pairs.pair(index, epoch).kind for epoch in range(1500)) for index in range(5)]
    assert counts[0] == counts[2] == {"negative": 1500}
    assert set(counts[1]) == {"self-scene", "negative"}
    assert chisquare([counts[1]["self-scene"], counts[1]["negative"]], [500, 1000]).pvalue > 1e-3
    positive = TrainingPairs(_scenes(*people), seed=3, mixture=(1, 0, 0), patch=PATCH)
    assert len(positive) == 2


def test_everybody_is_searched_for_alike() -> None:
    """Among the people of a scene, and among all others, however often they were annotated; then among their boxes."""
    scenes = _scenes([0, 1, -1], [0, 2, 2], [2, 3], [3, 2], [1, 0], [2])
    pairs = TrainingPairs(scenes, seed=5, mixture=THIRDS, patch=PATCH)
    drawn = [pairs.pair(0, epoch) for epoch in range(6000)]
    for kind, people in (("self-scene", [0, 1]), ("cross-scene", [0, 1]), ("negative", [2, 3])):
        counts = Counter(pair.person_id for pair in drawn if pair.kind == kind)
        assert sorted(counts) == people
        assert chisquare(list(counts.values())).pvalue > 1e-3
    boxes = Counter(pair.box for pair in drawn if pair.kind == "negative" and pair.person_id == 2)
    assert len(boxes) == 5
    assert chisquare(list(boxes.values())).pvalue > 1e-3


def test_pairs_follow_from_seed_epoch_and_index_alone() -> None:
    scenes = _scenes([0, 1, -1], [0, 2], [1, 2, 3], [3, 0])

    def drawn(seed: int, epochs: range) -> list:
        pairs = TrainingPairs(scenes, seed=seed, mixture=THIRDS, patch=PATCH)
        return [pairs.pair(index, epoch) for epoch in epochs for index in range(4)]

    assert drawn(1, range(20))[40:] == drawn(1, range(10, 20))
    assert drawn(1, range(20)) != drawn(2, range(20))
    assert drawn(1, range(10)) != drawn(1, range(10, 20))


def test_sample_holds_the_scene_and_the_query(world: PersonSearchDataset) -> None:
    scenes = world.split("train")
    pairs, plain = TrainingPairs(scenes, seed=1, mixture=THIRDS, patch=PATCH), TrainingScenes(scenes)
    assert len(pairs) == len(plain)
    kinds = set()
    for index in range(len(pairs)):
        for mirrored in (False, True):
            sample, scene = pairs[Draw(index, mirrored, 2)], plain[Draw(index, mirrored, 2)]
            pair = pairs.pair(index, 2)
            kinds.add(pair.kind)
            assert sample["names"] == scene["names"]
            assert torch.equal(sample["images"], scene["images"])
            target = sample["targets"]
            assert all(torch.equal(target[key], value) for key, value in scene["targets"].items())
            assert (target["query_id"].dtype, int(target["query_id"])) == (torch.int64, pair.person_id)
            # Never mirrored.
            box = torch.tensor(scenes.boxes[pair.box])
            assert torch.equal(target["query_patch"], query_patch(image_tensor(scenes[pair.scene]), box, PATCH))
            assert (target["query_patch"].shape, target["query_patch"].dtype) == ((3, *PATCH), torch.uint8)
    assert kinds == set(KINDS)


def test_workers_change_nothing(world: PersonSearchDataset) -> None:
    pairs = TrainingPairs(world.split("train"), seed=1, mixture=THIRDS, patch=PATCH)
    batches = EpochBatches(len(pairs), batch_size=2, flip=0.5, seed=1)
    batches.begin(1)
    alone, helped = (list(training_loader(pairs, batches, workers=workers, pin=False)) for workers in (0, 2))
    assert len(alone) == len(helped) == len(pairs) // 2
    for one, other in zip(alone, helped, strict=True):
        assert one["names"] == other["names"]
        for key in ("query_patch", "query_id", "boxes"):
            pictures = zip(one["targets"], other["targets"], strict=True)
            assert all(torch.equal(a[key], b[key]) for a, b in pictures)


def test_picture_of_the_query_that_does_not_decode_is_a_fault(world_root: Path, tmp_path: Path) -> None:
    dataset = psbench_data.load("cuhk_sysu", root=shutil.copytree(world_root, tmp_path / "copy"))
    scenes = dataset.split("train")
    pairs = TrainingPairs(scenes, seed=1, mixture=(1, 0, 0), patch=PATCH)
    origin = scenes[pairs.pair(0, 0).scene]
    origin.path.write_bytes(origin.path.read_bytes()[:300])
    loader = DataLoader(pairs, batch_sampler=[[Draw(0)]], collate_fn=collate)
    (batch,) = loader
    assert list(batch) == ["faults"]
    assert origin.name in batch["faults"][0]


def test_shapes_are_those_of_the_searched_scenes(world: PersonSearchDataset) -> None:
    pairs = TrainingPairs(world.split("train"), seed=1, mixture=THIRDS, patch=PATCH)
    shapes = [pairs[Draw(index)]["images"].shape for index in range(len(pairs))]
    assert pairs.landscape().tolist() == [width >= height for _, height, width in shapes]


@pytest.mark.parametrize("mixture", [(1, 1), (1, -1, 1), (float("nan"), 1, 1), (0.2, 0.2, 0.2, 0.4)])
def test_mixture_that_is_none_is_refused(mixture: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="expected three shares"):
        TrainingPairs(_scenes([0], [0, 1]), seed=1, mixture=mixture, patch=PATCH)


def test_data_without_identities_is_refused() -> None:
    with pytest.raises(InputError, match="no training scene allows a pair of the kinds asked for"):
        TrainingPairs(_scenes([-1], [], [-1, -1]), seed=1, mixture=THIRDS, patch=PATCH)
