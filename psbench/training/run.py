"""The run folder: what a training leaves on disk, and how a model comes back from it.

run.json            recipe, data, versions, hardware, number of steps; written last: a folder without it is not finished
metrics.jsonl       the losses, one line a step
validation.jsonl    the results on a protocol, one line a validation; if there were any
model.safetensors   the weights, see `psbench.zoo.weights`; without the identity tables that only training needs
best.safetensors    those of the best validation; if there were several
card.md, curves.png what a reader wants to see of it, see `psbench.training.card`

As long as a training is not finished there are also:

training.json       what is being trained on what, so that only the same training goes on here
checkpoints/        see `psbench.training.checkpoints`
validation/         predictions that are being made for a validation
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from psbench import locking
from psbench.training.recipe import Recipe
from psbench_data import InputError
from psbench_data.atomic import new_file
from psbench_data.validation import file_error

if TYPE_CHECKING:
    from psbench.zoo import ZooModel

RUN_FILE = "run.json"
PLAN_FILE = "training.json"
METRICS_FILE = "metrics.jsonl"
VALIDATION_FILE = "validation.jsonl"
BEST_FILE = "best.safetensors"
VALIDATION_FOLDER = "validation"
CHECKPOINTS = "checkpoints"
_BEGUN = ".training.*.json"
"""What a process leaves in a new folder that was killed at once."""


class Validation(BaseModel):
    """A line of validation.jsonl: results on the test split, fractions in [0, 1], after an epoch (from 1)."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    epoch: int
    step: int
    protocol: str
    map: float
    top1: float
    detection_recall: float
    detection_ap: float


class Batches(BaseModel):
    """What batches came to be of a recipe's batch_size on the machines at hand.

    Attributes:
        processes: that trained together.
        images_per_process: at once; batch norm sees so many.
        accumulation: batches of each process that made a step.
        lr: the learning rate after the warm-up, with the linear rule applied if that was asked for.
    """

    model_config = ConfigDict(extra="forbid")

    processes: int
    images_per_process: int
    accumulation: int
    lr: float

    @property
    def images_per_step(self) -> int:
        """The global batch."""
        return self.processes * self.images_per_process * self.accumulation


class Plan(BaseModel):
    """What is trained on what: training.json, and the first part of run.json.

    Attributes:
        recipe, recipe_digest: as `Recipe.to_dict` and `Recipe.digest` give them.
        dataset, fingerprint, synthetic, num_identities: of the training data.
        batches: see there.
        started_from: SHA-256 of the weights file that the training started from, if it did.
        detections: digest of the detected boxes that it trains on beside the annotated ones, if it does.
    """

    model_config = ConfigDict(extra="forbid")

    recipe: dict[str, Any]
    recipe_digest: str
    dataset: str
    fingerprint: str
    synthetic: bool
    num_identities: int
    batches: Batches
    started_from: str | None
    detections: str | None = None


