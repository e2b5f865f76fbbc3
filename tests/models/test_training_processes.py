"""Training in two processes: the same as in one, and an end with a message where one of them cannot go on."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from psbench.training import Recipe, Run, train
from psbench.training.checkpoints import newest
from psbench.training.trainer import Trainer
from psbench_data import PersonSearchDataset
from tests.models.launched_training import first_ones, keep_tables
from tests.models.launching import ACCELERATE, TORCHRUN, launch
from tests.models.test_training import TINY, losses_of
from tests.tiny_script import changed

CHANGES = {
    "batch_size": 4,
    "batch_norm": "frozen",
    "execution.images_per_process": 2,
    # Fewer than there always are, so that every image has as many.
    "model_options.rpn_batch_size_per_image": 16,
}
PROGRAM = ["-m", "tests.models.launched_training"]


def _arguments(recipe: Recipe, dataset: PersonSearchDataset, run: Path) -> list[str]:
    values: dict[str, object] = {f"model_options.{name}": value for name, value in recipe.model_options.items()}
    values |= {"schedule.epochs": recipe.schedule.epochs} | CHANGES
    sets = changed(values)
    where = ["--root", str(dataset.root), "--output", str(run), "--checkpoint-every", "2", "--resume"]
    return ["seqnet", "--recipe", "seqnet-demo", *where, "--validate-on", "gallery-50", *sets]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return TINY.override(CHANGES)


@pytest.fixture(scope="module")
def alone(
    recipe: Recipe, world: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, dict[str, torch.Tensor]]:
    """The training in one process, of the same four images a step; and its identity tables."""
    folder = tmp_path_factory.mktemp("alone")
    finish = Trainer._finish

    def finished(self: Trainer) -> Run:
        keep_tables(self, folder / "tables.pt")
        return finish(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randperm", first_ones)
        patch.setattr(Trainer, "_finish", finished)
        of_four = recipe.override({"execution.images_per_process": 4})
        run = train(of_four, world, folder / "run", validate_on="gallery-50", progress=False)
    return run, torch.load(folder / "tables.pt", weights_only=True)


def test_two_processes_learn_what_one_does(
    alone: tuple[Run, dict[str, torch.Tensor]], recipe: Recipe, world: PersonSearchDataset, tmp_path: Path
) -> None:
    """Although one of them is killed on the way, and the training goes on from the checkpoint."""
    arguments, folder = _arguments(recipe, world, tmp_path / "run"), tmp_path / "run"
    killed = launch(TORCHRUN, PROGRAM, *arguments, TABLES=str(tmp_path), GRIEF='{"rank": 1, "kind": "killed", "at": 4}')
    assert killed.returncode != 0
    assert "SIGKILL" in killed.stderr
    _, position = newest(folder) or (None, None)
    assert position is not None
    assert position.step >= 3
    done = launch(ACCELERATE, PROGRAM, *arguments, TABLES=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("6 steps") == 1
    assert "batch norm sees" not in done.stderr

    expected, tables = alone
    run = Run.load(folder)
    assert (run.record.batches.processes, run.record.batches.images_per_step, run.record.resumed) == (2, 4, 1)
    found = losses_of(run)
    assert [line["step"] for line in found] == list(range(6))
    for line, of_one in zip(found, losses_of(expected), strict=True):
        assert line == pytest.approx(of_one, rel=1e-4, abs=1e-6)
    of_ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    torch.testing.assert_close(of_ranks[0], of_ranks[1], rtol=0, atol=0)
    torch.testing.assert_close(of_ranks[0], tables, rtol=0, atol=1e-5)
    weights, of_one_process = (load_file(each.folder / "model.safetensors") for each in (run, expected))
    for name, value in weights.items():
        torch.testing.assert_close(value, of_one_process[name], rtol=1e-4, atol=5e-5, msg=name)
    validations = [each.record.validation for each in (run, expected)]
    for validation in validations:
        assert validation is not None
    np.testing.assert_allclose(*(each.map for each in validations), atol=0.02)  # type: ignore[union-attr]


def test_broken_loss_of_one_process_ends_all_with_one_message(
    recipe: Recipe, world: PersonSearchDataset, tmp_path: Path
) -> None:
    arguments = _arguments(recipe, world, tmp_path / "run")
    done = launch(TORCHRUN, PROGRAM, *arguments, TABLES=str(tmp_path), GRIEF='{"rank": 1, "kind": "nan", "at": 2}')
    assert done.returncode != 0
    assert done.stderr.count("stopped: ") == 1
    assert (named := re.search(r"stopped: step 2: loss_box_reid = nan on the scenes (\S+), (\S+)\. Look", done.stderr))
    assert set(named.groups()) <= set(world.split("train").names)
    assert "checkpoint is of step 2" in done.stderr
    _, position = newest(tmp_path / "run") or (None, None)
    assert position is not None
    assert position.step == 2
