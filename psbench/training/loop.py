"""The training loop."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from safetensors.torch import save_file
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from psbench import zoo
from psbench.training.batches import Batch, training_loader
from psbench.training.recipe import Recipe, Schedule
from psbench.training.run import METRICS_FILE, RUN_FILE, WEIGHTS_FILE, Run, RunRecord, inference_weights
from psbench.zoo.images import to_float
from psbench_data import InputError, PersonSearchDataset
from psbench_data.atomic import new_folder


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite; the message names the losses and the batch's scenes."""


def train(recipe: Recipe, dataset: PersonSearchDataset, output: str | Path, *, progress: bool = True) -> Run:
    """Train a model.

    Args:
        recipe: what to train and how.
        dataset: its `train` split is used.
        output: the run folder to make; it appears when the training has ended.
        progress: whether to show a progress bar.

    Returns:
        The finished run.

    Raises:
        InputError: something is at `output` already, the recipe is for another dataset, or images are missing.
        NonFiniteLossError: a loss broke; nothing is left at `output`.
    """
    if recipe.dataset != dataset.name:
        raise InputError(
            f"recipe {recipe.name} is for {recipe.dataset}, not for {dataset.name}. "
            f"Take a recipe for it, or set dataset={dataset.name} and what depends on it."
        )
    scenes = dataset.split("train")
    scenes.require_images()
    with new_folder(Path(output)) as folder:
        accelerator = Accelerator()
        if accelerator.num_processes > 1:
            raise InputError("psbench trains in one process. Start it without `accelerate launch`.")
        set_seed(recipe.seed)
        model = zoo.create(recipe.model, num_identities=scenes.num_identities, **recipe.model_options)
        loader = training_loader(scenes, batch_size=recipe.batch_size, flip=recipe.flip, workers=recipe.workers)
        settings = recipe.optimizer
        optimizer = torch.optim.SGD(
            [p for p in model.parameters() if p.requires_grad],
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        scheduler = LambdaLR(optimizer, learning_rate_factor(recipe.schedule, len(loader)))
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        model.train()
        started = time.perf_counter()
        steps = len(loader) * recipe.schedule.epochs
        with (folder / METRICS_FILE).open("w") as metrics, tqdm(total=steps, unit="step", disable=not progress) as bar:
            for step, batch in enumerate(_batches(loader, recipe.schedule.epochs)):
                losses = _losses(model, batch, accelerator.device)
                total = torch.stack(list(losses.values())).sum()
                values = {name: loss.item() for name, loss in losses.items()}
                _require_finite(values, batch, step)
                optimizer.zero_grad()
                accelerator.backward(total)
                norm = accelerator.clip_grad_norm_(model.parameters(), settings.clip_norm)
                optimizer.step()
                lr = float(scheduler.get_last_lr()[0])
                scheduler.step()
                _show(bar, metrics, step, len(loader), values, lr, float(norm or 0.0))
        seconds = time.perf_counter() - started
        save_file(inference_weights(accelerator.unwrap_model(model)), folder / WEIGHTS_FILE)
        record = _record(recipe, dataset, scenes.num_identities, steps, seconds, accelerator.device)
        (folder / RUN_FILE).write_text(record.model_dump_json(indent=1) + "\n")
    return Run(Path(output), record)


def learning_rate_factor(schedule: Schedule, steps_per_epoch: int) -> Any:
    """The factor on lr at each step: linear warm-up, then a fall at each milestone."""
    warmup = round(schedule.warmup_epochs * steps_per_epoch)

    def factor(step: int) -> float:
        fallen = schedule.gamma ** sum(step >= m * steps_per_epoch for m in schedule.milestones)
        if step >= warmup - 1:
            return fallen
        return fallen * (schedule.warmup_start + (1 - schedule.warmup_start) * step / (warmup - 1))

    return factor


def _batches(loader: Any, epochs: int) -> Iterator[Batch]:
    for epoch in range(epochs):
        if hasattr(loader, "set_epoch"):
            loader.set_epoch(epoch)
        yield from loader


def _losses(model: Any, batch: Batch, device: torch.device) -> dict[str, Tensor]:
    images = [to_float(image.to(device, non_blocking=True)) for image in batch["images"]]
    targets = [{key: value.to(device) for key, value in target.items()} for target in batch["targets"]]
    return model(images, targets)


def _require_finite(values: dict[str, float], batch: Batch, step: int) -> None:
    broken = [f"{name} = {value}" for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise NonFiniteLossError(
            f"step {step}: {', '.join(broken)} on the scenes {', '.join(batch['names'])}. "
            "Look at these scenes' boxes; if they are right, lower optimizer.lr or lengthen schedule.warmup_epochs."
        )


def _show(
    bar: Any, metrics: TextIO, step: int, per_epoch: int, values: dict[str, float], lr: float, norm: float
) -> None:
    line = {"step": step, "epoch": step // per_epoch, "lr": lr, "gradient_norm": norm, "loss": sum(values.values())}
    metrics.write(json.dumps(line | values) + "\n")
    bar.set_description(f"training, epoch {step // per_epoch + 1}")
    bar.set_postfix(
        loss=f"{sum(values.values()):.2f}", reid=f"{values.get('loss_box_reid', math.nan):.2f}", refresh=False
    )
    bar.update()


def _record(
    recipe: Recipe, dataset: PersonSearchDataset, num_identities: int, steps: int, seconds: float, device: torch.device
) -> RunRecord:
    packages = ("psbench", "torch", "torchvision", "timm", "accelerate", "numpy")
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU {platform.machine()}"
    return RunRecord(
        recipe=recipe.to_dict(),
        recipe_digest=recipe.digest,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        synthetic=dataset.synthetic,
        num_identities=num_identities,
        steps=steps,
        seconds=round(seconds, 1),
        hardware=hardware,
        versions={"python": platform.python_version(), **{package: version(package) for package in packages}},
    )
