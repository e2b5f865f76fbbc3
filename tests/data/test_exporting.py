"""Exports to Hugging Face datasets and Parquet hold what the dataset holds, and restricted ones stay at home."""

import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import psbench_data
from psbench_data import UNLABELED, InputError, PersonSearchDataset, Scenes
from psbench_data.dataset import SYNTHETIC_MARKER
from psbench_data.exporting.hf import export_hf, to_hf
from psbench_data.exporting.parquet import export_parquet
from psbench_data.protocol_files import read_protocol
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from tests.conftest import EVALUATION, SMALL_WORLD


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    datasets.disable_progress_bars()


@pytest.fixture(scope="module", params=["prw", "lsps"])
def official(request: pytest.FixtureRequest) -> PersonSearchDataset:
    return psbench_data.load(request.param, root=EVALUATION / request.param)


@pytest.fixture(scope="module")
def prw() -> PersonSearchDataset:
    return psbench_data.load("prw", root=EVALUATION / "prw")


@pytest.fixture
def own_data(prw: PersonSearchDataset, tmp_path: Path) -> PersonSearchDataset:
    """One's own data: no training set, and one scene without anybody in it."""
    for name in "abc":
        shutil.copyfile(prw.split("test")[0].path, tmp_path / f"{name}.jpg")
    person = {"category_id": 1, "bbox": [1, 2, 30, 40], "person_id": 7}
    document = {
        "images": [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate("abc")],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"id": i, "image_id": i, **person} for i in range(2)],
    }
    (tmp_path / "test.json").write_text(json.dumps(document))
    return psbench_data.load("coco", root=tmp_path)


@pytest.fixture
def without_images(tmp_path: Path) -> PersonSearchDataset:
    write_cuhk_sysu(SMALL_WORLD, tmp_path / "bare", images=False)
    return psbench_data.load("cuhk_sysu", root=tmp_path / "bare")


@pytest.fixture
def damaged(tmp_path: Path) -> PersonSearchDataset:
    """A dataset with one picture cut short in train and one missing in test."""
    write_cuhk_sysu(SMALL_WORLD, tmp_path / "damaged")
    dataset = psbench_data.load("cuhk_sysu", root=tmp_path / "damaged")
    test, train = dataset.split("test"), dataset.split("train")
    test[3].path.unlink()
    test[5].path.write_bytes(test[5].path.read_bytes()[:300])
    train[0].path.write_bytes(b"no picture")
    return dataset