class RunRecord(Plan):
    """What run.json holds.

    Attributes:
        steps: of the optimiser.
        seconds: of training, in all its parts if it was interrupted; validation not counted.
        resumed: how often it went on from a checkpoint.
        peak_memory: bytes; of the GPU with the most, or of the process on a CPU.
        hardware: in words.
        versions: of Python and the packages that results depend on.
        finished: the date, UTC.
        validation: of the weights that it ended with, if there was one.
        best: after which best.safetensors was written, if it was.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    steps: int
    seconds: float
    resumed: int
    peak_memory: int
    hardware: str
    versions: dict[str, str]
    finished: date
    validation: Validation | None
    best: Validation | None = None


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        folder: where it lies.
        record: the contents of run.json.
    """

    folder: Path
    record: RunRecord

    @property
    def recipe(self) -> Recipe:
        """What was trained."""
        return Recipe.from_dict(self.record.recipe, source=str(self.folder / RUN_FILE))

    @staticmethod
    def load(folder: str | Path) -> Run:
        """Open a run folder.

        Raises:
            InputError: it is not the folder of a finished run.
        """
        path = Path(folder) / RUN_FILE
        if not path.is_file():
            unfinished = (Path(folder) / PLAN_FILE).is_file()
            remedy = "Go on with `psbench train --resume`." if unfinished else "Give one that `psbench train` made."
            raise InputError(f"{path}: not there, so {folder} is not a finished run. {remedy}")
        try:
            return Run(Path(folder), RunRecord.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            raise file_error(path, error, "Train again.") from None

    def model(self) -> ZooModel:
        """The trained model, in evaluation mode, on the CPU.

        Raises:
            InputError: the weights are missing, damaged, or not of this run's model and dataset.
        """
        from psbench.zoo.weights import WEIGHTS_FILE, load_weights

        return load_weights(self.folder / WEIGHTS_FILE, model=self.recipe.model, dataset=self.record.dataset)


def find_plan(folder: Path) -> Plan | None:
    """What an unfinished training in a folder trains; None if there is none.

    Raises:
        InputError: training.json is damaged.
    """
    path = folder / PLAN_FILE
    if not path.is_file():
        return None
    try:
        return Plan.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise file_error(path, error, "Train anew in another folder.") from None


def find_run(folder: Path, plan: Plan, *, resume: bool) -> Run | None:
    """The finished run of a plan, if a folder holds it; None if it can be begun or gone on with there.

    Raises:
        InputError: there is something else, or something and `resume` is not set.
    """
    finished, there = (folder / RUN_FILE).is_file(), find_plan(folder)
    if not resume and (finished or there):
        what = "a finished run" if finished else "an unfinished training: go on with --resume (resume=True)"
        raise InputError(f"{folder}: holds {what}. Give another folder, or remove this one.")
    if finished:
        run = Run.load(folder)
        _require_same(folder / RUN_FILE, run.record, plan)
        return run
    if there:
        _require_same(folder / PLAN_FILE, there, plan)
    elif folder.exists() and (not folder.is_dir() or any(not path.match(_BEGUN) for path in folder.iterdir())):
        raise InputError(f"{folder}: there is something else here. Give another folder, or remove this one.")
    return None


@contextmanager
def at_work(folder: Path, plan: Plan) -> Iterator[None]:
    """Make a run's folder, if it is not there, and keep other trainings out of it.

    Raises:
        InputError: it cannot be made, another training is at work in it, or came before this one.
    """
    with locking.at_work(folder, what="another training"):
        # What was found before may have changed while this waited.
        if (folder / RUN_FILE).is_file():
            raise InputError(f"{folder}: another training has just ended here. Give another folder, or take its run.")
        if there := find_plan(folder):
            _require_same(folder / PLAN_FILE, there, plan)
        else:
            with new_file(folder / PLAN_FILE) as partial:
                partial.write_text(plan.model_dump_json(indent=1) + "\n", encoding="utf-8")
        _sweep(folder)
        yield


def clear(folder: Path) -> None:
    """Remove what a finished run no longer needs."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    (folder / PLAN_FILE).unlink(missing_ok=True)
    _sweep(folder)


def _sweep(folder: Path) -> None:
    """Remove what processes left that were killed while they wrote; a checkpoint is as large as all others."""
    for path in [*folder.glob(".*.*"), *folder.glob(f"{CHECKPOINTS}/.*.*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _require_same(path: Path, found: Plan, plan: Plan) -> None:
    """The next step can only equal that of an uninterrupted run if everything is as it was."""
    faults = [
        f"{path}: {name} is {getattr(found, name)!r}, now {getattr(plan, name)!r}. Go on with the same, "
        "or train anew in another folder."
        for name in ("dataset", "fingerprint", "num_identities", "started_from", "detections")
        if getattr(found, name) != getattr(plan, name)
    ]
    faults += [
        f"{path}: it was trained with {name} = {getattr(found.batches, name)!r}, now {getattr(plan.batches, name)!r}. "
        "Go on with the same, or train anew in another folder."
        for name in type(plan.batches).model_fields
        if getattr(found.batches, name) != getattr(plan.batches, name)
    ]
    if not faults and found.recipe_digest != plan.recipe_digest:
        faults = [
            f"{path}: of the recipe {found.recipe['name']} with other values (digest {found.recipe_digest[:8]}, now "
            f"{plan.recipe_digest[:8]}). Go on with the same, or train anew in another folder."
        ]
    if faults:
        raise InputError(faults)
