"""What a training leaves on disk and comes back to: run folders, plans, logs and checkpoints."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from random import Random

import torch
from accelerate import Accelerator
from torch import nn

from psbench.processes import this_process
from psbench.training import Run
from psbench.training.card import write_card
from psbench.training.checkpoints import Position, newest, restore, restore_random_state
from psbench.training.history import read_steps, read_validations
from psbench.training.journal import Journal
from psbench.training.run import CHECKPOINTS, METRICS_FILE, PLAN_FILE, RUN_FILE, VALIDATION_FILE, Plan, find_run
from psbench.zoo.weights import write_tensors
from tests.models.test_card import FIRST, SECOND, make_run
from tests.reliability.fuzz.grammar import json_changed, lines_changed, safetensors_changed
from tests.reliability.fuzz.target import Target

_CHECKPOINT = f"{CHECKPOINTS}/step-00000004"


def _make_run(folder: Path, *, steps: int = 0) -> None:
    run = make_run(folder / "run", validations=(FIRST, SECOND), steps=steps, best=FIRST)
    (run.folder / RUN_FILE).write_text(run.record.model_dump_json(indent=1), "utf-8")


def _make_logged_run(folder: Path) -> None:
    _make_run(folder, steps=8)


def _read_run(folder: Path) -> object:
    """Its recipe, and the card that is written of it."""
    run = Run.load(folder / "run")
    with tempfile.TemporaryDirectory() as scratch:
        return run.recipe, write_card(Run(Path(scratch), run.record))


def _read_logs(folder: Path) -> object:
    """What the card takes of them; its curves are not drawn, which takes as long as a hundred inputs."""
    return read_steps(folder / "run"), read_validations(folder / "run")


@cache
def _plan() -> Plan:
    with tempfile.TemporaryDirectory() as scratch:
        record = make_run(Path(scratch) / "run").record
    return Plan(**{name: getattr(record, name) for name in Plan.model_fields})


def _make_plan(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / PLAN_FILE).write_text(_plan().model_dump_json(indent=1), "utf-8")


def _read_plan(folder: Path) -> object:
    return find_run(folder / "run", _plan(), resume=True)


def _network() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module(torch.ones(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    return module, optimizer


def _make_checkpoint(folder: Path) -> None:
    """As `save_checkpoint` writes it, of a network that is smaller than any of the zoo."""
    _make_plan(folder)
    _make_logs(folder / "run")
    place = folder / "run" / _CHECKPOINT
    place.mkdir(parents=True)
    module, optimizer = _network()
    moving = {f"{n}.momentum_buffer": optimizer.state[p]["momentum_buffer"] for n, p in module.named_parameters()}
    random = {"cpu": torch.get_rng_state()[None]}
    tensors = {"model": module.state_dict(), "average": module.state_dict(), "optimizer": moving, "random": random}
    for name, some in tensors.items():
        write_tensors(some, place / f"{name}.safetensors")
    logged = {path.name: path.stat().st_size for path in (folder / "run").glob("*.jsonl")}
    position = Position(step=4, seconds=1.5, resumed=1, log_bytes=logged, peak_memory=10, best=FIRST, last=FIRST)
    (place / "position.json").write_text(position.model_dump_json(indent=1), "utf-8")


def _make_logs(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        run = make_run(Path(scratch) / "run", validations=(FIRST,), steps=4)
        for name in (METRICS_FILE, VALIDATION_FILE):
            shutil.copy(run.folder / name, folder / name)


@cache
def _accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def _go_on(folder: Path) -> object:
    """All that is read before the first step of a training that goes on."""
    with tempfile.TemporaryDirectory() as scratch:
        run = shutil.copytree(folder / "run", Path(scratch) / "run")
        found = newest(run)
        if found is None:
            return None
        checkpoint, position = found
        module, optimizer = _network()
        average, _ = _network()
        restore(checkpoint, module=module, optimizer=optimizer, average=average)
        before = torch.get_rng_state()
        restore_random_state(checkpoint, this_process())
        torch.set_rng_state(before)
        journal = Journal(run, _accelerator(), _plan(), position, epochs=2, steps_per_epoch=4, progress=False)
        journal.close()
        return position


def _run_changed(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: json_changed(random, content) for path, content in files.items()}


def _lines_changed(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    path = random.choice(list(files))
    return {path: lines_changed(random, files[path])}


def _checkpoint_changed(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    path = random.choice(list(files))
    change = safetensors_changed if path.endswith(".safetensors") else json_changed
    return {path: change(random, files[path])}


_IN_CHECKPOINT = tuple(f"run/{_CHECKPOINT}/*.{ending}" for ending in ("json", "safetensors"))
TARGETS = (
    Target("run.json of a training", _make_run, (f"run/{RUN_FILE}",), _read_run, _run_changed),
    Target("logs of a training", _make_logged_run, ("run/*.jsonl",), _read_logs, _lines_changed),
    Target("training.json of a training that goes on", _make_plan, (f"run/{PLAN_FILE}",), _read_plan, _run_changed),
    Target("checkpoint of a training", _make_checkpoint, _IN_CHECKPOINT, _go_on, _checkpoint_changed),
)
