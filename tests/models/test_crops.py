"""Crops of people: what is cut out and whose it is said to be."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import psbench_data
from psbench import InputError, Predictions, zoo
from psbench.training import recipe_for
from psbench.training.batches import Draw, EpochBatches, TrainingScenes, training_loader
from psbench.training.crops import TrainingCrops, detections_digest, require_detections
from psbench.training.data import training_data
from psbench.training.pairs import TrainingPairs
from psbench_data import UNLABELED, PersonSearchDataset, Scene, Scenes
from psbench_data.scenes import scenes_table
from tests.models.small import SMALL

SIZE = (64, 32)


def detections_in(scenes: Scenes, seed: int = 0, *, backwards: bool = False, shift: float = 4) -> Predictions:
    """Each person found twice, a few pixels off, and as many boxes anywhere."""
    random = np.random.default_rng(seed)
    of_scene = []
    for scene in scenes:
        near = np.repeat(scene.boxes, 2, axis=0) + random.uniform(-shift, shift, (2 * len(scene.boxes), 4))
        corners = random.uniform(0, 60, (len(near), 2))
        of_scene.append(np.concatenate([near, np.hstack([corners, corners + random.uniform(5, 40, corners.shape)])]))
    order = range(len(scenes))[:: -1 if backwards else 1]
    boxes = np.concatenate([of_scene[i] for i in order])
    return Predictions.from_arrays(
        [scenes.names[i] for i in order],
        counts=[len(of_scene[i]) for i in order],
        boxes=boxes,
        scores=np.full(len(boxes), 0.5),
        embeddings=np.zeros((len(boxes), 2)),
        query_embeddings=np.zeros((0, 2)),
        dataset="cuhk_sysu",
        fingerprint=scenes.fingerprint,
    )


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0.0) * max(height, 0.0)
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def _whose(box: np.ndarray, scene: Scene, iou: float) -> int:
    overlaps = [_overlap(box, person) for person in scene.boxes]
    best = int(np.argmax(overlaps))
    return int(scene.person_ids[best]) if overlaps[best] >= iou else UNLABELED


def _rows(crops: TrainingCrops) -> set[tuple]:
    return {
        (int(scene), *box, int(person))
        for scene, box, person in zip(crops.scene_of, crops.boxes.tolist(), crops.person_ids, strict=True)
    }


def test_crops_are_cut_as_pillow_cuts_them(world: PersonSearchDataset) -> None:
    scenes = world.split("train")
    found = detections_in(scenes)
    data = TrainingCrops(scenes, detections=found, size=SIZE)
    beyond = 0
    for i in range(len(data)):
        scene = scenes[int(data.scene_of[i])]
        box = tuple(round(x) for x in data.boxes[i].tolist())
        beyond += box[0] < 0 or box[3] > scene.image().height
        # Pillow, too, has zeros outside the picture, and takes every pixel into account where it shrinks.
        picture = scene.image().crop(box).resize(SIZE[::-1], Image.Resampling.BILINEAR)
        expected = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        for mirrored in (False, True):
            sample = data[Draw(i, mirrored)]
            image = sample["images"]
            assert (image.dtype, sample["names"]) == (torch.uint8, scene.name)
            assert (image.int() - (expected.flip(-1) if mirrored else expected).int()).abs().max() <= 1
            assert sample["targets"]["person_ids"].tolist() == [data.person_ids[i]]
    assert beyond


def test_annotated_crops_are_those_of_labelled_people(world: PersonSearchDataset) -> None:
    scenes = world.split("train")
    data = TrainingCrops(scenes, detections=None, size=SIZE)
    expected = {
        (i, *box, int(person))
        for i, scene in enumerate(scenes)
        for box, person in zip(scene.boxes.tolist(), scene.person_ids, strict=True)
        if person != UNLABELED
    }
    assert len(data) == len(expected) < len(scenes.boxes)
    assert _rows(data) == expected
    assert set(data.person_ids.tolist()) == set(range(scenes.num_identities))
    assert not data.landscape().any()


@pytest.mark.parametrize("iou", [0.5, 0.7])
def test_detected_crops_belong_to_whom_they_overlap_most(world: PersonSearchDataset, iou: float) -> None:
    scenes = world.split("train")
    found = detections_in(scenes)
    data = TrainingCrops(scenes, detections=found, size=SIZE, iou=iou)
    expected = _rows(TrainingCrops(scenes, detections=None, size=SIZE))
    strangers = far = 0
    for row, box in enumerate(found.boxes):
        i = int(np.searchsorted(found.offsets, row, side="right")) - 1
        person = _whose(box, scenes[i], iou)
        if person != UNLABELED:
            expected.add((i, *box.tolist(), person))
        strangers += person == UNLABELED and _whose(box, scenes[i], 0) == UNLABELED
        far += _whose(box, scenes[i], 0) != person
    assert strangers
    assert far
    assert _rows(data) == expected
    assert (np.diff(data.scene_of) >= 0).all()


def test_a_box_on_two_people_goes_to_the_nearer_one_even_if_that_is_a_stranger() -> None:
    boxes = np.array([[0, 0, 20, 50], [3, 0, 23, 50]], np.float32)
    table = scenes_table(["a"], ["a.png"], [boxes], [np.array([0, UNLABELED])])
    scenes = Scenes(table, Path("nowhere"), ["7"])
    found = Predictions.from_arrays(
        ["a"], counts=[2], boxes=[[1, 0, 21, 50], [2, 0, 22, 50]], scores=[1, 1], embeddings=np.zeros((2, 1)),
        query_embeddings=np.zeros((0, 1)),
    )  # fmt: skip
    # The second one overlaps the first person by more than 0.7, too.
    assert _overlap(found.boxes[1], boxes[0]) > 0.7
    data = TrainingCrops(scenes, detections=found, size=SIZE)
    assert _rows(data) == {(0, 0, 0, 20, 50, 0), (0, 1, 0, 21, 50, 0)}


def test_order_of_the_predicted_scenes_is_of_no_matter(world: PersonSearchDataset) -> None:
    scenes = world.split("train")
    one, other, moved = detections_in(scenes), detections_in(scenes, backwards=True), detections_in(scenes, shift=5)
    assert one.scene_names != other.scene_names
    crops = [TrainingCrops(scenes, detections=found, size=SIZE) for found in (one, other)]
    np.testing.assert_array_equal(crops[0].boxes, crops[1].boxes)
    np.testing.assert_array_equal(crops[0].person_ids, crops[1].person_ids)
    assert detections_digest(one, scenes) == detections_digest(other, scenes) != detections_digest(moved, scenes)


def test_every_epoch_draws_the_same_with_and_without_workers(world: PersonSearchDataset) -> None:
    data = TrainingCrops(world.split("train"), detections=None, size=SIZE)

    def drawn(workers: int) -> list[torch.Tensor]:
        batches = EpochBatches(len(data), batch_size=5, flip=0.5, seed=1)
        loader = training_loader(data, batches, workers=workers, pin=False)
        found = []
        for epoch in range(2):
            batches.begin(epoch)
            found += [torch.stack(batch["images"]) for batch in loader]
        return found

    here, there = drawn(0), drawn(1)
    assert len(here) == 2 * (len(data) // 5)
    torch.testing.assert_close(there, here, rtol=0, atol=0)
    assert not torch.equal(torch.cat(here[: len(here) // 2]), torch.cat(here[len(here) // 2 :]))


def test_pictures_that_do_not_decode_are_faults(world_root: Path, tmp_path: Path) -> None:
    dataset = psbench_data.load("cuhk_sysu", root=shutil.copytree(world_root, tmp_path / "copy"))
    data = TrainingCrops(dataset.split("train"), detections=None, size=SIZE)
    path = dataset.split("train")[int(data.scene_of[0])].path
    path.write_bytes(path.read_bytes()[:300])
    assert str(path) in data[Draw(0)]["fault"]


def test_without_labelled_people_there_is_nothing_to_cut() -> None:
    table = scenes_table(["a"], ["a.png"], [np.array([[0, 0, 20, 50]], np.float32)], [np.array([UNLABELED])])
    with pytest.raises(InputError, match="no training scene has a labelled person"):
        TrainingCrops(Scenes(table, Path("nowhere")), detections=None, size=SIZE)


def test_detections_of_other_scenes_are_refused(world: PersonSearchDataset, golden: PersonSearchDataset) -> None:
    train, test = world.split("train"), world.split("test")
    require_detections(detections_in(train), train, test, "here")
    with pytest.raises(InputError, match=r"here: these are detections of the test scenes.*--split train"):
        require_detections(detections_in(test), train, test, "here")
    with pytest.raises(InputError, match=r"here: detections on another cuhk_sysu \(fingerprint .*--split train"):
        require_detections(detections_in(golden.split("train")), train, test, "here")
    nameless = Predictions.from_arrays(
        ["x.jpg", train.names[0], "y.jpg"], counts=[0, 0, 0], boxes=np.zeros((0, 4)), scores=[],
        embeddings=np.zeros((0, 1)), query_embeddings=np.zeros((0, 1)),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"here: 'x.jpg', and 1 more, are no training scenes"):
        require_detections(nameless, train, test, "here")


@pytest.mark.parametrize(
    ("name", "kind"), [("oim", TrainingScenes), ("igpn", TrainingPairs), ("reid_pcb", TrainingCrops)]
)
def test_a_model_gets_what_it_trains_on(world: PersonSearchDataset, name: str, kind: type) -> None:
    recipe = recipe_for(f"{name}-demo")
    options = SMALL.get(name, recipe.model_options)
    data = training_data(recipe, zoo.create(name, num_identities=6, **options), world.split("train"))
    assert type(data) is kind
    sample = data[Draw(0)]
    assert sample["images"].dtype == torch.uint8
