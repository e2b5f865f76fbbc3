"""Prediction: what a model's predictions hold, and what stops them."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import nn
from typer.testing import CliRunner

import psbench
import psbench_data
from psbench import InputError, Predictions
from psbench.cli import app
from psbench.inference import predict, predict_into
from psbench.zoo import ZooModel
from psbench.zoo.weights import describe, save_weights
from psbench_data import PersonSearchDataset
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from tests.conftest import SMALL_WORLD
from tests.models.looks import Looks, assert_equal, files
from tests.models.small import SMALL


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """54 scenes in eight pieces, the last smaller."""
    monkeypatch.setattr("psbench.inference.work.PIECE_ROWS", 7)


@pytest.fixture(scope="module")
def wider(tmp_path_factory: pytest.TempPathFactory) -> PersonSearchDataset:
    """With scenes enough for a protocol that asks for some of the queries only."""
    root = tmp_path_factory.mktemp("wider") / "cuhk_sysu"
    write_cuhk_sysu(dataclasses.replace(SMALL_WORLD, test_scenes=103), root)
    return psbench_data.load("cuhk_sysu", root=root)


@pytest.fixture(scope="module")
def model() -> ZooModel:
    """A network that has learnt nothing; every box must come out to be looked at."""
    torch.manual_seed(0)
    options = SMALL["seqnet"] | {"score_thresh_test": 0.0, "rpn_post_nms_top_n_test": 8}
    return psbench.zoo.create("seqnet", num_identities=6, **options)


def _copy(world_root: Path, folder: Path) -> PersonSearchDataset:
    return psbench_data.load("cuhk_sysu", root=shutil.copytree(world_root, folder / "copy"))


def test_predictions_serve_every_protocol(model: ZooModel, world: PersonSearchDataset, tmp_path: Path) -> None:
    predictions = predict(model, world, context=True, method="tiny", progress=False)
    assert predictions.scene_names == world.split("test").names
    assert len(predictions.scores) > 0
    assert (predictions.method, predictions.synthetic) == ("tiny", True)
    assert (predictions.dataset, predictions.fingerprint) == ("cuhk_sysu", world.split("test").fingerprint)
    loaded = Predictions.load(predictions.save(tmp_path / "predictions"))
    for name in world.protocols:
        assert 0 <= psbench.evaluate(loaded, world.protocol(name), det_threshold=0).map <= 1
    assert loaded.context is not None
    queries = loaded.context.offsets[:-1]
    np.testing.assert_allclose(loaded.context.boxes[queries], loaded.query_boxes, atol=1e-3)
    np.testing.assert_allclose(loaded.context.embeddings[queries], loaded.query_embeddings, atol=1e-4)
    psbench.evaluate(loaded, world.protocol("gallery-50"), det_threshold=0, cbgm=psbench.CBGM())


def test_true_boxes_reach_every_person(model: ZooModel, world: PersonSearchDataset) -> None:
    perfect = predict(model, world, ground_truth_boxes=True, progress=False)
    test = world.split("test")
    np.testing.assert_array_equal(perfect.boxes, test.boxes)
    detection = psbench.evaluate_detection(perfect, test)
    assert (detection.recall, detection.ap) == (1.0, 1.0)


@pytest.mark.parametrize("true_boxes", [False, True])
def test_batches_predict_what_single_images_do(
    model: ZooModel, world_root: Path, tmp_path: Path, true_boxes: bool
) -> None:
    """Also where images are of several sizes: none is padded to that of another."""
    dataset = _copy(world_root, tmp_path)
    for i, scene in enumerate(dataset.split("test")):
        margin = (0, 0, 64 * (i % 3), 8 * (i % 2))
        ImageOps.expand(scene.image(), margin, fill=(90, 120, 60)).save(scene.path)
    options = {"ground_truth_boxes": true_boxes, "context": True, "progress": False}
    one, four = (predict(model, dataset, batch_size=size, **options) for size in (1, 4))
    assert_equal(four, one, atol=1e-3)


def test_queries_of_the_protocols_asked_for(wider: PersonSearchDataset) -> None:
    queries = wider.protocol("occlusion").queries
    some = predict(Looks(), wider, protocols=["occlusion"], progress=False)
    assert some.query_scenes == [wider.split("test").names[scene] for scene in queries.scenes]
    np.testing.assert_array_equal(some.query_boxes, queries.boxes)
    every = predict(Looks(), wider, progress=False)
    assert len(every.query_scenes) == len(wider.protocol("gallery-50").queries) > len(queries)


def test_protocols_that_are_not_there_are_refused(world: PersonSearchDataset) -> None:
    with pytest.raises(InputError, match="no protocol 'oclusion'"):
        predict(Looks(), world, protocols=["oclusion"])
    with pytest.raises(InputError, match="no protocol given"):
        predict(Looks(), world, protocols=[])


def test_folder_holds_nothing_else_in_the_end(world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = predict_into(Looks(), world, tmp_path / "new" / "predictions", context=True, progress=False)
    scenes = {f"scenes-{number:05d}.parquet" for number in range(8)}
    assert files(folder) == scenes | {"queries.parquet", "context.parquet", "manifest.json", "work.json"}
    assert_equal(Predictions.load(folder), predict(Looks(), world, context=True, progress=False))
    # Which shard comes first is of no matter.
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["scenes"].reverse()
    before = psbench.evaluate(Predictions.load(folder), world.protocol("gallery-50")).map
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert psbench.evaluate(Predictions.load(folder), world.protocol("gallery-50")).map == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"context": True}, "context"),
        ({"ground_truth_boxes": True}, "ground_truth_boxes"),
        ({"protocols": ["occlusion"]}, "queries"),
        ({"model": "other"}, "model"),
    ],
)
def test_beginning_of_other_predictions_is_refused(
    wider: PersonSearchDataset, tmp_path: Path, change: dict, named: str
) -> None:
    with pytest.raises(RuntimeError):
        predict_into(Looks(dies_after=20), wider, tmp_path / "predictions", progress=False)
    before = files(tmp_path / "predictions")
    model = Looks()
    if change.pop("model", None):
        nn.init.zeros_(model.weight)
    with pytest.raises(InputError, match=rf"beginning of other predictions \({named} differ\)\. Give another folder"):
        predict_into(model, wider, tmp_path / "predictions", progress=False, **change)
    assert files(tmp_path / "predictions") == before


def test_memory_holds_one_piece(world: PersonSearchDataset, tmp_path: Path) -> None:
    model = Looks()
    predict_into(model, world, tmp_path / "predictions", progress=False)
    assert 0 < model.most_alive <= 7


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_images_stop_with_their_names(world_root: Path, tmp_path: Path, workers: int) -> None:
    dataset = _copy(world_root, tmp_path)
    scenes = dataset.split("test")
    broken = [scenes[i].path for i in (22, 24)]
    for path in broken:
        path.write_bytes(path.read_bytes()[:300])
    folder = tmp_path / "predictions"
    with pytest.raises(InputError) as error:
        predict_into(Looks(), dataset, folder, batch_size=2, workers=workers, progress=False)
    assert sorted(fault.split(":")[0] for fault in error.value.faults) == sorted(map(str, broken))
    assert "Traceback" not in str(error.value)
    assert {"scenes-00000.parquet", "scenes-00002.parquet"} <= files(folder)
    assert "scenes-00003.parquet" not in files(folder)
    for path in broken:
        Image.new("RGB", (128, 96)).save(path)
    assert len(Predictions.load(predict_into(Looks(), dataset, folder, progress=False)).scene_names) == 54


def test_missing_images_stop_before_anything_is_made(world_root: Path, tmp_path: Path) -> None:
    dataset = _copy(world_root, tmp_path)
    dataset.split("test")[3].path.unlink()
    with pytest.raises(InputError, match=dataset.split("test")[3].path.name):
        predict_into(Looks(), dataset, tmp_path / "predictions")
    assert not (tmp_path / "predictions").exists()


def test_what_cannot_be_right_is_not_written(world: PersonSearchDataset, tmp_path: Path) -> None:
    model = Looks()
    nn.init.constant_(model.weight, torch.nan)
    with pytest.raises(InputError, match=r"the embedding of detection 0 has NaN"):
        predict_into(model, world, tmp_path / "predictions", progress=False)
    assert files(tmp_path / "predictions") == {"work.json"}


def test_training_goes_on_as_if_nothing_had_been(world: PersonSearchDataset) -> None:
    model = Looks().train()
    model.part = nn.Dropout().eval()
    before, drawn = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with torch.autocast("cpu", torch.bfloat16):
        predict(model, world, workers=1, progress=False)
    assert (model.training, model.part.training) == (True, False)
    torch.testing.assert_close(torch.get_rng_state(), before)
    assert np.random.get_state()[1].tolist() == drawn  # noqa: NPY002


def test_progress_tells_images_a_second(world: PersonSearchDataset, capsys: pytest.CaptureFixture[str]) -> None:
    predict(Looks(), world)
    shown = capsys.readouterr().err
    assert "detecting" in shown
    assert "embedding queries" in shown
    assert "image/s" in shown


def test_command_takes_a_file_and_says_what_an_unfinished_training_is(
    model: ZooModel, world: PersonSearchDataset, tmp_path: Path
) -> None:
    info = describe(model, "seqnet", num_identities=6, dataset="cuhk_sysu", method="tiny")
    save_weights(model, tmp_path / "tiny.safetensors", info)
    given = ["--root", str(world.root), "--output", str(tmp_path / "predictions")]
    options = ["--batch-size", "2", "--workers", "1"]
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "tiny.safetensors"), *given, *options])
    assert result.exit_code == 0, result.output
    predictions = Predictions.load(tmp_path / "predictions")
    assert f"{len(predictions.scores)} people in 54 scenes" in result.stdout
    assert predictions.method == "tiny"
    (tmp_path / "run").mkdir()
    (tmp_path / "run/training.json").write_text("{}")
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), *given])
    assert result.exit_code == 1
    assert "`psbench train` (to its end)" in result.stderr
