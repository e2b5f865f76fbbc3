"""Checkpoints that the authors released: their names for the weights, and ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from psbench.zoo import ZooModel, create
from psbench.zoo.seqnet import SeqNetOptions
from psbench_data import InputError
from psbench_data.errors import near_names

Names = tuple[tuple[str, str], ...]
"""Prefixes of official names, each with ours; the first that fits counts."""

_SEQNET: Names = (
    ("roi_heads.faster_rcnn_predictor.cls_score.", "proposal_score."),
    ("roi_heads.faster_rcnn_predictor.bbox_pred.", "proposal_box."),
    ("roi_heads.box_predictor.bbox_pred.", "box."),
    ("roi_heads.embedding_head.projectors.feat_res4.", "embedding.projectors.0."),
    ("roi_heads.embedding_head.projectors.feat_res5.", "embedding.projectors.1."),
    ("roi_heads.embedding_head.rescaler.", "embedding.rescaler."),
    ("roi_heads.reid_loss.lut", "oim.table"),
    ("roi_heads.reid_loss.cq", "oim.queue"),
    ("roi_heads.", ""),
    # Files written with torchvision before 0.13, whose RPN head was one convolution.
    ("rpn.head.conv.weight", "rpn.head.conv.0.0.weight"),
    ("rpn.head.conv.bias", "rpn.head.conv.0.0.bias"),
)
_OFFICIAL = {"seqnet": _SEQNET}
_WRAPPERS = ("model", "state_dict")
_SHARED_OVERRIDES = {
    "min_size", "max_size", "rpn_pre_nms_top_n_train", "rpn_pre_nms_top_n_test", "rpn_post_nms_top_n_train",
    "rpn_post_nms_top_n_test", "rpn_batch_size_per_image", "roi_batch_size_per_image", "score_thresh_test",
}  # fmt: skip
"""What may be overridden for every model; a model that has no such option ignores it."""
_TABLES = {"oim.table", "oim.queue"}


def load_official(name: str, state_dict: Mapping[str, Any], **overrides: Any) -> ZooModel:
    """The model that a released checkpoint belongs to.

    Args:
        name: a model of the zoo.
        state_dict: the file's content as `torch.load(path, weights_only=True)` gives it, with or without the wrapper
            {"model": ...}. Table sizes are taken from it.
        **overrides: options that differ from the paper's, see the model's options.

    Returns:
        The model in evaluation mode, on the CPU, in float32. It gives the original's boxes, scores and embeddings.

    Raises:
        InputError: the weights are not this model's, listing what is missing and what is not known.
    """
    if name not in _OFFICIAL:
        raise InputError(f"no released checkpoint of {name!r} can be read. {near_names(name, _OFFICIAL)}")
    if not isinstance(state_dict, Mapping):
        raise InputError(f"{name}: the checkpoint is a {type(state_dict).__name__}, expected the dict that it holds.")
    known = {field.name for field in dataclasses.fields(SeqNetOptions)}
    if unknown := overrides.keys() - known - _SHARED_OVERRIDES:
        raise InputError(f"{name} has no option {key!r}. {near_names(key, known)}" for key in sorted(unknown))
    inner = next((state_dict[key] for key in _WRAPPERS if key in state_dict), state_dict)
    weights = {_ours(key, _OFFICIAL[name]): torch.as_tensor(value) for key, value in inner.items()}
    if faults := [
        f"{name}: the checkpoint has no {key!r}. Is it of another model?" for key in _TABLES - weights.keys()
    ]:
        raise InputError(faults)
    table, queue = weights["oim.table"], weights["oim.queue"]
    # The originals keep the queue's position outside the checkpoint and start over from 0.
    weights.setdefault("oim.queue_position", torch.zeros((), dtype=torch.int64))
    options = {
        "backbone": "resnet50",
        "embedding_dim": table.shape[1],
        "oim_queue_size": len(queue),
        **{key: value for key, value in overrides.items() if key in known},
    }
    model = create(name, num_identities=len(table), **options)
    expected: dict[str, Tensor] = model.state_dict()
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
    model.load_state_dict(weights)
    return model.eval()


def _ours(official: str, names: Names) -> str:
    for prefix, ours in names:
        if official.startswith(prefix):
            return ours + official.removeprefix(prefix)
    return official
