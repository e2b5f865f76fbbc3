"""What moves the weights: groups of parameters, the learning rate at each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from psbench.training.recipe import Optimizer, Schedule

_NORMS = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.LayerNorm, torch.nn.GroupNorm)


def make_optimizer(module: torch.nn.Module, settings: Optimizer, lr: float) -> torch.optim.SGD:
    """Gradient descent on what is trained of a module; `lr` is the rate after the warm-up."""
    groups = _groups(module, settings, lr)
    return torch.optim.SGD(groups, lr=lr, momentum=settings.momentum, nesterov=settings.nesterov)


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's rate to so much of the one that it was made with."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group.setdefault("initial_lr", group["lr"])


def learning_rate_factor(schedule: Schedule, steps_per_epoch: int) -> Callable[[int], float]:
    """The factor on lr at each step: linear warm-up, then a fall at each milestone."""
    warmup = round(schedule.warmup_epochs * steps_per_epoch)

    def factor(step: int) -> float:
        fallen = schedule.gamma ** sum(step >= m * steps_per_epoch for m in schedule.milestones)
        if step >= warmup - 1:
            return fallen
        return fallen * (schedule.warmup_start + (1 - schedule.warmup_start) * step / (warmup - 1))

    return factor


def _groups(module: torch.nn.Module, settings: Optimizer, lr: float) -> list[dict[str, Any]]:
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
        rate *= settings.backbone_lr_factor if name.startswith("backbone.") else 1.0
        groups.setdefault((rate * lr, settings.weight_decay if decayed else 0.0), []).append(p)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]
