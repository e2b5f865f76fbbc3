"""What `make bench-gpu` does on a GPU, done on the CPU with little: it works, and notices what is wrong."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from psbench.efficiency import Efficiency
from psbench.inference.prediction import detect_into
from psbench_data.synthetic.formats import default_spec
from tests.benchmarks.gpu import goldens as golden_part
from tests.benchmarks.gpu import inference as inference_part
from tests.benchmarks.gpu.__main__ import attempt
from tests.benchmarks.gpu.efficiency import efficiency
from tests.benchmarks.gpu.goldens import goldens
from tests.benchmarks.gpu.inference import inference
from tests.benchmarks.gpu.judging import judging
from tests.benchmarks.gpu.profile import profile
from tests.benchmarks.gpu.results import Result
from tests.benchmarks.gpu.run import run
from tests.benchmarks.gpu.training import hours, paper_recipe, training
from tests.models.small import SMALL

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="the command itself does it on a GPU")
WORLD = {
    **{"train_scenes": 12, "test_scenes": 54, "train_identities": 6, "test_identities": 8, "appearances": (2, 4)},
    **{"people": (1, 3), "image_size": (96, 128), "heights": (0.4, 0.8), "places": 4, "gallery_entries": None},
}
TINY: dict[str, Any] = {f"model_options.{name}": value for name, value in SMALL["seqnet"].items()}
TINY |= {"batch_size": 3, "workers": 0}


@pytest.fixture
def broken_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that finds less."""
    import psbench

    evaluate = psbench.evaluate

    def worse(*arguments: Any, device: str | None = None, **options: Any) -> Any:
        found = evaluate(*arguments, device=device, **options)
        if device is None:
            return found
        return dataclasses.replace(found, per_query=found.per_query.assign(ap=found.per_query["ap"] * 0.99))

    monkeypatch.setattr(psbench, "evaluate", worse)


def test_judging_compares_and_times(tmp_path: Path) -> None:
    result = judging("cpu", datasets=("prw",), spec=default_spec("prw"))
    assert not result.faults
    assert set(result.figures["largest difference of AP"]) == {"prw golden", "prw golden, CBGM", "drawn"}
    assert all(value > 0 for value in result.figures["seconds"].values())


def test_judging_notices_another_result(broken_evaluate: None) -> None:
    result = judging("cpu", datasets=("prw",), spec=default_spec("prw"))
    assert len(result.faults) == 3


def test_inference_is_compared_with_the_plain_path() -> None:
    """On a CPU both compute alike: the same people are found."""
    options = SMALL["seqnet"] | {"score_thresh_test": 0.0}
    result = inference("cpu", ["seqnet"], options=options, world=WORLD | {"test_scenes": 54}, scenes=54)
    assert not result.faults
    found = result.figures["seqnet"]
    assert found["matched"] == 1
    assert found["cosine, 1st percentile"] == pytest.approx(1, abs=1e-5)
    assert found["ratio"] == pytest.approx(found["default"] / found["plain"])
    assert "target 4" in result.lines[0]


def test_inference_notices_other_people(monkeypatch: pytest.MonkeyPatch) -> None:
    def detect_half(model: Any, scenes: Any, folder: Path, **how: Any) -> Path:
        options = model.options
        model.options = dataclasses.replace(options, detections_per_image=1)
        return detect_into(model, scenes, folder, **how)

    monkeypatch.setattr(inference_part, "detect_into", detect_half)
    options = SMALL["seqnet"] | {"score_thresh_test": 0.0}
    result = inference("cpu", ["seqnet"], options=options, world=WORLD | {"test_scenes": 54}, scenes=54)
    assert 0 < result.figures["seqnet"]["matched"] < 0.9


def test_profile_says_where_the_time_goes() -> None:
    result = profile(
        "cpu", ["seqnet"], changes=TINY | {"execution.precision": "fp32"}, world=WORLD, steps=3, warm_up=1, side=64
    )
    assert not result.faults
    found = result.figures["seqnet"]
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert {"convolutions and products", "batch norm", "RoIs and NMS"} <= found["shares"].keys()
    assert found["TFLOP/s"] > 0
    assert found["of the bare product"] == pytest.approx(found["TFLOP/s"] / result.figures["bare product, TFLOP/s"])


@pytest.mark.bench
def test_goldens_agree_and_a_difference_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    result = goldens("cpu", ["oim"])
    assert not result.faults
    found = result.figures["largest difference"]["oim"]
    assert found.keys() == golden_part.SLACK.keys()
    assert 0 < found["embeddings"] < 1e-5
    monkeypatch.setattr(golden_part, "SLACK", dict.fromkeys(found, 0.0))
    assert len(goldens("cpu", ["oim"]).faults) >= 5


