"""Recipes of IGPN and of the re-ID networks that it hands its proposals to: the paper's values."""

from __future__ import annotations

from psbench.training.recipe import Optimizer, Published, Recipe, Schedule

_DATASETS = ("cuhk_sysu", "prw", "movienet_cs")
_REID = ("reid_resnet50", "reid_pcb")
_ALONE = Published(protocol="gallery-100", map=84.5, top1=84.1, source="IGPN, CVPR 2020, without a re-ID network")

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
)
