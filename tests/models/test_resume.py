"""Interrupted training: it goes on as if nothing had happened, or says why it cannot."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from psbench import InputError
from psbench.training import Run, train
from psbench.training.checkpoints import newest
from psbench.training.trainer import Trainer
from psbench.zoo.weights import file_digest
from psbench_data import PersonSearchDataset
from tests.models.test_training import TINY, losses_of
from tests.tiny_script import changed

VARIED = TINY.override(
    {
        "ema": 0.9,
        "group_by_aspect": True,
        "execution.images_per_process": 1,
        "execution.accumulation": 3,
        "batch_norm": "frozen",
        "execution.precision": "bf16",
        "execution.activation_checkpointing": True,
        "workers": 1,
    }
)


class StoppedError(Exception):
    """What interrupts a training here."""


@pytest.fixture(scope="module")
def whole(world: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Trainings that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    return {
        name: train(recipe, world, folder / name, checkpoint_every=3, validate_on="gallery-50", progress=False)
        for name, recipe in (("plain", TINY), ("varied", VARIED))
    }


def _stop_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """Let the training break before that step."""
    move = Trainer._move

    def moved(self: Trainer, now: int, *rest: Any) -> None:
        if now == step:
            raise StoppedError
        move(self, now, *rest)

    patch.setattr(Trainer, "_move", moved)


def _require_equal(run: Run, whole: Run) -> None:
    assert losses_of(run) == losses_of(whole)
    weights, expected = (load_file(each.folder / "model.safetensors") for each in (run, whole))
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        assert torch.equal(value, expected[name]), name
    assert run.record.validation == whole.record.validation
    assert {p.name for p in run.folder.iterdir()} == {p.name for p in whole.folder.iterdir()}


@pytest.mark.parametrize("name", ["plain", "varied"])
@pytest.mark.parametrize("stops", [(2,), (4,), (5, 7)])
def test_resumed_training_equals_an_uninterrupted_one(
    whole: dict[str, Run], world: PersonSearchDataset, tmp_path: Path, name: str, stops: tuple[int, ...]
) -> None:
    """Stopped before the first checkpoint (3 steps), at the end of an epoch (4 steps), in the middle of one, twice."""
    recipe = {"plain": TINY, "varied": VARIED}[name]

    def run() -> Run:
        return train(recipe, world, tmp_path, resume=True, checkpoint_every=3, validate_on="gallery-50", progress=False)

    for stop in stops:
        with pytest.MonkeyPatch.context() as patch:
            _stop_at(stop, patch)
            with pytest.raises(StoppedError):
                run()
        # What others draw in between must not matter.
        torch.manual_seed(stop)
    resumed = run()
    _require_equal(resumed, whole[name])
    assert resumed.record.resumed == sum(stop >= 3 for stop in stops)
    assert run().record == resumed.record


def test_killed_training_loses_the_steps_since_the_checkpoint(
    whole: dict[str, Run], world: PersonSearchDataset, tmp_path: Path
) -> None:
    """Killed at some moment, through the command; what it goes on with is the newest checkpoint."""
    recipe = TINY.to_dict()
    values = {name: recipe[name] for name in ("batch_size",)} | {"schedule.epochs": recipe["schedule"]["epochs"]}
    values |= {f"model_options.{name}": value for name, value in TINY.model_options.items()}
    sets = changed(values)
    command = [
        *(sys.executable, "-m", "psbench.training", "seqnet", "--recipe", "seqnet-demo", "--root", str(world.root)),
        *("--output", str(tmp_path / "run"), "--resume", "--checkpoint-every", "1", *sets),
    ]
    metrics = tmp_path / "run" / "metrics.jsonl"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            if metrics.is_file() and metrics.read_text().count("\n") >= 3:
                break
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "run" / "run.json").exists()
    _, position = newest(tmp_path / "run") or (None, None)
    assert position is not None
    assert position.step >= metrics.read_text().count("\n") - 1
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "8 steps" in finished.stdout
    run = Run.load(tmp_path / "run")
    assert run.record.resumed == 1
    assert losses_of(run) == losses_of(whole["plain"])


@pytest.fixture
def stopped(world: PersonSearchDataset, tmp_path: Path) -> Path:
    """The folder of a training that stopped before its eighth step, with checkpoints of the third to the seventh."""
    with pytest.MonkeyPatch.context() as patch:
        _stop_at(7, patch)
        with pytest.raises(StoppedError):
            train(TINY, world, tmp_path / "run", checkpoint_every=1, keep_checkpoints=2, progress=False)
    return tmp_path / "run"


def test_checkpoints_are_few_and_hold_no_code(stopped: Path) -> None:
    folders = sorted(path.name for path in (stopped / "checkpoints").iterdir())
    assert folders == ["step-00000006", "step-00000007"]
    files = {path.name for path in (stopped / "checkpoints" / folders[1]).iterdir()}
    assert files == {"position.json", "model.safetensors", "optimizer.safetensors", "random.safetensors"}


def test_damaged_checkpoint_is_named_and_the_one_before_serves(
    whole: dict[str, Run], stopped: Path, world: PersonSearchDataset
) -> None:
    for name in ("position.json", "model.safetensors", "optimizer.safetensors", "random.safetensors"):
        path = stopped / "checkpoints" / "step-00000007" / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(InputError, match=rf"{name}.*Remove .*step-00000007 to go on from the checkpoint before"):
            train(TINY, world, stopped, resume=True, progress=False)
        path.write_bytes(content)
    shutil.rmtree(stopped / "checkpoints" / "step-00000007")
    assert losses_of(train(TINY, world, stopped, resume=True, progress=False)) == losses_of(whole["plain"])


def test_another_training_can_start_from_a_checkpoint(
    stopped: Path, world: PersonSearchDataset, tmp_path: Path
) -> None:
    """Where a loss broke, say: with a lower rate; the identity tables come along."""
    checkpoint = stopped / "checkpoints" / "step-00000006"
    still = TINY.override({"schedule.epochs": 1, "optimizer.clip_norm": 1e-9, "optimizer.weight_decay": 0})
    tables: dict[str, torch.Tensor] = {}
    with pytest.MonkeyPatch.context() as patch:
        steps = Trainer._steps
        patch.setattr(Trainer, "_steps", lambda self, *a: tables.update(_tables(self)) or steps(self, *a))
        run = train(still, world, tmp_path / "other", start_from=checkpoint, progress=False)
    before = load_file(checkpoint / "model.safetensors")
    assert before["oim.table"].any()
    for name, value in tables.items():
        assert torch.equal(value, before[name]), name
    for name, value in run.model().named_parameters():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-6)


def _tables(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in trainer.module.state_dict().items() if k.startswith("oim.")}


def test_checkpoints_that_only_one_machine_sees_are_refused(
    stopped: Path, world: PersonSearchDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psbench.training.trainer.from_main", lambda step: step - 1)
    with pytest.raises(InputError, match=r"other checkpoints here.*that all machines share"):
        train(TINY, world, stopped, resume=True, progress=False)


def test_only_the_same_training_goes_on(stopped: Path, world: PersonSearchDataset, world_root: Path) -> None:
    with pytest.raises(InputError, match=r"unfinished training: go on with --resume"):
        train(TINY, world, stopped, progress=False)
    with pytest.raises(InputError, match=r"other values"):
        train(TINY.override({"optimizer.momentum": 0.8}), world, stopped, resume=True, progress=False)
    other = TINY.override({"execution.images_per_process": 1, "execution.scale_lr": True})
    with pytest.raises(InputError) as error:
        train(other, world, stopped, resume=True, progress=False)
    assert len(error.value.faults) == 2
    assert "images_per_process = 3, now 1" in error.value.faults[0]
    # What the result does not depend on may change.
    assert train(TINY.override({"workers": 1}), world, stopped, resume=True, progress=False).record.steps == 8


def test_other_folders_are_left_alone(whole: dict[str, Run], world: PersonSearchDataset, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match="something else here"):
            train(TINY, world, tmp_path, resume=resume, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(InputError, match="a finished run"):
        train(TINY, world, whole["plain"].folder, progress=False)
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(InputError, match=r"not a finished run. Go on with"):
        Run.load(tmp_path)


def test_validation_that_fails_costs_no_training(
    whole: dict[str, Run], world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("psbench.training.validation.predict_into", lambda *_, **__: pytest.fail("disk full"))
        with pytest.raises(pytest.fail.Exception, match="disk full"):
            train(TINY, world, tmp_path / "run", validate_on="gallery-50", checkpoint_every=100, progress=False)
    found = newest(tmp_path / "run")
    assert found is not None
    assert found[1].step == 8
    moved: list[int] = []
    monkeypatch.setattr(Trainer, "_move", lambda *_: moved.append(1))
    run = train(TINY, world, tmp_path / "run", validate_on="gallery-50", resume=True, progress=False)
    assert not moved
    assert run.record.validation == whole["plain"].record.validation


def test_validations_may_change_on_the_way_and_are_told_as_they_were(stopped: Path, world: PersonSearchDataset) -> None:
    """The first four steps were an epoch without one; the weights of the end are measured under another protocol."""
    run = train(TINY, world, stopped, resume=True, validate_on="gallery-all", validate_every=1, progress=False)
    assert run.record.validation is not None
    assert (run.record.validation.protocol, run.record.validation.step) == ("gallery-all", 8)
    assert run.record.best == run.record.validation


@pytest.mark.parametrize("lost", [1, 300])
def test_shortened_log_keeps_its_whole_lines(stopped: Path, world: PersonSearchDataset, lost: int) -> None:
    metrics = stopped / "metrics.jsonl"
    content = metrics.read_bytes()
    metrics.write_bytes(content[:-lost])
    run = train(TINY, world, stopped, resume=True, progress=False)
    assert b"\0" not in metrics.read_bytes()
    assert losses_of(run)[-1]["step"] == 7
    assert (run.folder / "card.md").is_file()


def test_damaged_log_does_not_keep_a_run_from_being_finished(
    stopped: Path, world: PersonSearchDataset, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = stopped / "metrics.jsonl"
    metrics.write_bytes(b"x" + metrics.read_bytes()[1:])
    run = train(TINY, world, stopped, resume=True, progress=False)
    assert Run.load(run.folder).record.steps == 8
    assert "no run card" in caplog.text


def test_a_run_that_was_killed_when_it_was_just_finished_is_completed(
    whole: dict[str, Run], world: PersonSearchDataset, tmp_path: Path
) -> None:
    folder = shutil.copytree(whole["plain"].folder, tmp_path / "run")
    (folder / "card.md").unlink()
    (folder / "checkpoints/step-00000008").mkdir(parents=True)
    _require_equal(train(TINY, world, folder, resume=True, validate_on="gallery-50", progress=False), whole["plain"])


def test_what_killed_processes_leave_is_no_obstacle_and_goes(world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    left = folder / ".training.0a1b2c3d.json"
    for _ in range(2):
        left.write_bytes(b"{")
        with pytest.MonkeyPatch.context() as patch:
            _stop_at(2, patch)
            with pytest.raises(StoppedError):
                train(TINY, world, folder, resume=True, checkpoint_every=1, progress=False)
        assert not left.exists()
        left = folder / "checkpoints/.step-00000003.0a1b2c3d/model.safetensors"
        left.parent.mkdir(exist_ok=True)


def test_one_training_a_folder(stopped: Path, world: PersonSearchDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psbench.locking._PATIENCE", 0.2)
    folder = os.open(stopped, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(InputError, match="another training is at work here"):
        train(TINY, world, stopped, resume=True, progress=False)
    os.close(folder)
    assert train(TINY, world, stopped, resume=True, progress=False).record.steps == 8


def test_source_of_the_weights_may_be_gone_at_resume(
    whole: dict[str, Run], world: PersonSearchDataset, tmp_path: Path
) -> None:
    source = shutil.copytree(whole["plain"].folder, tmp_path / "source")
    with pytest.MonkeyPatch.context() as patch:
        _stop_at(5, patch)
        with pytest.raises(StoppedError):
            train(TINY, world, tmp_path / "run", start_from=source, checkpoint_every=3, progress=False)
    shutil.rmtree(source)
    for start_from in (source, None):
        again = shutil.copytree(tmp_path / "run", tmp_path / f"again-{start_from is None}")
        run = train(TINY, world, again, start_from=start_from, resume=True, progress=False)
        assert run.record.started_from == file_digest(whole["plain"].folder / "model.safetensors")
