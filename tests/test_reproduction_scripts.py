"""A script as those of reproduce/ are, run, killed and run twice as users do; its recipes take seconds."""

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from psbench.reproduction import Script, Workspace
from psbench.reproduction.estimate import plan_text
from psbench.reproduction.planning import Planner
from psbench.reproduction.pool import Machine
from psbench.reproduction.script import Policy, works_to_do
from psbench.training import Run
from tests.tiny_plans import drawn
from tests.tiny_script import CELLS, TINY, tiny, write

ROOT = Path(__file__).parent.parent
_COMMAND = [sys.executable, "-m", "tests.tiny_script"]


def _start(*arguments: object) -> subprocess.Popen[str]:
    command = [*_COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _run(*arguments: object) -> str:
    """What it prints; it has to go well."""
    process = _start(*arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def _table(folder: Path) -> Any:
    return json.loads((folder / "table.json").read_text())


def _losses(folder: Path) -> list[list[dict[str, float]]]:
    """Of every training, in the order of their names: what each step logged, but for the clock."""
    logs = [path.read_text().splitlines() for path in sorted((folder / "runs").glob("*/metrics.jsonl"))]
    clock = ("seconds", "images_per_second")
    return [[{k: v for k, v in json.loads(line).items() if k not in clock} for line in lines] for lines in logs]


def _weights(folder: Path) -> list[dict[str, bytes]]:
    found = []
    for path in sorted((folder / "runs").glob("*/model.safetensors")):
        with safe_open(path, "np") as file:
            found.append({name: file.get_tensor(name).tobytes() for name in file.keys()})  # noqa: SIM118
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the datasets."""
    return drawn(tmp_path_factory.mktemp("data")).root.parent


@pytest.fixture(scope="module")
def done(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script's folder, two jobs at once and nothing interrupted."""
    folder = tmp_path_factory.mktemp("done")
    printed = _run("--data-root", root, "--output", folder, "--jobs", 2)
    assert printed == f"{folder / 'table.json'}\n"
    assert len(_table(folder)) == 8
    return folder


def test_again_it_makes_nothing(done: Path, root: Path) -> None:
    kept = {path: path.stat().st_mtime_ns for path in done.rglob("*") if path.is_file() and path.name != "table.json"}
    table = _table(done)
    (done / "table.json").unlink()
    _run("--data-root", root, "--output", done, "--policy", "never")
    _run("--data-root", root, "--output", done)
    assert _table(done) == table
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def _is_training(folder: Path) -> bool:
    return any((folder / "runs").glob("*/checkpoints/step-*"))


def _is_predicting(folder: Path) -> bool:
    return any((folder / "predictions").glob("*/work.json"))


def _is_evaluating(folder: Path) -> bool:
    return any((folder / "evaluations").glob("*.json"))


@pytest.fixture
def killed(root: Path, tmp_path: Path) -> Path:
    """A folder in which the script was killed by SIGKILL while it trained, predicted and evaluated."""
    for reached in (_is_training, _is_predicting, _is_evaluating):
        # One job at a time, so that not all is done at the third moment.
        process = _start("--data-root", root, "--output", tmp_path, "--jobs", 1)
        _wait(lambda reached=reached: reached(tmp_path), process)
        process.kill()
        process.communicate()
        assert not (tmp_path / "table.json").exists()
    return tmp_path


def _wait(until: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 300
    while not until():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.005)


def test_killed_at_three_moments_it_goes_on_to_the_same_table(killed: Path, done: Path, root: Path) -> None:
    """And two at once, and one at a time, come to the same numbers."""
    _run("--data-root", root, "--output", killed, "--jobs", 1)
    assert _table(killed) == _table(done)
    assert _losses(killed) == _losses(done)
    assert _weights(killed) == _weights(done)
    resumed = [Run.load(path).record.resumed for path in (killed / "runs").iterdir()]
    assert sum(resumed) >= 1


def test_two_commands_in_one_folder_share_the_work(done: Path, root: Path, tmp_path: Path) -> None:
    both = [_start("--data-root", root, "--output", tmp_path, "--jobs", 1) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert _table(tmp_path) == _table(done)
    # Each training was done once, from its beginning to its end.
    assert _losses(tmp_path) == _losses(done)
    assert [Run.load(path).record.resumed for path in (tmp_path / "runs").iterdir()] == [0, 0]


def test_plan_says_what_it_would_take(done: Path, root: Path, tmp_path: Path) -> None:
    text = _run("--data-root", root, "--output", tmp_path, "--plan")
    lines = {line.split("-demo")[0]: line.split() for line in text.splitlines() if "-demo" in line}
    for model, images in (("seqnet", 16 + 2 * 8), ("nae", 2 * (16 + 8))):
        trained, predicted, hours, size, _ = lines[model][-5:]
        assert "train, predict, evaluate 4" in " ".join(lines[model])
        assert (trained, predicted) == ("24", str(images))
        assert 0 < float(hours) < 1
        assert float(size) > 0
    assert "0 of 2 jobs are done" in text
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "table.json").exists()
    assert "2 of 2 jobs are done" in _run("--data-root", root, "--output", done, "--plan")


def test_planning_fetches_no_weights(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says once that trainings will."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    # Which go equally fast.
    rows = [
        dataclasses.replace(
            tiny("oim", f"OIM, {epochs} epochs"),
            changes=TINY | {"model_options.pretrained": True, "schedule.epochs": epochs},
        )
        for epochs in (2, 3)
    ]
    workspace, script = Workspace(tmp_path, progress=False), Script(rows=rows, cells=CELLS, write=write)
    plan = Planner(workspace, root).plan([script])
    text = plan_text(plan, works_to_do(plan, workspace, Policy.ONLY_MISSING), workspace, Machine([], 1), at_once=1)
    assert "cannot be measured" not in text
    assert sum("train, predict, evaluate 2" in line for line in text.splitlines()) == 2
    [said] = [line for line in text.splitlines() if "fetched" in line]
    assert said.startswith("2 of 2 trainings start from pretrained weights (test_resnet)")
    assert "0 of 2 jobs are done" in text


def test_faults_are_told_together_and_the_rest_is_written(done: Path, root: Path, tmp_path: Path) -> None:
    """A training that cannot go on is told of with its log; what there is stands in the table."""
    run = next((done / "runs").glob("nae-*"))
    (tmp_path / "runs" / run.name).mkdir(parents=True)
    (tmp_path / "runs" / run.name / "notes.txt").write_text("mine")
    process = _start("--data-root", root, "--output", tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert f"error: {run.name}: {tmp_path / 'runs' / run.name}: there is something else here" in err
    assert f"Its log: {tmp_path / 'logs' / run.name}.log" in err
    assert "Traceback" not in err
    assert out == f"{tmp_path / 'table.json'}\n"
    assert _table(tmp_path) == _table(done)[:4]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data-root", "nowhere"], "nowhere: this folder does not exist"),
        (["--demo", "--checkpoints", "nowhere"], "nowhere: this folder of checkpoints does not exist"),
        (["--demo", "--output", "/proc/nothing"], "/proc/nothing"),
        (["--demo", "--jobs", "0"], "expected a whole number from 1"),
        (["--demo", "--policy", "sometimes"], "only-missing"),
        ([], "one of the arguments --demo --data-root is required"),
    ],
)
def test_arguments_that_cannot_be(arguments: list[str], words: str) -> None:
    process = _start(*arguments)
    _, err = process.communicate(timeout=120)
    assert process.returncode in (1, 2)
    assert words in err
    assert "Traceback" not in err


def test_help_defines_every_policy() -> None:
    shown = " ".join(_run("--help").split())
    for words in (
        "only-missing: make what is missing, and take the rest as it is",
        "only-cache: make nothing; what is missing leaves its cells empty",
        "always: make everything again, and replace what is there",
        "never: make nothing, and stop if anything is missing",
        "DATA_ROOT/cuhk_sysu",
    ):
        assert words in shown
