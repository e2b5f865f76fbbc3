"""Training batches: what is mirrored, what is drawn, and that nothing else changes."""

import numpy as np
import torch

from psbench.training.batches import ShuffledDraws, TrainingScenes, training_loader
from psbench_data import PersonSearchDataset


def test_mirrored_boxes_show_the_same_pixels(world: PersonSearchDataset) -> None:
    scenes = world.split("train")
    data = TrainingScenes(scenes)
    for i in range(len(data)):
        plain, mirrored = data[i, False], data[i, True]
        assert plain["names"] == mirrored["names"]
        scene = scenes[plain["names"]]
        np.testing.assert_array_equal(plain["targets"]["boxes"], scene.boxes)
        for sample in (plain, mirrored):
            np.testing.assert_array_equal(sample["targets"]["person_ids"], scene.person_ids)
        boxes = zip(plain["targets"]["boxes"].int().tolist(), mirrored["targets"]["boxes"].int().tolist(), strict=True)
        for (x1, y1, x2, y2), (u1, v1, u2, v2) in boxes:
            crop = plain["images"][:, y1:y2, x1:x2]
            assert torch.equal(mirrored["images"][:, v1:v2, u1:u2], crop.flip(-1))


def test_every_scene_is_drawn_once_an_epoch_in_a_new_order() -> None:
    draws = ShuffledDraws(50, flip=0.5, seed=3)
    epochs = [list(draws) for _ in range(3)]
    for epoch in epochs:
        assert sorted(i for i, _ in epoch) == list(range(50))
        assert 5 < sum(mirrored for _, mirrored in epoch) < 45
    assert epochs[0] != epochs[1] != epochs[2]
    again = ShuffledDraws(50, flip=0.5, seed=3)
    assert [list(again) for _ in range(3)] == epochs
    assert not any(mirrored for _, mirrored in ShuffledDraws(50, flip=0, seed=3))


def test_workers_change_nothing(world: PersonSearchDataset) -> None:
    def drawn(workers: int) -> list:
        loader = training_loader(world.split("train"), batch_size=4, flip=0.5, workers=workers, seed=1)
        return [
            (batch["names"], [image.sum().item() for image in batch["images"]]) for _ in range(2) for batch in loader
        ]

    assert drawn(0) == drawn(1)


def test_scenes_without_people_are_not_trained_on(world: PersonSearchDataset) -> None:
    data = TrainingScenes(world.split("train"))
    assert len(data) == sum(len(scene.boxes) > 0 for scene in world.split("train"))
