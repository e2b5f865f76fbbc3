"""A training of thousands of steps at full resolution, as a user would start it: does it learn, and how fast."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psbench.training import Recipe, train
from psbench.training.card import CARD_FILE, CURVES_FILE
from psbench.training.history import read_steps
from psbench.training.run import METRICS_FILE, VALIDATION_FILE
from tests.benchmarks.gpu.results import Result
from tests.benchmarks.gpu.steps import drawn_people, forget, measure, require_device
from tests.benchmarks.gpu.training import paper_recipe

STEPS = 2000
_KEPT = (CURVES_FILE, CARD_FILE, METRICS_FILE, VALIDATION_FILE)
_RESERVE = 0.15
"""Of the budget, for what follows the last step: validation, card, weights."""
_METHOD = (
    "SeqNet's recipe for CUHK-SYSU with fresh weights, all of them trained, at twice its learning rate, on drawn "
    "people at 900x1500, through psbench.training.train with a validation at the end. Decoding by workers included. "
    "The number of epochs follows from the budget and the speed of some steps before. Drawn people: the numbers say "
    "that training works, and nothing about a real dataset."
)
# Fresh weights have further to go than ImageNet's, and their first layer has to be learnt.
_FRESH: dict[str, Any] = {"model_options.freeze_stem": False, "optimizer.lr": 0.006}


def run(
    device: str,
    *,
    budget: float = 540,
    steps: int = STEPS,
    changes: Mapping[str, Any] | None = None,
    world: Mapping[str, Any] | None = None,
    protocol: str = "gallery-50",
) -> Result:
    """Train within `budget` seconds: `steps` of them or somewhat more, or as many as there is time for, and say which.

    Args:
        device: `cuda`, or `cpu` where there is no GPU.
        budget: seconds, drawing the people included.
        steps: to take.
        changes: to the recipe.
        world: of the drawn people, what differs from `drawn_people`.
        protocol: to validate on.
    """
    start, result = time.monotonic(), Result(_METHOD)
    people = {"train_scenes": 400, "train_identities": 140, "test_scenes": 100, "test_identities": 40}
    require_device(device)
    with drawn_people(**people | dict(world or {})) as dataset, tempfile.TemporaryDirectory() as folder:
        recipe = paper_recipe("seqnet").override(_FRESH | dict(changes or {}))
        trial = measure(recipe, dataset, decoded=False, steps=min(20, steps), warm_up=min(10, steps // 2))
        left = budget - (time.monotonic() - start) - _RESERVE * budget
        per_epoch = int((dataset.split("train").offsets[1:] > dataset.split("train").offsets[:-1]).sum())
        per_epoch //= recipe.batch_size
        affordable = int(left / float(trial["seconds_per_step"]))
        recipe = _of_length(recipe, max(1, min(-(-steps // per_epoch), affordable // per_epoch)))
        forget()
        made = train(recipe, dataset, Path(folder) / "run", validate_on=protocol, progress=sys.stderr.isatty())
        table, record = read_steps(made.folder), made.record
        result.files = {name: (made.folder / name).read_bytes() for name in _KEPT}
    tenth = max(1, len(table) // 10)
    first, last = float(table["loss"].iloc[:tenth].mean()), float(table["loss"].iloc[-tenth:].mean())
    assert record.validation is not None
    result.figures = {
        "steps": record.steps,
        "budget_seconds": budget,
        "seconds_of_training": record.seconds,
        "seconds_in_all": round(time.monotonic() - start, 1),
        "images_per_second": float(table["images_per_second"].median()),
        "peak_memory": record.peak_memory,
        "hardware": record.hardware,
        "loss, first tenth": first,
        "loss, last tenth": last,
        "validation": record.validation.model_dump(),
        "trial": trial,
    }
    if record.steps < steps:
        result.tell(f"run: {budget:.0f} s are enough for {record.steps} steps, not for {steps}")
    result.tell(f"run: {record.steps} steps in {record.seconds:.0f} s on {record.hardware}, {_speed(result)}")
    result.tell(
        f"run: loss {first:.3g} -> {last:.3g}; {protocol}: mAP {record.validation.map:.1%}, top-1 "
        f"{record.validation.top1:.1%}, recall {record.validation.detection_recall:.1%} (drawn people)"
    )
    if not last < first:
        result.faults.append(f"the loss did not fall: {first:.3g} in the first tenth, {last:.3g} in the last")
    return result


def _of_length(recipe: Recipe, epochs: int) -> Recipe:
    """The same with so many epochs, and the rate falling at the same share of them."""
    whole = recipe.schedule
    milestones = [round(m * epochs / whole.epochs) for m in whole.milestones]
    warmup = min(whole.warmup_epochs, 0.1 * epochs)
    return recipe.override(
        {"schedule.epochs": epochs, "schedule.milestones": milestones, "schedule.warmup_epochs": warmup}
    )


def _speed(result: Result) -> str:
    figures = result.figures
    return f"{figures['images_per_second']:.1f} images/s, {figures['peak_memory'] / 2**30:.1f} GiB"