def test_steps_are_timed_in_every_way(tmp_path: Path) -> None:
    ways = ["default", "fp32", "activation checkpointing", "images from files"]
    result = training("cpu", ["seqnet"], ways=ways, changes=TINY, world=WORLD, steps=3, warm_up=1)
    assert not result.faults
    assert list(result.figures["seqnet"]) == ways
    for figures in result.figures["seqnet"].values():
        assert figures["timed_steps"] == 2
        assert figures["images_per_second"] == pytest.approx(3 / figures["seconds_per_step"], rel=0.2)
        assert figures["hardware"].startswith("CPU")
    ratio = (
        result.figures["seqnet"]["default"]["images_per_second"] / result.figures["seqnet"]["fp32"]["images_per_second"]
    )
    assert result.figures["seqnet"]["default"]["times fp32"] == pytest.approx(ratio)
    assert 0 <= result.figures["seqnet"]["images from files"]["share of waiting"] < 1
    speed = result.figures["seqnet"]["images from files"]["images_per_second"]
    took = result.figures["seqnet"]["images from files"]["hours"]
    assert took["seqnet-cuhk_sysu"] == pytest.approx(20 * 11_206 / speed / 3600)
    assert took["seqnet-prw"] == pytest.approx(18 * 5_704 / speed / 3600)

    result.write("training", "cpu", tmp_path)
    told = json.loads((tmp_path / "training.json").read_text())
    assert told["device"].startswith("CPU")
    assert {"date", "method", "versions", "figures"} <= told.keys()


def test_what_does_not_work_or_fit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = TINY | {"execution.precision": "fp16"}
    result = training("cpu", ["seqnet"], ways=["default"], changes=broken, world=WORLD, steps=2, warm_up=1)
    assert len(result.faults) == 1
    assert "fp16, which needs a GPU" in result.faults[0]
    result = training("cpu", ["seqnet", "nae"], ways=["fp32"], changes=TINY, world=WORLD, budget=-1)
    assert result.figures["left out"] == ["seqnet, fp32", "nae, fp32"]
    with pytest.raises(RuntimeError, match="psbench trains on cpu, and not on cuda"):
        training("cuda", ["seqnet"], world=WORLD)


def test_efficiency_measures_what_fits_the_budget() -> None:
    """A model that has not these options is a fault, and the next one is measured."""
    options = {name: value for name, value in SMALL["nae"].items() if name not in ("min_size", "max_size")}
    result = efficiency("cpu", ["reid_pcb", "nae"], options=options, sizes=[(96, 128)], images=1)
    assert len(result.faults) == 1
    assert result.faults[0].startswith("reid_pcb: InputError: ")
    read = Efficiency.model_validate(result.figures["nae"])
    assert result.lines == [line for line in result.lines if line.startswith("efficiency: nae ")]
    assert f"{read.at(96, 128).alone.images_per_second:.1f}" in result.lines[0]
    assert efficiency("cpu", ["nae"], budget=-1).figures == {"left out": ["nae"]}


def test_hours_are_of_recipes_with_the_same_images_and_batches() -> None:
    assert hours("glcnet", 1000).keys() == {"glcnet-cuhk_sysu", "glcnet-prw"}
    assert paper_recipe("nae_plus").starts_from is None
    assert paper_recipe("oim_caffe").batch_size == 2


def test_run_trains_as_long_as_its_budget_allows(tmp_path: Path) -> None:
    """Two epochs of four steps are enough for eight steps; with no time, one epoch is trained and it says so."""
    changes = TINY | {"execution.precision": "fp32", "model_options.score_thresh_test": 0.0}
    result = run("cpu", budget=600, steps=8, changes=changes, world=WORLD)
    assert result.figures["steps"] == 8
    assert set(result.files) == {"card.md", "curves.png", "metrics.jsonl", "validation.jsonl"}
    assert 0 <= result.figures["validation"]["map"] <= 1
    assert b"Synthetic data" in result.files["card.md"]
    result.write("run", "cpu", tmp_path)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 8
    short = run("cpu", budget=0, steps=8, changes=changes, world=WORLD)
    assert short.figures["steps"] == 4
    assert "not for 8" in short.lines[0]


def test_a_part_that_stops_is_a_fault() -> None:
    def stops() -> Result:
        raise ValueError("no more")

    assert attempt(stops).faults == ["ValueError: no more"]


def test_without_a_gpu_nothing_is_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.gpu", "goldens"]
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing was timed" in done.stderr
