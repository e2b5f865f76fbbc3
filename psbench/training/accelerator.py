"""What the machines at hand make of a recipe: its precision, its batches, the processes that share them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin, ProjectConfiguration

from psbench.training.recipe import Recipe
from psbench.training.run import Batches, Plan
from psbench_data import InputError

_log = logging.getLogger("psbench")
_FEW_IMAGES = 4
"""Fewer a batch norm should not see: with one, SeqNet loses 8 points of mAP whatever the learning rate."""
_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def batches_of(recipe: Recipe, processes: int) -> Batches:
    """The batches and the learning rate that a recipe comes to in so many processes."""
    how = recipe.execution
    batches = Batches(
        processes=processes,
        images_per_process=how.images_per_process or recipe.batch_size,
        accumulation=how.accumulation,
        lr=recipe.optimizer.lr,
    )
    scaled = recipe.optimizer.lr * batches.images_per_step / recipe.batch_size
    return batches.model_copy(update={"lr": scaled}) if how.scale_lr else batches


def batch_warnings(recipe: Recipe, batches: Batches) -> list[str]:
    """What may make a result differ from the recipe's: batch norm and OIM are sensitive to batches."""
    images, wanted, rate = batches.images_per_step, recipe.batch_size, recipe.optimizer.lr
    warnings = []
    if images != wanted:
        step = (
            f"a step has {images} images ({batches.processes} x {batches.images_per_process} x "
            f"{batches.accumulation}: processes, images at once, accumulation), and {recipe.name} was made for {wanted}"
        )
        if recipe.execution.scale_lr:
            warnings.append(f"{step}: the learning rate is {batches.lr:g} instead of {rate:g}.")
        else:
            warnings.append(
                f"{step} at a learning rate of {rate:g}. Set execution.scale_lr=true for {rate * images / wanted:g}, "
                "or another execution.images_per_process."
            )
    few = batches.images_per_process < min(_FEW_IMAGES, wanted)
    if few and recipe.batch_norm == "batch":
        warnings.append(
            f"batch norm sees batches of {batches.images_per_process}, and {recipe.name} was made for {wanted}: "
            "results suffer. Set batch_norm=synchronised (several GPUs) or batch_norm=frozen (a pretrained network)."
        )
    return warnings


def schedule_warnings(recipe: Recipe) -> list[str]:
    """What of a schedule will not come about, as where only the number of epochs was changed."""
    schedule, warnings = recipe.schedule, []
    if late := [milestone for milestone in schedule.milestones if milestone >= schedule.epochs]:
        warnings.append(
            f"the learning rate does not fall at schedule.milestones={late}: there are {schedule.epochs} epochs. "
            "Set them with schedule.epochs."
        )
    if schedule.warmup_epochs > schedule.epochs:
        warnings.append(f"the warm-up of {schedule.warmup_epochs:g} epochs is longer than the training.")
    return warnings


def detection_warnings(recipe: Recipe, detections: str | None) -> list[str]:
    """That a recipe is for detected boxes, too, and there are none."""
    if recipe.detections_from is None or detections is not None:
        return []
    return [
        f"the crops are of annotated boxes alone, and {recipe.name} was made for those that {recipe.detections_from} "
        "detects in the training scenes, too. Give them with --detections (detections=)."
    ]


def say_warnings(recipe: Recipe, plan: Plan) -> None:
    """Say what is to be warned of through the logger `psbench`."""
    found = [*batch_warnings(recipe, plan.batches), *schedule_warnings(recipe)]
    for warning in [*found, *detection_warnings(recipe, plan.detections)]:
        _log.warning("%s", warning)


def make_accelerator(recipe: Recipe, state: PartialState, folder: Path, trackers: Sequence[str]) -> Accelerator:
    """The accelerator of a training.

    Raises:
        InputError: the device cannot compute in the recipe's precision.
    """
    precision = recipe.execution.precision
    if precision == "fp16" and state.device.type == "cpu":
        raise InputError("execution.precision is fp16, which needs a GPU. Set bf16 or fp32.")
    if precision == "bf16" and state.device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise InputError("execution.precision is bf16, which this GPU does not have. Set fp16 or fp32.")
    # accelerate keeps one precision a program; two trainings of it may differ.
    AcceleratorState._reset_state()
    return Accelerator(
        cpu=state.device.type == "cpu",
        mixed_precision=_PRECISIONS[precision],
        # As a plugin, which accelerate prefers to its environment variable.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=recipe.execution.accumulation),
        log_with=list(trackers) or None,
        project_config=ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder / "trackers")),
    )
