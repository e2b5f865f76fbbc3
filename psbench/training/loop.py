"""The training loop."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from psbench import zoo
from psbench.training.accelerator import single_process
from psbench.training.batches import Batch, training_loader
from psbench.training.recipe import Optimizer, Recipe, Schedule
from psbench.training.run import METRICS_FILE, RUN_FILE, Run, RunRecord
from psbench.zoo.images import to_float
from psbench.zoo.weights import WEIGHTS_FILE, describe, save_weights
from psbench_data import InputError, PersonSearchDataset, Scenes
from psbench_data.atomic import new_folder

_NORMS = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.LayerNorm, torch.nn.GroupNorm)


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
        InputError: something is at `output` already, the recipe is impossible or for another dataset, or images are
            missing.
        NonFiniteLossError: a loss broke; nothing is left at `output`.
    """
    if recipe.dataset != dataset.name:
        raise InputError(
            f"recipe {recipe.name} is for {recipe.dataset}, not for {dataset.name}. "
            f"Take a recipe for it, or set dataset={dataset.name} and what depends on it."
        )
    scenes = dataset.split("train")
    with new_folder(Path(output)) as folder:
        accelerator = single_process()
        set_seed(recipe.seed)
        model = zoo.create(recipe.model, num_identities=scenes.num_identities, **recipe.model_options)
        scenes.require_images()
        started = time.perf_counter()
        with (folder / METRICS_FILE).open("w", encoding="utf-8", buffering=1) as metrics:
            steps = _fit(model, scenes, recipe, accelerator, metrics, progress)
        seconds = time.perf_counter() - started
        info = describe(
            model,
            recipe.model,
            num_identities=scenes.num_identities,
            dataset=dataset.name,
            method=recipe.name,
            fingerprint=dataset.fingerprint,
        )
        save_weights(model, folder / WEIGHTS_FILE, info)
        record = _record(recipe, dataset, scenes.num_identities, steps, seconds, accelerator.device)
        (folder / RUN_FILE).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return Run(Path(output), record)


def _fit(
    module: zoo.ZooModel, scenes: Scenes, recipe: Recipe, accelerator: Accelerator, metrics: TextIO, progress: bool
) -> int:
    """Train the module in place; returns the number of steps."""
    settings = recipe.optimizer
    loader: Any = training_loader(
        scenes, batch_size=recipe.batch_size, flip=recipe.flip, workers=recipe.workers, seed=recipe.seed
    )
    optimizer: Any = torch.optim.SGD(
        _groups(module, settings), lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov
    )
    scheduler = LambdaLR(optimizer, learning_rate_factor(recipe.schedule, len(loader)))
    model, optimizer, loader = accelerator.prepare(module.train(), optimizer, loader)
    step = 0
    with tqdm(total=recipe.schedule.epochs * len(loader), unit="step", disable=not progress) as bar:
        for epoch in range(recipe.schedule.epochs):
            bar.set_description(f"training, epoch {epoch + 1} of {recipe.schedule.epochs}")
            for batch in loader:
                if "faults" in batch:
                    raise InputError(batch["faults"])
                losses = model([to_float(image) for image in batch["images"]], batch["targets"])
                values = {name: loss.item() for name, loss in losses.items()}
                _require_finite(values, batch, step)
                optimizer.zero_grad()
                accelerator.backward(torch.stack(list(losses.values())).sum())
                # An infinite bound only measures.
                norm = accelerator.clip_grad_norm_(model.parameters(), settings.clip_norm or math.inf)
                if settings.clip_value is not None:
                    accelerator.clip_grad_value_(model.parameters(), settings.clip_value)
                optimizer.step()
                loss, lr = sum(values.values()), float(scheduler.get_last_lr()[0])
                scheduler.step()
                line = {"step": step, "epoch": epoch, "lr": lr, "gradient_norm": float(norm or 0.0), "loss": loss}
                metrics.write(json.dumps(line | values) + "\n")
                bar.set_postfix(loss=f"{loss:.2f}", lr=f"{lr:.2g}", refresh=False)
                bar.update()
                step += 1
    return step


def _groups(module: torch.nn.Module, settings: Optimizer) -> list[dict[str, Any]]:
    """What is trained, by its rate and weight decay."""
    norms = {id(p) for m in module.modules() if isinstance(m, _NORMS) for p in m.parameters(recurse=False)}
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, p in module.named_parameters():
        if not p.requires_grad:
            continue
        bias = name.endswith("bias")
        decayed = (settings.decay_biases or not bias) and (settings.decay_norms or id(p) not in norms)
        # A batch norm's bias is no bias of a layer.
        rate = settings.bias_lr_factor if bias and id(p) not in norms else 1.0
        groups.setdefault((rate * settings.lr, settings.weight_decay if decayed else 0.0), []).append(p)
    return [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in groups.items()]


def learning_rate_factor(schedule: Schedule, steps_per_epoch: int) -> Callable[[int], float]:
    """The factor on lr at each step: linear warm-up, then a fall at each milestone."""
    warmup = round(schedule.warmup_epochs * steps_per_epoch)

    def factor(step: int) -> float:
        fallen = schedule.gamma ** sum(step >= m * steps_per_epoch for m in schedule.milestones)
        if step >= warmup - 1:
            return fallen
        return fallen * (schedule.warmup_start + (1 - schedule.warmup_start) * step / (warmup - 1))

    return factor


def _require_finite(values: dict[str, float], batch: Batch, step: int) -> None:
    broken = [f"{name} = {value}" for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise NonFiniteLossError(
            f"step {step}: {', '.join(broken)} on the scenes {', '.join(batch['names'])}. "
            "Look at these scenes' boxes; if they are right, lower optimizer.lr or lengthen schedule.warmup_epochs."
        )


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
