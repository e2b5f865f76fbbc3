"""Checkpoints that the authors released: their names for the weights, and ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from psbench.torch_files import is_plain
from psbench.zoo import ZooModel, create, model_class, outlined
from psbench.zoo.official_names import OFFICIAL, Official
from psbench.zoo.plugins import package_of
from psbench_data import InputError
from psbench_data.errors import near_names

_WRAPPERS = ("model", "state_dict")
_PARALLEL = "module."
_SPELLINGS = {
    "scale_min": "min_size",
    "scale_max": "max_size",
    "rpn_batch_size": "rpn_batch_size_per_image",
    "roi_batch_size": "roi_batch_size_per_image",
    "inference_threshold": "score_thresh_test",
    "INPUT.MIN_SIZE_*": "min_size",
    "INPUT.MIN_SIZE_TEST": "min_size",
    "INPUT.MAX_SIZE_*": "max_size",
    "INPUT.MAX_SIZE_TEST": "max_size",
    "MODEL.RETINANET.INFERENCE_TH": "score_thresh_test",
}
"""Of options in the originals, and ours."""
_SHARED = {
    "min_size", "max_size", "rpn_pre_nms_top_n_train", "rpn_pre_nms_top_n_test", "rpn_post_nms_top_n_train",
    "rpn_post_nms_top_n_test", "rpn_batch_size_per_image", "roi_batch_size_per_image", "score_thresh_test",
}  # fmt: skip
"""What may be overridden for every model; a model that has no such option ignores it."""


def load_official(name: str, state_dict: Mapping[str, Any], **overrides: Any) -> ZooModel:
    """The model that a released checkpoint belongs to.

    Args:
        name: a model of the zoo.
        state_dict: the file's content as `torch.load(path, weights_only=True)` gives it, with or without the wrapper
            {"model": ...}. Table sizes are taken from it.
        **overrides: options that differ from the paper's, see the model's options; the originals' spellings are taken.

    Returns:
        The model in evaluation mode, on the CPU, in float32. It gives the original's boxes, scores and embeddings, and
        in training its losses: what `create` does better is switched off (`Official.as_the_original`, and the model's
        page), until an override switches it on.

    Raises:
        InputError: the weights are not this model's, listing what is missing and what is not known.
    """
    if name not in OFFICIAL and (package := package_of(name)):
        raise InputError(
            f"{name} is a model of {package}, which keeps its weights by their own names: load them in Python, and "
            "write them with psbench.zoo.weights.save_weights (docs/own_method.md)."
        )
    if name not in OFFICIAL:
        raise InputError(f"no released checkpoint of {name!r} can be read. {near_names(name, OFFICIAL)}")
    if not isinstance(state_dict, Mapping):
        raise InputError(f"{name}: the checkpoint is a {type(state_dict).__name__}, expected the dict that it holds.")
    overrides = {_SPELLINGS.get(key, key): value for key, value in overrides.items()}
    known = {field.name for field in dataclasses.fields(model_class(name).options_type)}
    if unknown := overrides.keys() - known - _SHARED:
        raise InputError(f"{name} has no option {key!r}. {near_names(key, known)}" for key in sorted(unknown))
    weights = _renamed(name, state_dict, OFFICIAL[name])
    missing = [key for key in ("oim.table", "oim.queue") if key not in weights]
    if missing:
        raise InputError(f"{name}: the checkpoint has no {key!r}. Is it of another model?" for key in missing)
    table, queue = weights["oim.table"], weights["oim.queue"]
    # Most originals keep the queue's position outside the checkpoint and start over from 0.
    weights.setdefault("oim.queue_position", torch.zeros((), dtype=torch.int64))
    options = {
        "backbone": "resnet50",
        "embedding_dim": table.shape[1],
        "oim_queue_size": len(queue),
        **OFFICIAL[name].options(weights),
        **OFFICIAL[name].as_the_original,
        **overrides,
    }
    options = {key: v for key, v in options.items() if key in known}
    # Before memory is taken for what the checkpoint does not hold.
    _require_fit(name, weights, outlined(name, num_identities=len(table), **options).state_dict())
    model = create(name, num_identities=len(table), **options)
    model.load_state_dict(weights)
    return model.eval()


def _renamed(name: str, state_dict: Mapping[str, Any], official: Official) -> dict[str, Tensor]:
    """The weights under our names, each once."""
    inner = next((state_dict[key] for key in _WRAPPERS if isinstance(state_dict.get(key), Mapping)), state_dict)
    if strange := [key for key, value in inner.items() if not isinstance(key, str) or not _is_weight(value)]:
        raise InputError(f"{name}: {key!r} of the checkpoint is no tensor of real numbers." for key in strange)
    # What several GPUs trained together.
    inner = {key.removeprefix(_PARALLEL): value for key, value in inner.items()}
    faults = [
        f"{name}: {left + key.removeprefix(right)!r} and {key!r} are one layer in the original, and differ here."
        for left, right in official.twice
        for key, value in inner.items()
        if key.startswith(right)
        and (twin := inner.get(left + key.removeprefix(right))) is not None
        and not torch.equal(torch.as_tensor(twin), torch.as_tensor(value))
    ]
    if faults:
        raise InputError(faults)
    return {
        official.ours(key): torch.as_tensor(value)
        for key, value in inner.items()
        if not key.startswith(official.ignored)
    }


def _is_weight(value: Any) -> bool:
    return is_plain(value) if isinstance(value, Tensor) else isinstance(value, int | float | np.ndarray | np.generic)


def _require_fit(name: str, weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    faults = [f"{name}: the checkpoint has no weights for {key!r}." for key in expected.keys() - weights.keys()]
    faults += [
        f"{name}: the checkpoint has {key!r}, which this model does not." for key in weights.keys() - expected.keys()
    ]
    faults += [
        f"{name}: {key!r} has shape {tuple(weights[key].shape)}, expected {tuple(expected[key].shape)}."
        for key in expected.keys() & weights.keys()
        if weights[key].shape != expected[key].shape
    ]
    if faults:
        raise InputError(sorted(faults))