def _says_the_same(row: dict, scenes: Scenes, i: int) -> None:
    scene = scenes[i]
    boxes = np.array(row["objects"]["bbox"], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    np.testing.assert_allclose(boxes, scene.boxes, atol=1e-3)
    assert list(row["objects"]["person_id"]) == scene.person_ids.tolist()
    labels = [None if p == UNLABELED else scenes.identities[p] for p in scene.person_ids.tolist()]
    assert list(row["objects"]["identity"]) == labels
    assert row["image_id"] == scene.name
    assert row["camera_id"] == scene.camera_id


class TestToHf:
    def test_has_every_scene_with_its_people(self, official: PersonSearchDataset) -> None:
        for split in ("train", "test"):
            scenes, data = official.split(split), official.to_hf(split)
            assert len(data) == len(scenes)
            for i, row in enumerate(data):
                _says_the_same(row, scenes, i)
                assert (row["height"], row["width"]) == scenes[i].size
                assert row["image"].size == (row["width"], row["height"])

    def test_camera_is_null_where_the_dataset_has_none(self, world: PersonSearchDataset) -> None:
        assert set(world.to_hf("test")["camera_id"]) == {None}

    def test_sizes_come_from_the_pictures_where_the_annotation_has_none(self) -> None:
        dataset = psbench_data.load("movienet_cs", root=EVALUATION / "movienet_cs")
        for row, scene in zip(dataset.to_hf("train"), dataset.split("train"), strict=True):
            assert (row["width"], row["height"]) == scene.image().size

    def test_sizes_are_null_where_nothing_says_them(self, tmp_path: Path) -> None:
        shutil.copytree(EVALUATION / "movienet_cs" / "annotation", tmp_path / "annotation")
        data = psbench_data.load("movienet_cs", root=tmp_path).to_hf("train")
        assert set(data["width"]) == set(data["height"]) == {None}

    def test_people_can_be_read_without_the_pictures(self, without_images: PersonSearchDataset) -> None:
        data = without_images.to_hf("test")
        assert len(data["objects"][0]["bbox"]) == len(without_images.split("test")[0].boxes)
        with pytest.raises(FileNotFoundError):
            data[0]
        row = without_images.to_hf("test", images=False)[0]
        assert "image" not in row
        _says_the_same(row, without_images.split("test"), 0)

    def test_embedded_bytes_are_those_of_the_files(self, prw: PersonSearchDataset) -> None:
        data = prw.to_hf("train", embed_images=True)
        raw = data.cast_column("image", datasets.Image(decode=False))
        for row, scene in zip(raw, prw.split("train"), strict=True):
            assert row["image"]["bytes"] == scene.path.read_bytes()
        np.testing.assert_array_equal(np.asarray(data[0]["image"]), np.asarray(prw.split("train")[0].image()))

    def test_fingerprint_follows_the_content(self, prw: PersonSearchDataset) -> None:
        again = psbench_data.load("prw", root=EVALUATION / "prw")
        prints = {
            to_hf(prw, "test")._fingerprint,
            to_hf(prw, "train")._fingerprint,
            to_hf(prw, "test", images=False)._fingerprint,
            to_hf(prw, "test", embed_images=True)._fingerprint,
        }
        assert len(prints) == 4
        assert to_hf(again, "test")._fingerprint == to_hf(prw, "test")._fingerprint

    def test_faults(self, prw: PersonSearchDataset, without_images: PersonSearchDataset) -> None:
        with pytest.raises(InputError, match="no split"):
            prw.to_hf("val")
        with pytest.raises(InputError, match="contradict"):
            prw.to_hf("test", images=False, embed_images=True)
        with pytest.raises(InputError) as error:
            without_images.to_hf("test", embed_images=True)
        assert len(error.value.faults) == len(without_images.split("test"))


class TestRestricted:
    def test_goes_to_no_hub(self, prw: PersonSearchDataset) -> None:
        with pytest.raises(InputError, match="terms forbid"):
            prw.to_hf("test").push_to_hub("somebody/prw")

    @pytest.mark.filterwarnings("default::FutureWarning")
    @pytest.mark.parametrize(
        "change",
        [
            lambda data: data.select([1, 0]),
            lambda data: data.select(range(2)),
            lambda data: data.map(lambda row: {"people": len(row["objects"]["bbox"])}),
            lambda data: data.map(lambda row: {"n": 1}, remove_columns=data.column_names),
            lambda data: data.filter(lambda row: row["camera_id"] == 1),
            lambda data: data.sort("image_id"),
            lambda data: data.shuffle(seed=0),
            lambda data: data.shard(2, 0),
            lambda data: data.take(3),
            lambda data: data.train_test_split(0.5, seed=0)["test"],
            lambda data: data.cast(data.features),
            lambda data: data.add_column("n", list(range(len(data)))),
            lambda data: data.remove_columns("width"),
            lambda data: data.with_format("numpy"),
            lambda data: data.flatten(),
            lambda data: datasets.DatasetDict({"test": data}).map(lambda row: row)["test"],
        ],
    )
    def test_nor_does_what_is_made_of_it(self, prw: PersonSearchDataset, change) -> None:
        with pytest.raises(InputError, match="terms forbid"):
            change(prw.to_hf("test", images=False)).push_to_hub("somebody/prw")

    def test_nor_as_a_split_of_a_dictionary(self, prw: PersonSearchDataset, monkeypatch: pytest.MonkeyPatch) -> None:
        class Hub:
            """A Hub that has the repository; anything else asked of it fails."""

            def __init__(self, **kwargs: object) -> None:
                self.id = "somebody/prw"

            def repo_info(self, *args: object, **kwargs: object) -> "Hub":
                return self

        monkeypatch.setattr("datasets.dataset_dict.HfApi", Hub)
        with pytest.raises(InputError, match="terms forbid"):
            datasets.DatasetDict({"test": prw.to_hf("test")}).push_to_hub("somebody/prw")

    def test_drawn_people_are_free(self, world: PersonSearchDataset) -> None:
        assert type(world.to_hf("test")) is datasets.Dataset


class TestExportHf:
    @pytest.mark.parametrize("embed", [False, True])
    def test_is_loaded_again(self, prw: PersonSearchDataset, tmp_path: Path, embed: bool) -> None:
        export_hf(prw, tmp_path / "out", embed_images=embed)
        loaded = datasets.load_from_disk(str(tmp_path / "out"))
        assert set(loaded) == {"train", "test"}
        for split, data in loaded.items():
            for i, row in enumerate(data):
                _says_the_same(row, prw.split(split), i)
                assert row["image"].size == (row["width"], row["height"])
        raw = loaded["test"].cast_column("image", datasets.Image(decode=False))
        assert (raw[0]["image"]["bytes"] is not None) is embed

    def test_paths_need_no_pictures(self, without_images: PersonSearchDataset, tmp_path: Path) -> None:
        export_hf(without_images, tmp_path / "out")
        loaded = datasets.load_from_disk(str(tmp_path / "out"))
        assert loaded["test"]["image_id"][:] == without_images.split("test").names

    def test_stays_known_as_synthetic(self, world: PersonSearchDataset, tmp_path: Path) -> None:
        export_hf(world, tmp_path / "out")
        assert (tmp_path / "out" / SYNTHETIC_MARKER).read_bytes() == (world.root / SYNTHETIC_MARKER).read_bytes()
        assert "Drawn" in (tmp_path / "out" / "TERMS.txt").read_text()


class TestExportParquet:
    @pytest.mark.parametrize("embed", [False, True])
    def test_is_read_by_datasets(self, official: PersonSearchDataset, tmp_path: Path, embed: bool) -> None:
        export_parquet(official, tmp_path / "out", embed_images=embed, shard_bytes=30_000)
        files = {split: str(tmp_path / "out" / f"{split}-*.parquet") for split in ("train", "test")}
        loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
        assert len(list((tmp_path / "out").glob("test-*.parquet"))) > int(embed)
        for split, data in loaded.items():
            scenes = official.split(split)
            assert len(data) == len(scenes)
            for i, row in enumerate(data):
                _says_the_same(row, scenes, i)
                np.testing.assert_array_equal(np.asarray(row["image"]), np.asarray(scenes[i].image()))

    def test_is_read_by_pandas(self, prw: PersonSearchDataset, tmp_path: Path) -> None:
        export_parquet(prw, tmp_path / "out", embed_images=True)
        assert [path.name for path in sorted((tmp_path / "out").glob("test*"))] == ["test-00000-of-00001.parquet"]
        frame = pd.read_parquet(tmp_path / "out" / "test-00000-of-00001.parquet")
        scenes = prw.split("test")
        assert frame["image_id"].tolist() == scenes.names
        assert frame["image"][4] == {"bytes": scenes[4].path.read_bytes(), "path": scenes.paths[4]}

    def test_one_scene_a_file_at_least(self, prw: PersonSearchDataset, tmp_path: Path) -> None:
        export_parquet(prw, tmp_path / "out", embed_images=True, shard_bytes=1)
        files = sorted((tmp_path / "out").glob("train-*.parquet"))
        assert [pq.read_metadata(file).num_rows for file in files] == [1] * len(prw.split("train"))

    @pytest.mark.parametrize("embed", [False, True])
    def test_empty_split_and_empty_scene(self, own_data: PersonSearchDataset, tmp_path: Path, embed: bool) -> None:
        scenes = own_data.split("test")
        assert len(own_data.split("train")) == 0
        export_hf(own_data, tmp_path / "hf", embed_images=embed)
        saved = datasets.load_from_disk(str(tmp_path / "hf"))
        assert set(saved) == {"test"}
        for i, row in enumerate(saved["test"]):
            _says_the_same(row, scenes, i)
        export_parquet(own_data, tmp_path / "parquet", embed_images=embed)
        assert [path.name for path in (tmp_path / "parquet").glob("*.parquet")] == ["test-00000-of-00001.parquet"]
        files = str(tmp_path / "parquet" / "test-*.parquet")
        cache = str(tmp_path / "cache")
        for i, row in enumerate(datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)):
            _says_the_same(row, scenes, i)

    def test_protocols_are_the_same(self, official: PersonSearchDataset, tmp_path: Path) -> None:
        export_parquet(official, tmp_path / "out")
        files = sorted((tmp_path / "out" / "protocols").glob("*.parquet"))
        assert {file.stem for file in files} == set(official.protocols)
        test = official.split("test")
        for file in files:
            protocol = official.protocol(file.stem)
            again = psbench_data.Protocol(
                file.stem,
                read_protocol(file, test),
                test,
                dataset=official.name,
                synthetic=False,
                version=protocol.version,
            )
            assert again.digest == protocol.digest

    def test_faulty_pictures_are_all_named_and_nothing_is_left(
        self, damaged: PersonSearchDataset, tmp_path: Path
    ) -> None:
        test, before = damaged.split("test"), set(tmp_path.iterdir())
        for export in (export_parquet, export_hf):
            with pytest.raises(InputError) as error:
                export(damaged, tmp_path / "out", embed_images=True)
            assert len(error.value.faults) == 3
            for file in (test[3].path, test[5].path, damaged.split("train")[0].path):
                assert str(file) in "\n".join(error.value.faults)
            assert set(tmp_path.iterdir()) == before

    def test_paths_need_no_pictures(self, without_images: PersonSearchDataset, tmp_path: Path) -> None:
        export_parquet(without_images, tmp_path / "out")
        frame = pd.read_parquet(tmp_path / "out" / "train-00000-of-00001.parquet")
        assert frame["image_id"].tolist() == without_images.split("train").names
        assert (tmp_path / "out" / SYNTHETIC_MARKER).is_file()

    def test_faults(self, prw: PersonSearchDataset, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "something").touch()
        with pytest.raises(InputError, match="something here already"):
            export_parquet(prw, tmp_path / "out")
        with pytest.raises(InputError, match="shard_bytes"):
            export_parquet(prw, tmp_path / "new", shard_bytes=0)
