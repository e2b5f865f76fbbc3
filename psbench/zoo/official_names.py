"""What the weights of released checkpoints are called there, and here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor

from psbench_data import InputError


@dataclass(frozen=True)
class Official:
    """How a checkpoint is read.

    Attributes:
        names: beginnings of official names, each with ours; the first that fits counts.
        twice: (left, right) beginnings: what the original registered under two names; the left one is left out.
        ignored: beginnings of official names that no weights are kept under.
        options: from the weights, under our names, to the options that they ask for.
        as_the_original: the options that switch the original's defects on, without which its losses are others.
    """

    names: tuple[tuple[str, str], ...]
    twice: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    options: Callable[[Mapping[str, Tensor]], dict[str, Any]] = lambda weights: {}
    as_the_original: Mapping[str, Any] = field(default_factory=dict)

    def ours(self, official: str) -> str:
        """Our name of a weight."""
        for left, right in self.twice:
            if official.startswith(left):
                official = right + official.removeprefix(left)
        for prefix, ours in self.names:
            if official.startswith(prefix):
                return ours + official.removeprefix(prefix)
        return official


_RPN = (
    # Files written with torchvision before 0.13, whose RPN head was one convolution.
    ("rpn.head.conv.weight", "rpn.head.conv.0.0.weight"),
    ("rpn.head.conv.bias", "rpn.head.conv.0.0.bias"),
)
_OIM = (("roi_heads.reid_loss.lut", "oim.table"), ("roi_heads.reid_loss.cq", "oim.queue"))
_NORM_AWARE = (
    ("roi_heads.embedding_head.projectors.feat_res4.", "embedding.projectors.res4."),
    ("roi_heads.embedding_head.projectors.feat_res5.", "embedding.projectors.res5."),
    ("roi_heads.embedding_head.rescaler.", "embedding.rescaler."),
    ("roi_heads.box_predictor.bbox_pred.", "box."),
)
_STAGE1 = (
    ("roi_heads.faster_rcnn_predictor.cls_score.", "proposal_score."),
    ("roi_heads.faster_rcnn_predictor.bbox_pred.", "proposal_box."),
)

_NAE = (
    *_RPN,
    *_OIM,
    *_NORM_AWARE,
    ("roi_heads.box_predictor.cls_score.", "unused_classifier."),
    ("roi_heads.", ""),
)
_RAW_IDS = {"oim_ids_beyond_table": "queue"}
"""On PRW, whose raw numbers go beyond the table."""


def _nae_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {"unused_classifier": "unused_classifier.weight" in weights}


def _caffe_resnet() -> Iterator[tuple[str, str]]:
    """The layers of oim_caffe's ResNet-50: numbered there from the stem on, operations without weights included."""
    yield "backbone.SpatialConvolution_0.", "backbone.conv1."
    yield "backbone.BN_1.", "backbone.bn1."
    k = 4
    for stage, first, blocks in (
        ("backbone.res2", True, 3),
        ("backbone.res3", True, 4),
        ("backbone.res4", True, 3),
        ("head.res4", False, 3),
        ("head.res5", True, 3),
    ):
        part = stage.partition(".")[0]
        for block in range(blocks):
            projects = first and block == 0
            convolutions = {"conv1": k, "conv2": k + 3, "conv3": k + 6} | ({"shortcut": k + 7} if projects else {})
            norms = {"bn1": k + 1, "bn2": k + 4, "bn3": k + 8 + projects}
            for layers, kind in ((convolutions, "SpatialConvolution"), (norms, "BN")):
                for name, number in layers.items():
                    yield f"{part}.{kind}_{number}.", f"{stage}.{block}.{name}."
            k += 10 + projects


def _conv_bn_relu(official: str, ours: str, blocks: int) -> Iterator[tuple[str, str]]:
    """Convolution, batch norm and ReLU, so often: one list of layers there, a list of blocks here."""
    for i in range(blocks):
        yield f"{official}{3 * i}.", f"{ours}{i}.0."
        yield f"{official}{3 * i + 1}.", f"{ours}{i}.1."


