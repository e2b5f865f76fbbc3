"""The model zoo: person search systems by name. Needs the extra `zoo` (torch, torchvision, timm, accelerate)."""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from psbench.intake import is_whole
from psbench.zoo.interface import Detections, Found, JointModel, PersonSearcher, ZooModel
from psbench.zoo.plugins import plugin_class, plugins, refuse_clash
from psbench_data.errors import InputError, near_names
from psbench_data.validation import value_error

__all__ = [
    "Detections",
    "Found",
    "JointModel",
    "PersonSearcher",
    "ZooModel",
    "available",
    "create",
    "load_official",
    "model_class",
    "options_for",
]


_MODELS = {
    "oim": "psbench.zoo.oim:OIM",
    "oim_caffe": "psbench.zoo.oim_caffe:OIMCaffe",
    "nae": "psbench.zoo.nae:NAE",
    "nae_plus": "psbench.zoo.nae_plus:NAEPlus",
    "seqnet": "psbench.zoo.seqnet:SeqNet",
    "glcnet": "psbench.zoo.glcnet:GLCNet",
    "glcnet_2026": "psbench.zoo.glcnet_2026:GLCNet2026",
    "pcnet": "psbench.zoo.pcnet:PCNet",
    "pcnet_fast": "psbench.zoo.pcnet:PCNetFast",
    "pcnet_multianchor": "psbench.zoo.pcnet:PCNetMultianchor",
    "igpn": "psbench.zoo.igpn:IGPN",
    "reid_resnet50": "psbench.zoo.reid:ReIDResNet50",
    "reid_pcb": "psbench.zoo.reid:ReIDPCB",
}
"""Where each model is; imported when it is asked for."""


def available(pattern: str = "*", *, others: bool = True) -> tuple[str, ...]:
    """The names that `create` takes, or those of them that fit a pattern such as "nae*".

    Args:
        pattern: with wildcards.
        others: name also the models of other packages (`psbench.zoo.plugins`), which are not imported for it.
    """
    return tuple(fnmatch.filter(dict.fromkeys([*_MODELS, *(plugins() if others else ())]), pattern))


def model_class(name: str) -> type[ZooModel]:
    """The class of a model.

    Raises:
        InputError: there is none of that name, or another package's that is called so cannot be used.
    """
    if name in _MODELS:
        refuse_clash(name)
        module, cls = _MODELS[name].split(":")
        return getattr(importlib.import_module(module), cls)
    if name in plugins():
        return plugin_class(name)
    raise InputError(
        f"the zoo has no model called {name!r}, and no installed package brings one. {near_names(name, available())}"
    )


def create(name: str, *, num_identities: int, **options: Any) -> ZooModel:
    """Build a model with fresh weights.

    Args:
        name: one of `available()`.
        num_identities: labelled identities of the training split, `dataset.split("train").num_identities`.
        **options: fields of the model's options, for `seqnet` those of `psbench.zoo.seqnet.SeqNetOptions`;
            the defaults are the paper's. A model of another package without such a class has its constructor's.

    Returns:
        An `nn.Module` in training mode, on the CPU; most are a `PersonSearcher`, see `ZooModel.trains_on`.

    Raises:
        InputError: the name or an option is unknown, or an option has an impossible value.

    Example:
        >>> from psbench import zoo
        >>> model = zoo.create("seqnet", num_identities=5532)
        >>> sum(p.numel() for p in model.parameters())
        48418735
    """
    if not is_whole(num_identities) or num_identities < 1:
        raise InputError(f"{name}: num_identities is {num_identities!r}, expected a whole number from 1.")
    return model_class(name)(int(num_identities), options_for(name, **options))


def outlined(name: str, *, num_identities: int, **options: Any) -> ZooModel:
    """What `create` would build, without memory for its weights: to see their names and shapes before that is taken.

    Raises:
        InputError: as `create`, or no network can be built with these options.
    """
    import torch

    try:
        with torch.device("meta"):
            return create(name, num_identities=num_identities, **options)
    except InputError:
        raise
    # Of options out of a file, there is no telling what torch and timm make of them.
    except Exception as error:
        raise InputError(f"{name}: no network can be built with these options ({error}).") from None


def options_for(name: str, **options: Any) -> Any:
    """What `create` makes a model with: an instance of its `options_type`.

    Raises:
        InputError: as `create`.
    """
    options_type = model_class(name).options_type
    known = {field.name for field in dataclasses.fields(options_type)}
    unknown = [f"{name} has no option {key!r}. {near_names(key, known)}" for key in options if key not in known]
    if unknown:
        raise InputError(unknown)
    try:
        made = options_type(**options)
        json.dumps(dataclasses.asdict(made))
    except ValidationError as error:
        raise value_error(f"{name}: option", error) from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: the options are not plain values that it takes ({error}).") from None
    return made


def load_official(name: str, state_dict: Mapping[str, Any], **overrides: Any) -> ZooModel:
    """The model that a checkpoint released by its authors belongs to; see `psbench.zoo.official.load_official`."""
    from psbench.zoo.official import load_official as load

    return load(name, state_dict, **overrides)
