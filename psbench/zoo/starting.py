"""Trained weights to start a training from: of the same model, of one that it builds on, or a backbone alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from psbench.zoo import ZooModel, model_class
from psbench.zoo.layers.backbone import C4Backbone, Res5Head
from psbench.zoo.layers.pyramid import PyramidBackbone
from psbench.zoo.weights import WeightsInfo, read_info
from psbench_data import InputError

_PARTS = ("backbone.c4.", "backbone.res5.")
"""Of a re-ID network's backbone; the names of layers in them are timm's, and differ."""


def start_from_weights(model: ZooModel, path: Path, *, dataset: str, fingerprint: str) -> None:
    """Start a model from a weights file.

    - Of the same model, or of one that it builds on, as NAE+ does on NAE: all its tensors, by name; a linear layer's
      fit a 1x1 convolution's. Identity tables are taken, all or none, where the file has them and they are of the same
      people.
    - Of a re-ID network, for a model of another kind: the backbone, and nothing else.

    Args:
        model: with fresh weights.
        path: of the file.
        dataset, fingerprint: of the data that the model will be trained on. Released weights have no fingerprint; of
            these, the dataset and the number of identities must be the same.

    Raises:
        InputError: the file cannot be read, or does not hold all that the model needs.
    """
    from safetensors.torch import load_file

    info, given, own = read_info(path), load_file(path), model.state_dict()
    backbone = _backbone(model, given) if model_class(info.model).trains_on == "crops" != model.trains_on else {}
    if backbone:
        needed, taken = list(backbone), {name: value for name, value in backbone.items() if value is not None}
    else:
        needed = [name for name in own if not name.startswith(model.training_only)]
        taken = _without_strangers(model, given, _same_people(info, dataset, fingerprint))
    if wrong := [name for name in needed if name not in taken or not _fits(taken[name], own[name])]:
        raise InputError(
            f"{path}: these weights of {info.model} do not hold what {type(model).__name__} starts from: "
            f"{', '.join(wrong[:5])}{', ...' if len(wrong) > 5 else ''}. Give those of the same model and options"
            f"{', or a re-ID network with the same backbone' if backbone else ''}."
        )
    model.load_state_dict({name: value.reshape(own[name].shape) for name, value in taken.items()}, strict=False)


def _backbone(model: ZooModel, reid: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    """The tensors of a model's backbone, by name, as a re-ID network has them; None for those that it has not."""
    return {
        f"{prefix}.{name}": next((reid[part + name] for part in _PARTS if part + name in reid), None)
        for prefix, module in model.named_modules()
        if isinstance(module, C4Backbone | Res5Head | PyramidBackbone)
        for name in module.state_dict()
    }


def _same_people(info: WeightsInfo, dataset: str, fingerprint: str) -> bool:
    return info.dataset == dataset if info.fingerprint is None else info.fingerprint == fingerprint


def _without_strangers(model: ZooModel, given: dict[str, Tensor], same_people: bool) -> dict[str, Tensor]:
    """What the model has, too; no identity tables of others."""
    own = model.state_dict()
    taken = {name: value for name, value in given.items() if name in own}
    tables = [name for name in taken if name.startswith(model.training_only)]
    if same_people and all(taken[name].shape == own[name].shape for name in tables):
        return taken
    return {name: value for name, value in taken.items() if name not in tables}


def _fits(value: Tensor, own: Tensor) -> bool:
    return value.squeeze().shape == own.squeeze().shape and not value.is_complex()
