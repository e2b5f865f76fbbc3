"""Recipes of the demo: the smallest networks and images that still learn, on two cores in minutes.

Those called `-demo` learn from nothing, but for IGPN; those called `-short`, of which tables have many, do not.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from psbench.training.recipe import Execution, Optimizer, Recipe, Schedule

_SIZE: dict[str, Any] = {"min_size": 120, "max_size": 176}
_FASTER_RCNN: dict[str, Any] = _SIZE | {
    "backbone": "test_resnet",
    "freeze_stem": False,
    "anchor_sizes": [32, 48, 64, 96],
    "anchor_ratios": [2.5],
    "rpn_pre_nms_top_n_train": 400,
    "rpn_post_nms_top_n_train": 100,
    "rpn_pre_nms_top_n_test": 200,
    "rpn_post_nms_top_n_test": 50,
    "roi_size": 7,
    "roi_batch_size_per_image": 16,
    "oim_queue_size": 200,
}
_PCNET: dict[str, Any] = _SIZE | {
    "backbone": "test_resnet",
    "caffe": False,
    "freeze_stem": False,
    "freeze_norms": False,
    "anchor_sizes": [32, 56, 96],
    "anchor_ratios": [2.5],
    "pyramid_channels": 64,
    "embedding_dim": 64,
    "head_width": 64,
    "oim_queue_size": 200,
    # Few dimensions leave strangers less far apart, and the losses of re-ID must not drown detection's.
    "oim_scale": 15.0,
    "reid_weight": 0.5,
    "triplet_weight": 0.1,
    "distance_weight": 0.2,
}
_MULTIANCHOR: dict[str, Any] = _PCNET | {"anchor_ratios": [1.8, 3.0], "head_convs": 1}
# Twice the size: a person has to be of some cells' height, as the query's patch is.
_IGPN: dict[str, Any] = {
    "backbone": "test_resnet",
    "min_size": 240,
    "max_size": 352,
    "query_size": [192, 64],
    "correlation_width": 64,
    "anchor_sizes": [64, 112, 192],
    "anchor_ratios": [2.5],
    "response_scale": 0.1,
    "rpn_pre_nms_top_n_train": 200,
    "rpn_post_nms_top_n_train": 16,
    "rpn_pre_nms_top_n_test": 100,
    "rpn_post_nms_top_n_test": 8,
    "roi_batch_size_per_image": 34,
    # Most scenes do not hold the query, and what the network itself is sure of need not be ranked by another.
    "score_thresh_test": 0.1,
    "relation_width": 128,
    "local_width": 64,
}
_REID: dict[str, Any] = {"backbone": "test_resnet", "size": [96, 48]}
_BACKBONE = "reid_resnet50-demo"


def _demo(
    model: str,
    model_options: dict[str, Any],
    optimizer: Optimizer,
    *,
    epochs: int,
    milestone: int,
    warmup: float = 0.5,
    batch_size: int = 4,
    starts_from: str | None = None,
) -> Recipe:
    return Recipe(
        name=f"{model}-demo",
        model=model,
        dataset="cuhk_sysu",
        model_options=model_options,
        optimizer=optimizer,
        schedule=Schedule(epochs=epochs, milestones=(milestone,), warmup_epochs=warmup, warmup_start=0.01),
        execution=Execution(precision="fp32"),
        batch_size=batch_size,
        starts_from=starts_from,
        workers=0,
    )


def _short(recipe: Recipe, *, epochs: int) -> Recipe:
    """The same from the backbone of a re-ID network, as the papers' start from one that has seen ImageNet."""
    schedule = dataclasses.replace(recipe.schedule, epochs=epochs, milestones=(epochs - 1,))
    return dataclasses.replace(recipe, name=f"{recipe.model}-short", schedule=schedule, starts_from=_BACKBONE)


_FROM_NOTHING = (
    *(
        _demo(model, _FASTER_RCNN, Optimizer(lr=0.012), epochs=9, milestone=7)
        for model in ("seqnet", "oim", "nae", "nae_plus", "glcnet")
    ),
    *(
        _demo(model, options, Optimizer(lr=0.004), epochs=7, milestone=5)
        for model, options in (("pcnet", _PCNET), ("pcnet_fast", _PCNET), ("pcnet_multianchor", _MULTIANCHOR))
    ),
)
RECIPES = (
    *_FROM_NOTHING,
    *(_short(recipe, epochs=4 if "pcnet" in recipe.model else 3) for recipe in _FROM_NOTHING),
    _demo("igpn", _IGPN, Optimizer(lr=0.003), epochs=4, milestone=3, starts_from=_BACKBONE),
    *(
        _demo(model, _REID, Optimizer(lr=0.05, clip_norm=None), epochs=20, milestone=14, warmup=1.0, batch_size=32)
        for model in ("reid_resnet50", "reid_pcb")
    ),
)
