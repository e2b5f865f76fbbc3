"""The form in which a recipe trains a model; its state keeps names, shapes and values."""

from __future__ import annotations

import torch
from accelerate import PartialState
from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from psbench.processes import channels_innermost
from psbench.training.recipe import BatchNorm, Recipe
from psbench.zoo import ZooModel
from psbench.zoo.layers.stages import Staged
from psbench_data import InputError

_VARIANTS = 8
"""Of a stage that are compiled at most; torch's own default."""


def arrange(model: ZooModel, recipe: Recipe, state: PartialState) -> ZooModel:
    """Bring a model into the form in which a recipe trains it, before it is moved to a device and wrapped.

    It is changed in place, and detects and embeds as before.

    Args:
        model: of the zoo.
        recipe: its `batch_norm` and `execution` count.
        state: this process among the others, and its device.

    Raises:
        InputError: the model, or the device, cannot be used so.
    """
    how = recipe.execution
    networks = [module for module in model.modules() if isinstance(module, Staged)]
    asked = [name for name in ("activation_checkpointing", "compile") if getattr(how, name)]
    if asked and not networks:
        raise InputError(
            [f"the model {recipe.model} has no stages for execution.{name}. Leave it off." for name in asked]
        )
    if recipe.batch_norm == "synchronised" and state.num_processes > 1:
        if state.device.type == "cpu":
            raise InputError(
                "batch_norm is synchronised, which between several processes needs GPUs. Train in one process, or set "
                "batch_norm to frozen (for a pretrained network) or batch."
            )
        model = convert_sync_batchnorm(model)
    if how.channels_last and state.device.type != "cpu":
        model = channels_innermost(model)
    for network in networks:
        network.recompute = how.activation_checkpointing
    if how.compile:
        model.size_bucket = how.size_bucket
        _compile([stage for network in networks for stage in network.stages()])
    return model


def training_mode(model: nn.Module, batch_norm: BatchNorm) -> None:
    """Set a model, wrapped or not, to training.

    With "frozen" batch norm normalises by its running statistics and leaves them as they are, everywhere in the model:
    in layers without pretrained weights, where they start as 0 and 1, what remains of it is its weight and bias. These
    are trained as always.
    """
    model.train()
    if batch_norm == "frozen":
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def _compile(stages: list[nn.Module]) -> None:
    """Compile each stage by itself, so that equal ones are compiled once and recomputing them runs compiled code."""
    for stage in stages:
        stage.compile()
    # Of variants (training or not, fixed size, any size, one RoI), after which torch goes on uncompiled. To torch all
    # stages are one function.
    config = torch.compiler.config
    config.recompile_limit = max(config.recompile_limit, _VARIANTS * len(stages))
