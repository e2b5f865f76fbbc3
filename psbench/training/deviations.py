"""What was done otherwise than a recipe says, and whether its published result may be put beside a run's."""

from __future__ import annotations

from psbench.training.again import origin
from psbench.training.recipe import BatchNorm, Published, Recipe
from psbench.training.run import Run


def published_result(run: Run) -> Published | None:
    """The published result that this run's may be put beside: the recipe is as published, the data are real."""
    recipe = run.recipe
    base = origin(recipe)
    changed = base is not None and base.digest != recipe.digest
    return None if changed or run.record.synthetic else recipe.expected


def deviations(run: Run, base: Recipe) -> list[str]:
    """Sentences on what was done otherwise than a recipe says."""
    recipe, record, batches = run.recipe, run.record, run.record.batches
    same_rate = f"{batches.lr:g}" == f"{base.optimizer.lr:g}"
    planned, actual = planned_batch_norm(base), actual_batch_norm(run)
    found = []
    if batches.images_per_step != base.batch_size:
        found.append(
            f"A step took {count(batches.images_per_step, 'image')}, the recipe's {base.batch_size}; "
            + ("the learning rate was left as it is." if same_rate else "the learning rate is another one, too.")
        )
    if not same_rate:
        rule = " (scaled by images a step / `batch_size`, `execution.scale_lr`)" if recipe.execution.scale_lr else ""
        found.append(f"The learning rate was {batches.lr:g}{rule}, the recipe's {base.optimizer.lr:g}.")
    if actual != planned:
        found.append(f"Batch norm took {actual}, the recipe's {planned}.")
    if batches.accumulation > base.execution.accumulation:
        found.append(
            f"{count(batches.accumulation, 'batch')} of each process were added up to a step: batch norm saw each "
            "alone, and the identity tables moved after each. That is not the same as one large batch."
        )
    if recipe.execution.precision != base.execution.precision:
        found.append(f"The precision was {recipe.execution.precision}, the recipe's {base.execution.precision}.")
    if record.started_from and not base.starts_from:
        found.append(f"It started from trained weights (SHA-256 `{record.started_from}`), the recipe does not.")
    if base.starts_from and not record.started_from:
        found.append(f"It did not start from the trained weights of `{base.starts_from}`, the recipe does.")
    if record.detections and not base.detections_from:
        found.append("It was trained on detected boxes beside the annotated ones, the recipe is not.")
    if base.detections_from and not record.detections:
        found.append(f"It was trained on annotated boxes alone, the recipe also on those of `{base.detections_from}`.")
    return found


def planned_batch_norm(recipe: Recipe) -> str:
    """What batch norm normalises by in one process, as the recipe has it."""
    own = recipe.execution.images_per_process or recipe.batch_size
    return _batch_norm(recipe.batch_norm, own, recipe.batch_size)


def actual_batch_norm(run: Run) -> str:
    """What it normalised by in a run."""
    own = run.record.batches.images_per_process
    return _batch_norm(run.recipe.batch_norm, own, own * run.record.batches.processes)


def _batch_norm(mode: BatchNorm, own: int, together: int) -> str:
    if mode == "frozen":
        return "running statistics (frozen)"
    images = count(together if mode == "synchronised" else own, "image")
    return f"statistics of {images}{', of all processes' if mode == 'synchronised' else ''} ({mode})"


def count(number: int, noun: str) -> str:
    """A number and its noun."""
    plural = f"{noun}es" if noun.endswith(("s", "h")) else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
