"""Training batches: what is mirrored, what is drawn, and that nothing else changes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import psbench_data
from psbench.training.batches import Draw, EpochBatches, TrainingScenes, training_loader
from psbench_data import PersonSearchDataset


def test_mirrored_boxes_show_the_same_pixels(world: PersonSearchDataset) -> None:
    scenes = world.split("train")
    data = TrainingScenes(scenes)
    for i in range(len(data)):
        plain, mirrored = (data[Draw(i, mirrored)] for mirrored in (False, True))
        assert plain["names"] == mirrored["names"]
        scene = scenes[plain["names"]]
        np.testing.assert_array_equal(plain["targets"]["boxes"], scene.boxes)
        for sample in (plain, mirrored):
            np.testing.assert_array_equal(sample["targets"]["person_ids"], scene.person_ids)
        boxes = zip(plain["targets"]["boxes"].int().tolist(), mirrored["targets"]["boxes"].int().tolist(), strict=True)
        for (x1, y1, x2, y2), (u1, v1, u2, v2) in boxes:
            crop = plain["images"][:, y1:y2, x1:x2]
            assert torch.equal(mirrored["images"][:, v1:v2, u1:u2], crop.flip(-1))


def _epochs(batches: EpochBatches, count: int) -> list[list[list[Draw]]]:
    epochs = []
    for epoch in range(count):
        batches.begin(epoch)
        epochs.append(list(batches))
    return epochs


def test_every_scene_is_drawn_once_an_epoch_in_a_new_order() -> None:
    epochs = _epochs(EpochBatches(50, batch_size=5, flip=0.5, seed=3), 3)
    for epoch in epochs:
        draws = [draw for batch in epoch for draw in batch]
        assert sorted(draw.index for draw in draws) == list(range(50))
        assert 5 < sum(draw.mirrored for draw in draws) < 45
    assert epochs[0] != epochs[1] != epochs[2]
    assert _epochs(EpochBatches(50, batch_size=5, flip=0.5, seed=3), 3) == epochs
    unmirrored = EpochBatches(50, batch_size=5, flip=0, seed=3)
    assert not any(draw.mirrored for batch in unmirrored for draw in batch)


def test_an_epoch_can_be_begun_anywhere() -> None:
    whole = _epochs(EpochBatches(50, batch_size=4, flip=0.5, seed=3), 3)
    batches = EpochBatches(50, batch_size=4, flip=0.5, seed=3)
    batches.begin(2, first=5)
    assert list(batches) == whole[2][5:]


def test_an_epoch_is_a_whole_number_of_steps() -> None:
    """50 scenes make 12 batches of 4; with 5 of them a step, there are 2 steps."""
    batches = EpochBatches(50, batch_size=4, flip=0.5, seed=3, together=5)
    assert len(batches) == len(list(batches)) == 10
    assert all(len(batch) == 4 for batch in batches)


@given(
    groups=st.lists(st.integers(0, 2), min_size=1, max_size=40),
    batch_size=st.integers(1, 5),
    together=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_grouped_batches_mix_only_what_remains(groups: list[int], batch_size: int, together: int, seed: int) -> None:
    plan = {"batch_size": batch_size, "flip": 0.5, "seed": seed, "together": together}
    batches = EpochBatches(len(groups), groups=np.array(groups), **plan)  # type: ignore[arg-type]
    drawn = list(batches)
    assert len(drawn) == len(batches) == len(EpochBatches(len(groups), **plan))  # type: ignore[arg-type]
    assert all(len(batch) == batch_size for batch in drawn)
    scenes = [draw.index for batch in drawn for draw in batch]
    assert len(set(scenes)) == len(scenes)
    mixed = sum(len({groups[draw.index] for draw in batch}) > 1 for batch in drawn)
    # Of each group fewer than a batch remain.
    assert mixed * batch_size <= len(set(groups)) * (batch_size - 1)


def test_landscape_and_portrait_are_told_apart(
    world: PersonSearchDataset, world_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sizes are kept with the annotations, which are the same here.
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path / "cache"))
    root = shutil.copytree(world_root, tmp_path / "copy")
    turned = world.split("train")[3]
    path = root / turned.path.relative_to(world_root)
    with Image.open(path) as image:
        image.rotate(90, expand=True).save(path)
    for sizes in root.rglob("*_shape.txt"):
        sizes.unlink()
    data = TrainingScenes(psbench_data.load("cuhk_sysu", root=root).split("train"))
    names = [data[Draw(i)]["names"] for i in range(len(data))]
    assert data.landscape().tolist() == [name != turned.name for name in names]


def test_workers_change_nothing(world: PersonSearchDataset) -> None:
    data = TrainingScenes(world.split("train"))

    def drawn(workers: int) -> list:
        batches = EpochBatches(len(data), batch_size=4, flip=0.5, seed=1)
        loader = training_loader(data, batches, workers=workers, pin=False)
        found = []
        for epoch in range(2):
            batches.begin(epoch)
            found += [(batch["names"], [image.sum().item() for image in batch["images"]]) for batch in loader]
        return found

    assert drawn(0) == drawn(1)


@pytest.mark.parametrize(("asked", "cores", "taken"), [(4, 2, 2), (2, 4, 2), (4, 1, 1), (0, 4, 0)])
def test_there_are_no_more_workers_than_cores(
    world: PersonSearchDataset, monkeypatch: pytest.MonkeyPatch, asked: int, cores: int, taken: int
) -> None:
    """Of more, torch warns, and warnings are errors here."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    data = TrainingScenes(world.split("train"))
    batches = EpochBatches(len(data), batch_size=4, flip=0.5, seed=1)
    assert training_loader(data, batches, workers=asked, pin=False).num_workers == taken


def test_scenes_without_people_are_not_trained_on(world: PersonSearchDataset) -> None:
    data = TrainingScenes(world.split("train"))
    assert len(data) == sum(len(scene.boxes) > 0 for scene in world.split("train"))