_PROJECTORS = "roi_heads.embedding_head.projectors."
_GLCNET = (
    ("backbone.bb.", "backbone."),
    (f"{_PROJECTORS}cxt_scenario.", "embedding.projectors.scene."),
    *_conv_bn_relu("roi_heads.cxt_feat_extractor_scenario.", "scene_context.blocks.", 3),
)
_GLCNET_2026_MAPS = {
    "feat_res3": "res4",
    "feat_res4": "res5",
    "feat_granularity_1": "whole",
    "feat_granularity_2_horizon_1": "upper",
    "feat_granularity_2_horizon_2": "lower",
    "feat_granularity_3_horizon_1": "top",
    "feat_granularity_3_horizon_2": "middle",
    "feat_granularity_3_horizon_3": "bottom",
    "cxt_scene": "scene",
    "cxt_group": "group",
}
_GLCNET_2026 = (
    ("backbone.bb.", "backbone."),
    # So the last map was called before: left as it is, to be refused below.
    (f"{_PROJECTORS}feat_res5.", "embedding_head.projectors.feat_res5."),
    *((f"{_PROJECTORS}{theirs}.", f"embedding.projectors.{ours}.") for theirs, ours in _GLCNET_2026_MAPS.items()),
    *_conv_bn_relu("roi_heads.cxt_scene_extractor.convs.", "scene_context.blocks.", 3),
    *(
        pair
        for i, kernel in enumerate(("1x1", "3x3", "5x5"))
        for pair in _conv_bn_relu(f"roi_heads.cxt_group_extractor.convs_{kernel}.", f"group_context.branches.{i}.", 2)
    ),
    ("roi_heads.cxt_group_extractor.channel_attention.fc.", "group_context.attention."),
    *((f"roi_heads.mps.block_granularity_{i + 1}.0.1.", f"parts.heads.{i}.layer4.") for i in range(3)),
)


