"""The command `psbench predict`, for models that search query by query and for re-ID networks."""

from pathlib import Path

import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

import psbench
import psbench_data
from psbench import PairwisePredictions, Predictions
from psbench.cli import app
from psbench.inference import predict, rescore_into, search
from psbench.zoo.two_step import two_step
from psbench.zoo.weights import describe, load_weights, save_weights
from psbench_data import PersonSearchDataset
from tests.models.guided import ANNA, assert_same, own_data
from tests.models.looks import assert_equal
from tests.models.small import SMALL


@pytest.fixture(scope="module")
def own(world: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory) -> PersonSearchDataset:
    """Eight scenes and two queries; the training scenes are the same."""
    second = {"image_id": 7, "bbox": [48, 29, 16, 40], "person_id": "anna"}
    own = own_data(world, tmp_path_factory.mktemp("data") / "own", [ANNA, second])
    (own.root / "train.json").write_text((own.root / "test.json").read_text())
    return psbench_data.load("coco", root=own.root)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks that have learnt nothing, each in a folder of its name."""
    folder = tmp_path_factory.mktemp("runs")
    changes = {"igpn": {"rpn_post_nms_top_n_test": 8}, "oim": {"score_thresh_test": 0.0}}
    for name in ("igpn", "reid_resnet50", "reid_pcb", "oim"):
        torch.manual_seed(0)
        model = psbench.zoo.create(name, num_identities=6, **SMALL[name] | changes.get(name, {}))
        path = folder / name / "model.safetensors"
        save_weights(model, path, describe(model, name, num_identities=6, dataset="coco", method=name))
    return folder


def _predict(runs: Path, own: PersonSearchDataset, model: str, *options: object) -> Result:
    given = ["predict", runs / model, "--data", "coco", "--root", own.root, *options]
    return CliRunner().invoke(app, [str(argument) for argument in given])


def _model(runs: Path, name: str) -> psbench.zoo.ZooModel:
    return load_weights(runs / name / "model.safetensors")


def test_query_guided_model_searches_a_protocol(runs: Path, own: PersonSearchDataset, tmp_path: Path) -> None:
    options = ("--protocol", "gallery-3", "--keep", 5, "--queries-at-once", 1, "--batch-size", 2)
    done = _predict(runs, own, "igpn", *options, "--output", tmp_path / "found")
    assert done.exit_code == 0, done.output
    assert "10 proposals in 6 pairs of a query and a scene" in done.stdout
    assert "one query over 100 scenes" in done.stdout
    found = PairwisePredictions.load(tmp_path / "found")
    assert_same(found, search(_model(runs, "igpn"), own, protocol="gallery-3", keep=5, progress=False), atol=1e-4)
    assert found.method == "igpn"
    # Two networks rank what one search found.
    for name in ("reid_resnet50", "reid_pcb"):
        ranked = tmp_path / name
        done = _predict(runs, own, name, "--proposals", tmp_path / "found", "--keep", 4, "--output", ranked)
        assert done.exit_code == 0, done.output
        assert "8 proposals in 6 pairs" in done.stdout
        expected = rescore_into(
            _model(runs, name), own, tmp_path / f"{name}-2", proposals=tmp_path / "found", keep=4, progress=False
        )
        found = PairwisePredictions.load(ranked)
        assert_same(found, PairwisePredictions.load(expected))
        assert found.method == f"igpn + {name}"
    # In one go.
    both = _predict(runs, own, "igpn", *options, "--reid", runs / "reid_pcb", "--output", tmp_path / "both")
    assert both.exit_code == 0, both.output
    assert "re-ID" in both.stdout
    assert_same(PairwisePredictions.load(tmp_path / "both").keep(4), found, atol=1e-4)
    judged = CliRunner().invoke(
        app, ["evaluate", str(tmp_path / "both"), "--data", "coco", "--root", str(own.root), "--protocol", "gallery-3"]
    )
    assert judged.exit_code == 0, judged.output


def test_one_search_serves_several_protocols(runs: Path, own: PersonSearchDataset, tmp_path: Path) -> None:
    both = ("--protocol", "gallery-3", "--protocol", "gallery-5")
    done = _predict(runs, own, "igpn", *both, "--keep", 5, "--output", tmp_path / "found")
    assert done.exit_code == 0, done.output
    found = PairwisePredictions.load(tmp_path / "found")
    names = ["gallery-3", "gallery-5"]
    assert_same(found, search(_model(runs, "igpn"), own, protocol=names, keep=5, progress=False), atol=1e-4)
    assert f"in {len(found.pair_queries)} pairs of a query and a scene" in done.stdout
    options = ("--proposals", tmp_path / "found", "--protocol", "gallery-3", "--keep", 4)
    done = _predict(runs, own, "reid_pcb", *options, "--output", tmp_path / "ranked")
    assert done.exit_code == 0, done.output
    assert "8 proposals in 6 pairs" in done.stdout
    expected = rescore_into(
        _model(runs, "reid_pcb"),
        own,
        tmp_path / "expected",
        proposals=tmp_path / "found",
        protocol="gallery-3",
        keep=4,
        progress=False,
    )
    assert_same(PairwisePredictions.load(tmp_path / "ranked"), PairwisePredictions.load(expected))


def test_two_steps(runs: Path, own: PersonSearchDataset, tmp_path: Path) -> None:
    done = _predict(runs, own, "oim", "--reid", runs / "reid_pcb", "--protocol", "regular", "--output", tmp_path / "p")
    assert done.exit_code == 0, done.output
    both = two_step(_model(runs, "oim"), _model(runs, "reid_pcb"))
    found = Predictions.load(tmp_path / "p")
    assert_equal(found, predict(both, own, protocols=["regular"], progress=False), atol=1e-4)
    assert found.method == "oim + reid_pcb"


def test_people_of_the_training_scenes(runs: Path, own: PersonSearchDataset, tmp_path: Path) -> None:
    done = _predict(runs, own, "oim", "--split", "train", "--output", tmp_path / "p")
    assert done.exit_code == 0, done.output
    found = Predictions.load(tmp_path / "p")
    assert found.scene_names == own.split("train").names
    assert len(found.query_embeddings) == 0
    assert f"{len(found.boxes)} people in 8 scenes" in done.stdout


def test_reid_network_embeds_the_annotated_boxes(runs: Path, own: PersonSearchDataset, tmp_path: Path) -> None:
    done = _predict(runs, own, "reid_pcb", "--ground-truth-boxes", "--output", tmp_path / "p")
    assert done.exit_code == 0, done.output
    assert len(Predictions.load(tmp_path / "p").boxes) == len(own.split("test").boxes)


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("igpn", [], ["--protocol: igpn searches for one query at a time", "Name at least one of regular"]),
        (
            "reid_pcb",
            ["--proposals", "x", "--protocol", "gallery-3", "--protocol", "regular"],
            ["--protocol: of a search of several protocols, one is ranked, or without the option all"],
        ),
        (
            "igpn",
            ["--context", "--ground-truth-boxes", "--split", "train", "--proposals", "x"],
            [f"{option}: not for igpn" for option in ("--context", "--ground-truth-boxes", "--split", "--proposals")]
            + ["Name at least one of"],
        ),
        ("igpn", ["--protocol", "galery-3"], ["no protocol 'galery-3'"]),
        ("igpn", ["--protocol", "regular", "--reid", "igpn"], ["--reid: igpn searches for one query at a time"]),
        ("oim", ["--reid", "igpn"], ["--reid: igpn searches for one query at a time. Give a re-ID network"]),
        (
            "oim",
            ["--keep", "3", "--queries-at-once", "3"],
            ["--keep: not for oim, which detects and embeds everybody at once. Leave it out", "--queries-at-once: not"],
        ),
        ("oim", ["--split", "train", "--context"], ["protocols and context are for queries"]),
        ("oim", ["--split", "trian"], ["no split 'trian'", "train"]),
        ("reid_pcb", [], ["reid_pcb embeds boxes that others find. Predict with a model that detects or searches"]),
        ("reid_pcb", ["--ground-truth-boxes", "--reid", "reid_pcb"], ["--reid: reid_pcb is a re-ID network itself"]),
        (
            "reid_pcb",
            ["--proposals", "x", "--ground-truth-boxes", "--reid", "reid_pcb"],
            [
                f"{option}: not for reid_pcb, which embeds boxes that others find, here those of --proposals"
                for option in ("--ground-truth-boxes", "--reid")
            ],
        ),
        ("reid_pcb", ["--proposals", "x"], ["x/manifest.json: not there"]),
    ],
)
def test_what_does_not_go_together_is_told_at_once(
    runs: Path, own: PersonSearchDataset, tmp_path: Path, model: str, options: list[str], said: list[str]
) -> None:
    given = [runs / option if option in ("igpn", "reid_pcb") else option for option in options]
    done = _predict(runs, own, model, *given, "--output", tmp_path / "predictions")
    assert done.exit_code == 1
    assert "Traceback" not in done.stderr
    for words in said:
        assert words in done.stderr
    assert not (tmp_path / "predictions").exists()
