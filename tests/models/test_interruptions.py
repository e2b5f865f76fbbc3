"""Ctrl-C: one line that says how it goes on, exit status 130, and what it says is true."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from psbench import Predictions
from psbench.cli import app
from psbench.reproduction import run_script
from psbench.training import Run
from psbench_data import PersonSearchDataset
from tests.models.own import save_run
from tests.tiny_script import CELLS, ROWS, TINY, changed, write


def _invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def _interrupt_at(monkeypatch: pytest.MonkeyPatch, name: str, call: int) -> None:
    """Let Ctrl-C be pressed when a function is called for the so many-th time, from 1."""
    module, _, function = name.rpartition(".")
    real, calls = getattr(import_module(module), function), [0]

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(name, interrupted)


@pytest.mark.parametrize(
    ("place", "call", "said"),
    [
        ("psbench_data.load", 1, "nothing was begun; the same command begins it"),
        ("psbench.training.trainer.require_losses", 2, "RUN has no checkpoint yet; with --resume it begins again"),
        ("psbench.training.trainer.require_losses", 7, "RUN goes on with --resume, from step 4"),
    ],
)
def test_a_training_says_how_it_goes_on(
    world: PersonSearchDataset, tmp_path: Path, place: str, call: int, said: str
) -> None:
    folder = tmp_path / "run"
    values = changed(TINY)
    command = ("train", "seqnet", "--recipe", "seqnet-demo", "--root", world.root, "-o", folder, *values)
    with pytest.MonkeyPatch.context() as patch:
        _interrupt_at(patch, place, call)
        stopped = _invoke(*command)
    assert stopped.exit_code == 130
    assert stopped.stderr.splitlines()[-1] == f"stopped: {said.replace('RUN', str(folder))}"
    assert "Traceback" not in stopped.output
    if "nothing" in said:
        assert not folder.exists()
        return
    assert _invoke(*command, "--resume").exit_code == 0
    assert Run.load(folder).record.resumed == (1 if "step" in said else 0)


def test_a_prediction_says_how_it_goes_on(world: PersonSearchDataset, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", "oim")
    command = ("predict", run, "--root", world.root, "--output", tmp_path / "predictions", "--other-data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("psbench.inference.work.PIECE_ROWS", 20)
        _interrupt_at(patch, "psbench.inference.prediction.write_piece", 2)
        stopped = _invoke(*command)
        assert stopped.exit_code == 130
        assert stopped.stderr.splitlines()[-1] == "stopped: the same command goes on"
        assert len(list((tmp_path / "predictions").glob("*.parquet"))) == 1
        assert _invoke(*command).exit_code == 0
    assert len(Predictions.load(tmp_path / "predictions").scene_names) == 54


def test_a_script_says_how_it_goes_on(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its jobs end with it, see test_reproduction_pool."""
    words = ["--data-root", str(world.root.parent), "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["tiny", *words])
    _interrupt_at(monkeypatch, "psbench.reproduction.script.carry_out", 1)
    with pytest.raises(SystemExit) as stopped:
        run_script("A table.", ROWS, CELLS, write)
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "stopped: the same command goes on from the last checkpoint\n"


def test_other_commands_say_that_they_were_stopped(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupt_at(monkeypatch, "psbench_data.load", 1)
    stopped = _invoke("evaluate", tmp_path, "--root", world.root)
    assert (stopped.exit_code, stopped.stderr) == (130, "stopped\n")