def _glcnet_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Which contexts and parts a GLCNet has: those that its embedding projects."""
    unknown = sorted({key.split(".")[2] for key in weights if key.startswith("embedding_head.projectors.")})
    if unknown:
        raise InputError(
            f"the checkpoint is of another GLCNet: its embedding (D = {weights['oim.table'].shape[1]}) projects "
            f"{', '.join(unknown)}. Load the released one (cxt_scenario, D = 512) as 'glcnet', that of 2026 "
            "(feat_res3, cxt_scene, cxt_group, feat_granularity_*, D = 832) as 'glcnet_2026'. The group context of "
            "2021, cxt_psn, is not read: its code could not train it."
        )
    projected = {key.split(".")[2] for key in weights if key.startswith("embedding.projectors.")}
    return {"scene": "scene" in projected, "group": "group" in projected, "parts": "whole" in projected}


_PCNET = (
    ("backbone.body.stem.", "backbone."),
    ("backbone.body.", "backbone."),
    *(
        (f"backbone.fpn.fpn_{theirs}{i + 2}.", f"fpn.{ours}_blocks.{i}.0.")
        for theirs, ours in (("inner", "inner"), ("layer", "layer"))
        for i in range(3)
    ),
    ("backbone.fpn.top_blocks.", "fpn.extra_blocks."),
    ("rpn.head.cls_tower.", "head.class_tower."),
    ("rpn.head.bbox_tower.", "head.box_tower."),
    ("rpn.head.cls_logits.", "head.score."),
    ("rpn.head.bbox_pred.", "head.deltas."),
    ("rpn.head.offset_tower.", "head.reid.offset_tower."),
    ("rpn.head.offset_coord.", "head.reid.offsets."),
    *((f"rpn.head.scales.{i}.scale", f"head.reid.scales.{i}") for i in range(5)),
    *((f"rpn.reid_feat_func.dfconv2d.0.{i}.conv.weight", f"head.reid.weights.{i}") for i in range(5)),
    *((f"rpn.reid_feat_func_pooling.scale{i + 3}", f"embedding.cross_scale.scales.{i}") for i in range(5)),
    ("rpn.reid_feat_func_pooling.query_fc.0.", "embedding.cross_scale.query."),
    ("rpn.reid_feat_func_pooling.key_fc.0.", "embedding.cross_scale.key."),
    ("rpn.reid_bn.", "embedding.norm."),
    ("rpn.reid_bn_side.", "embedding.point_norm."),
    ("rpn.reid_loss_func.lut", "oim.table"),
    ("rpn.reid_loss_func.cq", "oim.queue"),
)


_CUHK_SYSU_IDENTITIES = 5532


def _pcnet_options(weights: Mapping[str, Tensor], *, cuhk_sysu_nms: float) -> dict[str, Any]:
    """What is seen of a PCNet in its weights, and what was configured beside it for the data that they are of."""
    anchors = len(weights["head.reid.offsets.weight"]) // 18
    options: dict[str, Any] = {
        "anchor_ratios": (1.0, 2.0) if anchors == 4 else (2.0,),
        "octave_scales": 2 if anchors == 4 else 1,
        "head_convs": sum(key.startswith("head.class_tower.") and key.endswith("weight") for key in weights),
        "head_width": weights["head.score.weight"].shape[1],
        "shared_tower": "head.box_tower.0.weight" not in weights,
        "triplet_weight": 2.0,
    }
    if len(weights["oim.table"]) != _CUHK_SYSU_IDENTITIES:
        return options
    options |= {"class_weight": 5.0, "box_weight": 5.0} if anchors == 4 else {"class_weight": 10.0}
    options |= {"triplet_weight": 0.1, "triplet_margin": 0.8, "point_sets": 2, "nms_thresh_test": cuhk_sysu_nms}
    return options | {"min_size": 800, "max_size": 1333}


OFFICIAL = {
    "oim_caffe": Official(
        names=(
            *_caffe_resnet(),
            ("rpn.rpn_conv.", "rpn.conv."),
            ("rpn.rpn_cls_score.", "rpn.score."),
            ("rpn.rpn_bbox_pred.", "rpn.deltas."),
            ("cls_score.", "score."),
            ("bbox_pred.", "box."),
            ("feature.", "embedding."),
            ("labeled_matching_layer.lookup_table", "oim.table"),
            ("unlabeled_matching_layer.queue", "oim.queue"),
            ("unlabeled_matching_layer.tail", "oim.queue_position"),
        ),
        as_the_original={"oim_normalise_rows": False, "oim_queue_dims": 64},
    ),
    "nae": Official(names=_NAE, options=_nae_options, as_the_original=_RAW_IDS),
    "nae_plus": Official(
        names=_NAE,
        options=lambda weights: _nae_options(weights) | {"fuse_maps": "embedding.projectors.res4.0.weight" in weights},
        as_the_original=_RAW_IDS | {"grid_labels": "as_the_original"},
    ),
    "seqnet": Official(names=(*_RPN, *_OIM, *_NORM_AWARE, *_STAGE1, ("roi_heads.", "")), as_the_original=_RAW_IDS),
    "glcnet": Official(
        names=(*_GLCNET, *_RPN, *_OIM, *_NORM_AWARE, *_STAGE1, ("roi_heads.", "")),
        twice=(("cxt_feat_extractor_scenario.", "roi_heads.cxt_feat_extractor_scenario."),),
        options=_glcnet_options,
        as_the_original=_RAW_IDS,
    ),
    "glcnet_2026": Official(
        names=(*_GLCNET_2026, *_RPN, *_OIM, *_NORM_AWARE, *_STAGE1, ("roi_heads.", "")),
        twice=tuple(
            (f"{part}.", f"roi_heads.{part}.") for part in ("cxt_scene_extractor", "cxt_group_extractor", "mps")
        ),
        options=_glcnet_options,
        as_the_original=_RAW_IDS,
    ),
    **{
        name: Official(
            names=_PCNET,
            ignored=("rpn.anchor_generator.",),
            options=partial(_pcnet_options, cuhk_sysu_nms=nms),
            as_the_original={"distance_loss": "none", "triplet": "code", "averaged": "as_the_original"},
        )
        for name, nms in (("pcnet", 0.7), ("pcnet_fast", 0.4), ("pcnet_multianchor", 0.7))
    },
}
"""The models whose released checkpoints are read."""
