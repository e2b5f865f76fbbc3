"""A training in progress: the model and all that moves it, step after step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather, gather_object, set_seed
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from psbench import zoo
from psbench.hardware import device_name, versions
from psbench.predictions import Predictions
from psbench.processes import from_main, this_process, wait_for_others
from psbench.training.batches import Batch, EpochBatches, training_loader
from psbench.training.card import complete
from psbench.training.checkpoints import (
    Position,
    newest,
    restore,
    restore_random_state,
    save_checkpoint,
    save_position,
)
from psbench.training.data import WORDS, training_data
from psbench.training.execution import arrange, training_mode
from psbench.training.journal import Journal, peak_memory, reset_peak_memory
from psbench.training.optimization import learning_rate_factor, make_optimizer, set_learning_rate
from psbench.training.recipe import Recipe
from psbench.training.run import BEST_FILE, RUN_FILE, VALIDATION_FOLDER, Plan, Run, RunRecord
from psbench.training.validation import Validator
from psbench.zoo.answers import require_losses
from psbench.zoo.images import to_float
from psbench.zoo.starting import start_from_weights
from psbench.zoo.weights import WEIGHTS_FILE, describe, save_weights, weights_path
from psbench_data import InputError, Scenes
from psbench_data.atomic import new_file

_NOTHING = Position(step=0, seconds=0.0, resumed=-1, log_bytes={})


class NonFiniteLossError(RuntimeError):
    """A loss or the gradient became NaN or infinite; the message names it and the scenes of the step."""


class Trainer:
    """A recipe under way, in one of the processes that train together."""

    def __init__(
        self,
        recipe: Recipe,
        plan: Plan,
        scenes: Scenes,
        folder: Path,
        accelerator: Accelerator,
        validator: Validator | None = None,
        start_from: str | Path | None = None,
        detections: Predictions | None = None,
    ) -> None:
        """Make the model and what moves it, as they are before the first step; arguments as in `train`.

        Nothing is written, and no other process waited for.
        """
        self.recipe, self.plan, self.folder, self.validator = recipe, plan, folder, validator
        self.accelerator, self.process = accelerator, this_process()
        reset_peak_memory(accelerator.device)
        set_seed(recipe.seed)
        module = zoo.create(recipe.model, num_identities=plan.num_identities, **recipe.model_options)
        if start_from is not None:
            start_from_weights(module, weights_path(start_from), dataset=plan.dataset, fingerprint=plan.fingerprint)
        # The processes draw alike until here, so that their weights are equal, and each for itself from here on.
        if self.process.process_index:
            set_seed(recipe.seed + self.process.process_index)
        self.info = describe(
            module,
            recipe.model,
            num_identities=plan.num_identities,
            dataset=plan.dataset,
            method=recipe.name,
            fingerprint=plan.fingerprint,
        )
        self.average = None if recipe.ema is None else _average(module, recipe.ema).to(accelerator.device)
        self.module = arrange(module, recipe, self.process)
        training_mode(self.module, recipe.batch_norm)
        self.data = training_data(recipe, module, scenes, detections)
        self._micro_batches(scenes)
        self.optimizer = make_optimizer(self.module, recipe.optimizer, plan.batches.lr)
        self.factor = learning_rate_factor(recipe.schedule, self.steps_per_epoch)

    def _micro_batches(self, scenes: Scenes) -> None:
        """Plan the batches of each epoch: `together` of them, of all processes, make a step."""
        batches = self.plan.batches
        self.together = batches.processes * batches.accumulation
        self.order = EpochBatches(
            len(self.data),
            batch_size=batches.images_per_process,
            flip=self.recipe.flip,
            seed=self.recipe.seed,
            together=self.together,
            groups=self.data.landscape() if self.recipe.group_by_aspect else None,
        )
        self.steps_per_epoch = len(self.order) // self.together
        if not self.steps_per_epoch:
            raise InputError(
                f"a step takes {batches.images_per_step} images, and {scenes.root} has {len(self.data)} "
                f"{WORDS[self.module.trains_on]}. Set a smaller batch_size or execution.images_per_process."
            )

    @property
    def result(self) -> zoo.ZooModel:
        """What has been learnt so far."""
        return self.module if self.average is None else self.average.module

    def prepare(self) -> None:
        """Move everything to the device and join the processes; all of them have to."""
        device = self.accelerator.device
        loader = training_loader(self.data, self.order, workers=self.recipe.workers, pin=device.type == "cuda")
        prepared = self.accelerator.prepare(self.module, self.optimizer, loader)
        self.model, self.stepper, self.loader = prepared

    def run(self, *, checkpoint_every: int, keep: int, progress: bool) -> Run:
        """Train from where the folder stands to the end; arguments as in `train`."""
        self.prepare()
        checkpoint, self.position = newest(self.folder) or (None, _NOTHING)
        if from_main(self.position.step) != self.position.step:
            raise InputError(
                f"{self.folder}: process {self.process.process_index} sees other checkpoints here than the main one. "
                "Give a folder on a file system that all machines share."
            )
        self.position = self.position.model_copy(update={"resumed": self.position.resumed + 1})
        if checkpoint is not None:
            self._restore(checkpoint)
        epochs, first = self.recipe.schedule.epochs, self.position.step
        self.journal = Journal(
            self.folder,
            self.accelerator,
            self.plan,
            self.position,
            epochs=epochs,
            steps_per_epoch=self.steps_per_epoch,
            progress=progress,
        )
        try:
            self._validate_if_due(first)
            for step in self._steps(first, epochs * self.steps_per_epoch):
                if step % self.steps_per_epoch == 0 or step % checkpoint_every == 0:
                    self._save_checkpoint(step, keep)
                self._validate_if_due(step)
        finally:
            self.journal.close()
        return self._finish()

    def _steps(self, first: int, end: int) -> Iterator[int]:
        """Take the steps from `first` on; yields after each how many there were."""
        step = first
        while step < end:
            epoch, within = divmod(step, self.steps_per_epoch)
            self.order.begin(epoch, within * self.together)
            self.journal.start_clock()
            names: list[str] = []
            losses: list[dict[str, Tensor]] = []
            for batch in self.loader:
                if "faults" in batch:
                    raise InputError(batch["faults"])
                with self.accelerator.accumulate(self.model):
                    losses.append(self._backward(batch))
                    names += batch["names"]
                    if self.accelerator.sync_gradients:
                        self._move(step, losses, names)
                        step += 1
                if self.accelerator.sync_gradients:
                    names, losses = [], []
                    yield step
                    self.journal.start_clock()

    def _backward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch, and their gradients."""
        losses = self.model([to_float(image) for image in batch["images"]], batch["targets"])
        require_losses(self.recipe.model, losses)
        self.accelerator.backward(torch.stack(list(losses.values())).sum())
        return {name: loss.detach() for name, loss in losses.items()}

    def _move(self, step: int, losses: list[dict[str, Tensor]], names: list[str]) -> None:
        """One step along the gradients of the batches that were collected, if all is finite."""
        settings, parameters = self.recipe.optimizer, self.module.parameters()
        # An infinite bound only measures.
        norm = self.accelerator.clip_grad_norm_(parameters, settings.clip_norm or math.inf)
        if settings.clip_value is not None:
            # Not accelerate's, which would take the scale off fp16's gradients a second time.
            torch.nn.utils.clip_grad_value_(self.module.parameters(), settings.clip_value)
        mean = [torch.stack([of_batch[name] for of_batch in losses]).mean() for name in losses[0]]
        every = gather(torch.stack([*mean, torch.as_tensor(norm).to(mean[0])])[None])
        # The only wait for the device in a step, and before anything is moved.
        rows = every.tolist()
        self._require_finite(step, [dict(zip([*losses[0], "gradient"], row, strict=True)) for row in rows], names)
        factor = self.factor(step)
        set_learning_rate(self.optimizer, factor)
        self.stepper.step()
        self.stepper.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.module)
        *means, gradient_norm = (sum(column) / len(column) for column in zip(*rows, strict=True))
        self.journal.step(step, factor * self.plan.batches.lr, gradient_norm, dict(zip(losses[0], means, strict=True)))

    def _require_finite(self, step: int, rows: list[dict[str, float]], names: list[str]) -> None:
        """Stop in all processes if a loss, or else the gradient, is not finite in one; `rows` has one of each."""
        broken = _not_finite([{k: v for k, v in row.items() if k != "gradient"} for row in rows])
        # fp16's gradients overflow now and then; such a step is skipped and their scale lowered. At a small scale that
        # is no reason any more.
        scaler = self.accelerator.scaler
        if not any(broken) and (scaler is None or scaler.get_scale() < 1):
            broken = _not_finite(rows)
        if not any(broken):
            return
        scenes = gather_object([names])
        where = "; ".join(
            f"{', '.join(values)} on the scenes {', '.join(of_process)}"
            for values, of_process in zip(broken, scenes, strict=True)
            if values
        )
        at = self.position.step
        last = f"The last checkpoint is of step {at}." if at else "There is no checkpoint yet."
        raise NonFiniteLossError(
            f"step {step}: {where}. Look at these scenes' boxes; if they are right, lower optimizer.lr or lengthen "
            f"schedule.warmup_epochs. {last}"
        )

    def _validate_if_due(self, step: int) -> None:
        """After the checkpoint, so that what goes wrong here costs no training."""
        epoch, within = divmod(step, self.steps_per_epoch)
        validator, last = self.validator, self.position.last
        if validator is None or not step or within or not validator.is_due(epoch, self.recipe.schedule.epochs):
            return
        if last is not None and (last.step, last.protocol) == (step, validator.protocol):
            return
        result = validator.measure(
            self.result, self.folder / VALIDATION_FOLDER, epoch, step, workers=self.recipe.workers
        )
        self.journal.validation(result)
        best = self.position.best
        # With one validation there is nothing to choose.
        if validator.every is not None and (best is None or best.protocol != result.protocol or result.map > best.map):
            best = result
            if self.process.is_main_process:
                save_weights(self.result, self.folder / BEST_FILE, self.info)
        changes = {"last": result, "best": best, "log_bytes": self.journal.log_bytes()}
        self.position = self.position.model_copy(update=changes)
        if self.process.is_main_process:
            save_position(self.folder, self.position)

    def _save_checkpoint(self, step: int, keep: int) -> None:
        scaler = self.accelerator.scaler
        self.position = self.position.model_copy(
            update={
                "step": step,
                "seconds": self.journal.seconds,
                "peak_memory": max(self.position.peak_memory, peak_memory(self.accelerator.device)),
                "log_bytes": self.journal.log_bytes(),
                "scaler": scaler and scaler.state_dict(),
            }
        )
        save_checkpoint(
            self.folder,
            self.position,
            module=self.module,
            info=self.info,
            optimizer=self.optimizer,
            average=self.average,
            state=self.process,
            keep=keep,
        )

    def _restore(self, checkpoint: Path) -> None:
        restore(checkpoint, module=self.module, optimizer=self.optimizer, average=self.average)
        restore_random_state(checkpoint, self.process)
        if self.position.scaler is not None:
            self.accelerator.scaler.load_state_dict(self.position.scaler)

    def _finish(self) -> Run:
        """Make the folder that of a finished run."""
        device, last = self.accelerator.device, self.position.last
        memory = int(gather(torch.tensor([self.position.peak_memory], device=device)).max())
        record = RunRecord(
            **self.plan.model_dump(),
            steps=self.position.step,
            seconds=round(self.journal.seconds, 1),
            resumed=self.position.resumed,
            peak_memory=memory,
            hardware=_hardware(device, self.process.num_processes),
            versions=versions(),
            finished=datetime.now(UTC).date(),
            validation=last if last is not None and last.step == self.position.step else None,
            best=self.position.best,
        )
        run = Run(self.folder, record)
        if self.process.is_main_process:
            save_weights(self.result, self.folder / WEIGHTS_FILE, self.info)
            with new_file(self.folder / RUN_FILE) as partial:
                partial.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
            complete(run)
        wait_for_others()
        return run


def _not_finite(rows: list[dict[str, float]]) -> list[list[str]]:
    return [[f"{name} = {value}" for name, value in row.items() if not math.isfinite(value)] for row in rows]


def _average(module: zoo.ZooModel, decay: float) -> Any:
    """A copy that follows the weights; buffers it takes over as they are."""
    return AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(decay)).requires_grad_(False)


def _hardware(device: torch.device, processes: int) -> str:
    name = device_name(device)
    if device.type == "cuda":
        return f"{processes} x {name}"
    return f"{name}, {processes} processes" if processes > 1 else name
