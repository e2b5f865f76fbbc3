"""The readers of the four official formats, against what the reference readers get from the same trees."""

import json

import numpy as np
import pytest

import psbench_data
from psbench_data import UNLABELED, PersonSearchDataset, Scenes
from tests.conftest import EVALUATION

REFERENCE = json.loads((EVALUATION / "expected_loaders.json").read_text())
STATS = json.loads((EVALUATION / "expected.json").read_text())
UNLABELED_THERE = (5555, -1)
APPEARANCES = (10, 30, 50, 70, 100)


def _open(name: str, **options: int) -> PersonSearchDataset:
    return psbench_data.load(name, root=EVALUATION / name, **options)


def _ids(scenes: Scenes, reference: list[dict], raw: bool) -> dict[int, int]:
    """From the reference's ids to ours: by the raw label where it keeps them, else its row, which counts from 1."""
    there = sorted({pid for scene in reference for pid in scene["pids"]} - set(UNLABELED_THERE))
    return {pid: scenes.identities.index(str(pid)) if raw else pid - 1 for pid in there}


SPLITS = [
    ("cuhk_sysu", {}, "train", "train", False),
    ("cuhk_sysu", {}, "test", "gallery", False),
    ("prw", {}, "train", "train", True),
    ("prw", {}, "test", "gallery", True),
    ("lsps", {}, "test", "gallery", True),
    *(("movienet_cs", {"train_subset": n}, "train", f"train_app{n}", False) for n in APPEARANCES),
]


@pytest.mark.parametrize(("name", "options", "split", "there", "raw"), SPLITS)
def test_scenes_equal_the_reference_reader(
    name: str, options: dict[str, int], split: str, there: str, raw: bool
) -> None:
    scenes, reference = _open(name, **options).split(split), REFERENCE[name][there]
    ids = _ids(scenes, reference, raw)
    assert scenes.names == [scene["image"] for scene in reference]
    for scene, wanted in zip(scenes, reference, strict=True):
        np.testing.assert_array_equal(scene.boxes, np.reshape(wanted["boxes"], (-1, 4)))
        assert scene.person_ids.tolist() == [ids.get(pid, UNLABELED) for pid in wanted["pids"]]
        assert scene.camera_id == wanted.get("cam")


@pytest.mark.parametrize(("name", "options", "split", "there", "raw"), SPLITS)
def test_counts_equal_the_reference(name: str, options: dict[str, int], split: str, there: str, raw: bool) -> None:
    scenes, stats = _open(name, **options).split(split), STATS[name]["stats"][there]
    # The MovieNet-CS reader repeats an image once per appearance, and its boxes with it.
    assert len(scenes) == stats.get("distinct_images", stats["images"])
    if "distinct_images" not in stats:
        assert len(scenes.boxes) == stats["boxes"]
    labelled = [pid for pid in stats["pids"] if pid not in UNLABELED_THERE]
    assert len(set(scenes.person_ids.tolist()) - {UNLABELED}) == len(labelled)
    if raw:
        assert [int(scenes.identities[i]) for i in sorted(set(scenes.person_ids.tolist()) - {UNLABELED})] == labelled


def test_training_identities_of_lsps_are_numbered_by_the_reader_too() -> None:
    scenes, reference = _open("lsps").split("train"), REFERENCE["lsps"]["train"]
    assert scenes.names == [scene["image"] for scene in reference]
    for scene, wanted in zip(scenes, reference, strict=True):
        np.testing.assert_array_equal(scene.boxes, wanted["boxes"])
        assert scene.person_ids.tolist() == wanted["pids"]
    assert scenes.identities == tuple(str(pid) for pid in STATS["lsps"]["stats"]["train"]["pids"] if pid != 5555)


@pytest.mark.parametrize("size", [2000, 4000, 10000])
def test_each_pool_of_movienet_is_what_the_reference_reads(size: int) -> None:
    dataset = _open("movienet_cs")
    protocol = dataset.protocol(f"gallery-{size}")
    pool = dataset.split("test").select(protocol.pool)
    reference = {scene["image"]: scene for scene in REFERENCE["movienet_cs"][f"gallery_{size}"]}
    assert set(pool.names) == reference.keys()
    for scene in pool:
        np.testing.assert_array_equal(scene.boxes, np.reshape(reference[scene.name]["boxes"], (-1, 4)))
        assert [i + 1 if i >= 0 else 5555 for i in scene.person_ids.tolist()] == reference[scene.name]["pids"]


@pytest.mark.parametrize(
    ("name", "protocols"),
    [
        ("cuhk_sysu", ("gallery-50", "gallery-100", "gallery-500", "gallery-all")),
        ("prw", ("regular", "multi-view", "same-camera")),
        ("lsps", ("regular", "multi-view", "same-camera")),
        ("movienet_cs", ("gallery-2000", "gallery-4000", "gallery-10000", "gallery-all")),
    ],
)
def test_queries_equal_the_reference(name: str, protocols: tuple[str, ...]) -> None:
    dataset = _open(name)
    with np.load(EVALUATION / f"{name}.npz") as arrays:
        scenes, boxes = arrays["query_image_names"].tolist(), arrays["query_boxes"]
    reference = REFERENCE[name]["query"]
    for protocol in map(dataset.protocol, protocols):
        queries = protocol.queries
        assert [query.scene for query in queries] == scenes == [scene["image"] for scene in reference]
        np.testing.assert_array_equal([query.box for query in queries], boxes)
        if name in ("prw", "lsps"):
            labels = [int(dataset.split("test").identities[query.person_id]) for query in queries]
            assert labels == [scene["pids"][0] for scene in reference]
        else:
            assert [query.person_id for query in queries] == list(range(len(queries)))


@pytest.mark.parametrize(
    ("name", "protocols"),
    [
        ("cuhk_sysu", ("gallery-50", "gallery-100", "gallery-500", "gallery-all", "occlusion", "low-resolution")),
        ("prw", ("regular", "multi-view", "same-camera", "mini")),
        ("lsps", ("regular", "multi-view", "same-camera")),
        ("movienet_cs", ("gallery-2000", "gallery-4000", "gallery-10000", "gallery-all")),
    ],
)
def test_protocols_are_those_whose_files_are_there(name: str, protocols: tuple[str, ...]) -> None:
    assert _open(name).protocols == protocols


@pytest.mark.parametrize(
    ("protocol", "there"), [("occlusion", "subset:Occlusion"), ("low-resolution", "subset:Resolution")]
)
def test_subsets_are_queries_of_the_whole(protocol: str, there: str) -> None:
    dataset = _open("cuhk_sysu")
    whole = dataset.protocol("gallery-100").queries
    subset = dataset.protocol(protocol).queries
    rows = STATS["cuhk_sysu"]["search"][there]["query_index"]
    assert [q.scene for q in subset] == [whole[i].scene for i in rows]
    assert [q.person_id for q in subset] == [whole[i].person_id for i in rows]


@pytest.mark.parametrize("name", ["cuhk_sysu", "prw", "lsps"])
def test_image_sizes_come_from_the_lists(name: str) -> None:
    dataset = _open(name)
    for split in ("train", "test"):
        for scene in dataset.split(split)[:3]:
            assert scene.size == scene.image().size[::-1]
