"""Recipes of IGPN and of the re-ID networks that it hands its proposals to: the paper's values, and the demo's."""

from __future__ import annotations

from typing import Any

from psbench.training.recipe import Execution, Optimizer, Published, Recipe, Schedule

_DATASETS = ("cuhk_sysu", "prw", "movienet_cs")
_REID = ("reid_resnet50", "reid_pcb")
_ALONE = Published(protocol="gallery-100", map=84.5, top1=84.1, source="IGPN, CVPR 2020, without a re-ID network")
_SMALL_IGPN: dict[str, Any] = {
    "backbone": "test_resnet",
    "freeze_norms": False,
    "min_size": 120,
    "max_size": 176,
    "query_size": [96, 32],
    "correlation_width": 64,
    "anchor_sizes": [32, 56, 96],
    "anchor_ratios": [2.5],
    "response_scale": 0.1,
    "relation_width": 128,
    "local_width": 64,
}
_SMALL_REID: dict[str, Any] = {"backbone": "test_resnet", "size": [96, 48]}

RECIPES = (
    *(
        Recipe(
            name=f"igpn-{dataset}",
            model="igpn",
            dataset=dataset,
            model_options={"pretrained": True},
            # The paper does not say that gradients are clipped; from fresh correlation layers they explode without.
            optimizer=Optimizer(lr=0.001, weight_decay=1e-4),
            schedule=Schedule(epochs=25, milestones=(16,), warmup_epochs=0.0),
            batch_size=16,
            batch_norm="frozen",
            expected=_ALONE if dataset == "cuhk_sysu" else None,
        )
        for dataset in _DATASETS
    ),
    *(
        Recipe(
            name=f"{model}-{dataset}",
            model=model,
            dataset=dataset,
            model_options={"pretrained": True},
            optimizer=Optimizer(lr=0.1, backbone_lr_factor=0.1, clip_norm=None),
            schedule=Schedule(epochs=60, milestones=(40,), warmup_epochs=0.0),
            batch_size=64,
            detections_from=f"oim-{dataset}",
        )
        for model in _REID
        for dataset in _DATASETS
    ),
    Recipe(
        name="igpn-demo",
        model="igpn",
        dataset="cuhk_sysu",
        model_options=_SMALL_IGPN,
        optimizer=Optimizer(lr=0.003),
        schedule=Schedule(epochs=9, milestones=(7,), warmup_epochs=0.5, warmup_start=0.01),
        execution=Execution(precision="fp32"),
        batch_size=4,
        workers=0,
    ),
    *(
        Recipe(
            name=f"{model}-demo",
            model=model,
            dataset="cuhk_sysu",
            model_options=_SMALL_REID,
            optimizer=Optimizer(lr=0.05, clip_norm=None),
            schedule=Schedule(epochs=20, milestones=(14,), warmup_epochs=1.0, warmup_start=0.01),
            execution=Execution(precision="fp32"),
            batch_size=32,
            workers=0,
        )
        for model in _REID
    ),
)
