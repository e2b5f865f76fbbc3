"""Prediction in two processes: the same as in one, and an end with a message where one of them cannot go on."""

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import psbench
import psbench_data
from psbench import Predictions
from psbench.cli import app
from psbench.inference import predict, predict_into
from psbench.zoo import ZooModel
from psbench.zoo.weights import describe, load_weights, save_weights
from psbench_data import PersonSearchDataset
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from tests.conftest import SMALL_WORLD
from tests.models.launching import ACCELERATE, ROOT, TORCHRUN, launch
from tests.models.looks import assert_equal
from tests.models.small import SMALL

PROGRAM = ["-m", "tests.models.launched_prediction", "predict"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PersonSearchDataset:
    """55 scenes, 11 pieces: neither can be halved."""
    root = tmp_path_factory.mktemp("odd") / "cuhk_sysu"
    write_cuhk_sysu(dataclasses.replace(SMALL_WORLD, test_scenes=55), root)
    return psbench_data.load("cuhk_sysu", root=root)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that has learnt nothing; every box must come out to be looked at."""
    torch.manual_seed(0)
    model = psbench.zoo.create("seqnet", num_identities=6, **SMALL["seqnet"] | {"score_thresh_test": 0.0})
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(model, path, describe(model, "seqnet", num_identities=6, dataset="cuhk_sysu", method="tiny"))
    return path


@pytest.fixture(scope="module")
def model(weights: Path) -> ZooModel:
    return load_weights(weights)


@pytest.fixture(scope="module")
def expected(model: ZooModel, dataset: PersonSearchDataset) -> Predictions:
    """What one process predicts."""
    return predict(model, dataset, context=True, method="tiny", progress=False)


def test_two_processes_predict_what_one_does(
    weights: Path, dataset: PersonSearchDataset, expected: Predictions, tmp_path: Path
) -> None:
    options = ("--root", dataset.root, "--output", tmp_path / "predictions", "--context", "--batch-size", 2)
    done = launch(ACCELERATE, PROGRAM, weights, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("people in 55 scenes") == 1
    # One bar, over the main process's share of the 55 scenes and 8 queries.
    (share,) = set(re.findall(r"/(\d+) \[", done.stderr))
    assert 63 / 3 < int(share) < 63 * 2 / 3
    assert_equal(Predictions.load(tmp_path / "predictions"), expected, atol=1e-3)


def test_death_of_a_process_ends_all_and_can_be_continued(
    weights: Path,
    model: ZooModel,
    dataset: PersonSearchDataset,
    expected: Predictions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "predictions"
    died = launch(TORCHRUN, PROGRAM, weights, "--root", dataset.root, "--output", folder, "--context", DIES_AFTER="12")
    assert died.returncode != 0
    assert "SIGKILL" in died.stderr
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("scenes-*")}
    assert 2 <= len(kept) < 11
    monkeypatch.setattr("psbench.inference.work.PIECE_ROWS", 5)
    predict_into(model, dataset, folder, context=True, method="tiny", progress=False)
    assert_equal(Predictions.load(folder), expected, atol=1e-5)
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept


def test_fault_of_one_process_is_told_once(weights: Path, dataset: PersonSearchDataset, tmp_path: Path) -> None:
    root = shutil.copytree(dataset.root, tmp_path / "copy")
    # Of the second process: the first has the first half.
    broken = root / dataset.split("test")[50].path.relative_to(dataset.root)
    broken.write_bytes(broken.read_bytes()[:300])
    done = launch(TORCHRUN, PROGRAM, weights, "--root", root, "--output", tmp_path / "predictions")
    assert done.returncode != 0
    assert done.stderr.count(f"error: {broken}: the image of scene") == 1
    assert str(ROOT / "psbench") not in done.stderr


def test_wrong_input_is_told_once(weights: Path, tmp_path: Path) -> None:
    done = launch(TORCHRUN, PROGRAM, weights, "--root", tmp_path / "nowhere", "--output", tmp_path / "predictions")
    assert done.returncode != 0
    assert done.stderr.count("nowhere: this folder does not exist") == 1
    assert str(ROOT / "psbench") not in done.stderr


def test_process_that_waits_for_a_dead_one_says_so(
    weights: Path, dataset: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the others meet first: this message, or the launcher's signal."""

    def meet_the_dead(_: object) -> None:
        raise RuntimeError("Connection closed by peer [127.0.0.1]:26313")

    monkeypatch.setattr("accelerate.PartialState.wait_for_everyone", meet_the_dead)
    arguments = [weights, "--root", dataset.root, "--output", tmp_path / "predictions"]
    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: process 0 of 1: another process has ended before the work was done")


def test_package_runs_as_a_module() -> None:
    """As launchers start it."""
    done = subprocess.run(
        [sys.executable, "-m", "psbench", "predict", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "psbench predict" in done.stdout
