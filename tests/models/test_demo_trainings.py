"""The demo's training in other ways than at one go in float32: what it promises holds for them, too."""

import sys
from pathlib import Path

import pytest

import psbench_data
from psbench.training import Run, recipe_for, train
from psbench.training.trainer import Trainer
from psbench_data import PersonSearchDataset
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from psbench_data.synthetic.world import WorldSpec
from tests.models.launching import TORCHRUN, launch

pytestmark = pytest.mark.slow
RECIPE = recipe_for("seqnet-demo")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PersonSearchDataset:
    root = tmp_path_factory.mktemp("demo") / "cuhk_sysu"
    write_cuhk_sysu(WorldSpec(), root)
    return psbench_data.load("cuhk_sysu", root=root)


def _require_learnt(run: Run) -> None:
    """The demo's promise: recall at least 0.75, and mAP at gallery 100 at least 0.35."""
    measured = run.record.validation
    assert measured is not None
    print(f"recall {measured.detection_recall:.1%}, mAP {measured.map:.1%}", file=sys.stderr)
    assert measured.detection_recall >= 0.75
    assert measured.map >= 0.35


def test_training_that_was_interrupted(
    dataset: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move, stops = Trainer._move, [130, 333, 700]

    def interrupted(self: Trainer, step: int, *rest: object) -> None:
        if stops and step == stops[0]:
            stops.pop(0)
            raise KeyboardInterrupt
        move(self, step, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_move", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train(RECIPE, dataset, tmp_path, resume=True, validate_on="gallery-100")
    run = train(RECIPE, dataset, tmp_path, resume=True, validate_on="gallery-100")
    assert run.record.resumed == 3
    _require_learnt(run)


def test_training_in_mixed_precision(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    recipe = RECIPE.override({"execution.precision": "bf16"})
    _require_learnt(train(recipe, dataset, tmp_path, validate_on="gallery-100"))


def test_training_in_two_processes(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    arguments = ["seqnet", "--recipe", RECIPE.name, "--root", str(dataset.root), "--output", str(tmp_path / "run")]
    arguments += ["--set", "execution.images_per_process=2", "--validate-on", "gallery-100"]
    done = launch(TORCHRUN, ["-m", "psbench.training"], *arguments, timeout=1800)
    assert done.returncode == 0, done.stderr
    run = Run.load(tmp_path / "run")
    assert run.record.batches.processes == 2
    _require_learnt(run)
