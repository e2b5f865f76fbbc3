"""Training: what is checked before the first step, and what is there after the last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from psbench.predictions import Predictions
from psbench.processes import main_process_first, this_process, wait_for_others
from psbench.training.accelerator import batches_of, make_accelerator, say_warnings
from psbench.training.card import complete
from psbench.training.checkpoints import newest
from psbench.training.crops import detections_digest
from psbench.training.data import detections_for
from psbench.training.journal import require_trackers
from psbench.training.recipe import Recipe
from psbench.training.run import PLAN_FILE, Plan, Run, at_work, find_plan, find_run
from psbench.training.trainer import NonFiniteLossError, Trainer
from psbench.training.validation import Validator
from psbench.zoo import model_class
from psbench.zoo.weights import file_digest, weights_path
from psbench_data import InputError, PersonSearchDataset

__all__ = ["NonFiniteLossError", "train"]


def train(
    recipe: Recipe,
    dataset: PersonSearchDataset,
    output: str | Path,
    *,
    resume: bool = False,
    start_from: str | Path | None = None,
    detections: str | Path | Predictions | None = None,
    checkpoint_every: int = 500,
    keep_checkpoints: int = 2,
    validate_on: str | None = None,
    validate_every: int | None = None,
    trackers: Sequence[str] = (),
    progress: bool = True,
) -> Run:
    """Train a model, in one process or in all that were started together.

    While it runs, `output` holds checkpoints; what interrupts it costs the steps since the last one.

    Args:
        recipe: what to train and how.
        dataset: its `train` split is used, and its test split by validations.
        output: the run folder to make.
        resume: go on with the training that was interrupted there, exactly as if it had not been; start it if nothing
            is there; with a finished one there is nothing to do.
        start_from: a run's folder or a weights file to start from instead of fresh weights: of the same model, of
            one that it builds on, or of a re-ID network, whose backbone is taken.
        detections: for a model that trains on crops: what a detector found in the training scenes
            (`predict_into(..., split="train")`), to learn from these boxes, too. Needed again to resume.
        checkpoint_every: steps; after each epoch there is one, too.
        keep_checkpoints: how many, the newest.
        validate_on: a protocol of the dataset to evaluate at the end, `gallery-100`.
        validate_every: epochs, to evaluate in between, too. The weights with the best mAP are kept as
            best.safetensors; as they are chosen by the test data, their result is not one to report.
        trackers: names of accelerate's, `tensorboard`, that get what metrics.jsonl gets.
        progress: whether to show a progress bar.

    Returns:
        The finished run.

    Raises:
        InputError: the recipe is impossible or for another dataset, images are missing, or something is at `output`
            that this training cannot go on from.
        NonFiniteLossError: a loss broke; the last checkpoint is intact.
    """
    state, output = this_process(), Path(output)
    # What is wrong is found, and said, by the main process, before anything is written; the launcher ends those that
    # wait for it.
    with main_process_first():
        if checkpoint_every < 1 or keep_checkpoints < 1:
            raise InputError("checkpoint_every and keep_checkpoints: expected whole numbers from 1.")
        require_trackers(trackers)
        _require_fit(recipe, dataset, validate_on)
        validator = Validator.of(dataset, validate_on, validate_every)
        scenes = dataset.split("train")
        scenes.require_images()
        found = detections_for(recipe, dataset, detections)
        begun = newest(output) is not None
        plan = Plan(
            recipe=recipe.to_dict(),
            recipe_digest=recipe.digest,
            dataset=dataset.name,
            fingerprint=dataset.fingerprint,
            synthetic=dataset.synthetic,
            num_identities=scenes.num_identities,
            batches=batches_of(recipe, state.num_processes),
            started_from=_started_from(recipe, output, start_from, begun),
            detections=None if found is None else detections_digest(found, scenes),
        )
        finished = find_run(output, plan, resume=resume)
        accelerator = make_accelerator(recipe, state, output, trackers)
        if finished is None:
            # The weights are the checkpoint's, if there is one.
            start = None if begun else start_from
            trainer = Trainer(recipe, plan, scenes, output, accelerator, validator, start, found)
    if finished is not None:
        if state.is_main_process:
            complete(finished)
        return finished
    if not state.is_main_process:
        wait_for_others()
        if not (output / PLAN_FILE).is_file():
            raise InputError(f"{output}: this machine does not see the run folder. Give one that all machines share.")
        return trainer.run(checkpoint_every=checkpoint_every, keep=keep_checkpoints, progress=progress)
    with at_work(output, plan):
        wait_for_others()
        say_warnings(recipe, plan)
        return trainer.run(checkpoint_every=checkpoint_every, keep=keep_checkpoints, progress=progress)


def _require_fit(recipe: Recipe, dataset: PersonSearchDataset, validate_on: str | None) -> None:
    if recipe.dataset != dataset.name:
        raise InputError(
            f"recipe {recipe.name} is for {recipe.dataset}, not for {dataset.name}. "
            f"Take a recipe for it, or set dataset={dataset.name} and what depends on it."
        )
    if "num_identities" in recipe.model_options:
        raise InputError("model_options.num_identities follows from the data. Leave it out.")
    if model_class(recipe.model).forward is nn.Module.forward:
        raise InputError(f"{recipe.model} has no forward, which gives the training losses. It can only predict.")
    if validate_on is not None and model_class(recipe.model).trains_on != "scenes":
        raise InputError(
            f"validate_on={validate_on}: {recipe.model} does not detect and embed by itself. Leave it out, and measure "
            "what has been trained with `psbench predict` and `psbench evaluate`."
        )


def _started_from(recipe: Recipe, output: Path, start_from: str | Path | None, begun: bool) -> str | None:
    """The digest of the weights that a training starts, or once started, from."""
    if begun and (there := find_plan(output)) and (start_from is None or not Path(start_from).exists()):
        return there.started_from
    if recipe.starts_from is not None and start_from is None:
        raise InputError(
            f"recipe {recipe.name} starts from the weights of {recipe.starts_from}. Give its run with --start-from "
            "(start_from=), or start afresh with starts_from=null and model_options.pretrained=true."
        )
    return None if start_from is None else file_digest(weights_path(start_from))
