"""The recipes that psbench comes with, by name, and the papers' values of those that search in one step."""

from __future__ import annotations

import dataclasses
from typing import Any

from psbench.training import recipes_demo, recipes_igpn
from psbench.training.recipe import Optimizer, Published, Recipe, Schedule
from psbench.training.recipes_own import own_names, own_recipe
from psbench_data.errors import InputError, near_names

_OIM_LSPS = Published(protocol="regular", map=14.0, top1=46.0, source="PCNet, 2021, table 6")
_PRW: dict[str, Any] = {"pretrained": True, "oim_queue_size": 500}
_NAE_OPTIMIZER = Optimizer(decay_biases=False)
_GLCNET_2026_OPTIMIZER = Optimizer(nesterov=True, clip_norm=None, clip_value=10.0)
_PCNET_OPTIMIZER = Optimizer(
    lr=1e-4, weight_decay=1e-4, decay_biases=False, bias_lr_factor=2.0, clip_norm=None, clip_value=5.0
)
_PCNET: dict[str, Any] = {
    "backbone": "resnet50.tv_in1k",
    "pretrained": True,
    # Those of Caffe's layout, which the original starts from, are in no form that is read here.
    "caffe": False,
    "min_sizes_train": [500, 600, 700, 800, 900],
    "max_size_train": 1500,
}
# The code's configurations, but for the distance loss and the triplet loss, which are the paper's: as squared distances
# of unit vectors are twice as steep as similarities, that one's weight is half the code's.
_PCNET_CUHK_SYSU = _PCNET | {
    "min_size": 800,
    "max_size": 1333,
    "head_width": 64,
    "shared_tower": True,
    "class_weight": 10.0,
    "triplet_weight": 0.05,
    "triplet_margin": 0.8,
    "point_sets": 2,
}
_PCNET_OPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("pcnet", "cuhk_sysu"): _PCNET_CUHK_SYSU | {"head_convs": 4, "nms_thresh_test": 0.7},
    ("pcnet_fast", "cuhk_sysu"): _PCNET_CUHK_SYSU | {"head_convs": 4},
    ("pcnet_multianchor", "cuhk_sysu"): _PCNET_CUHK_SYSU
    | {"head_convs": 1, "nms_thresh_test": 0.7, "class_weight": 5.0, "box_weight": 5.0},
} | {
    (model, "movienet_cs"): _PCNET | {"min_size": 240, "max_size": 720, "min_sizes_train": [], "max_size_train": None}
    for model in ("pcnet", "pcnet_fast", "pcnet_multianchor")
}
_PCNET_SCHEDULES = {
    # 60,000 steps of four images, the rate falling after 50,000; the warm-up takes 500.
    "cuhk_sysu": (5e-5, Schedule(epochs=21, milestones=(18,), warmup_epochs=0.18, warmup_start=1 / 3)),
    # 70,000, after 60,000.
    "prw": (1e-4, Schedule(epochs=49, milestones=(42,), warmup_epochs=0.35, warmup_start=1 / 3)),
    # 120,000, after 80,000 and 100,000.
    "lsps": (1e-4, Schedule(epochs=26, milestones=(18, 22), warmup_epochs=0.11, warmup_start=1 / 3)),
    # Nobody's: as long as GLCNet is trained there.
    "movienet_cs": (1e-4, Schedule(epochs=20, milestones=(16,), warmup_epochs=0.1, warmup_start=1 / 3)),
}
_PCNET_RESULTS = {
    ("pcnet", "cuhk_sysu"): ("gallery-100", 86.3, 89.4, "table 5"),
    ("pcnet", "prw"): ("regular", 41.9, 83.1, "table 5"),
    ("pcnet", "lsps"): ("regular", 16.7, 49.5, "table 6"),
    ("pcnet_fast", "prw"): ("regular", 40.7, 81.8, "table 4"),
    ("pcnet_multianchor", "cuhk_sysu"): ("gallery-100", 87.7, 88.5, "table 5"),
    ("pcnet_multianchor", "prw"): ("regular", 45.5, 83.7, "table 5"),
    ("pcnet_multianchor", "lsps"): ("regular", 17.5, 52.9, "table 6"),
}


# Of no configuration that was published: what the paper's text says, and no averages, which it does not mention.
_PCNET_ABLATION_OPTIONS = {
    "backbone": "resnet50.tv_in1k",
    "pretrained": True,
    "caffe": False,
    "min_size": 800,
    "max_size": 1333,
    "gallery_aggregation": False,
}
_PCNET_ABLATION = Published(protocol="regular", map=38.0, top1=80.6, source="PCNet, 2021, tables 1 and 2")


def _pcnet(model: str, dataset: str) -> Recipe:
    lr, schedule = _PCNET_SCHEDULES[dataset]
    result = _PCNET_RESULTS.get((model, dataset))
    return Recipe(
        name=f"{model}-{dataset}",
        model=model,
        dataset=dataset,
        model_options=_PCNET_OPTIONS.get((model, dataset), _PCNET),
        optimizer=dataclasses.replace(_PCNET_OPTIMIZER, lr=lr),
        schedule=schedule,
        batch_size=4,
        group_by_aspect=True,
        expected=result
        and Published(protocol=result[0], map=result[1], top1=result[2], source=f"PCNet, 2021, {result[3]}"),
    )


_PAPERS = (
    Recipe(
        name="oim-cuhk_sysu",
        model="oim",
        dataset="cuhk_sysu",
        model_options={"pretrained": True},
        optimizer=_NAE_OPTIMIZER,
        schedule=Schedule(epochs=22),
    ),
    Recipe(
        name="oim-prw",
        model="oim",
        dataset="prw",
        model_options=_PRW,
        optimizer=_NAE_OPTIMIZER,
        schedule=Schedule(epochs=22),
    ),
    Recipe(
        name="oim-lsps",
        model="oim",
        dataset="lsps",
        # Trained by PCNet's authors, who name no settings: those of CUHK-SYSU.
        model_options={"pretrained": True},
        optimizer=_NAE_OPTIMIZER,
        schedule=Schedule(epochs=22),
        expected=_OIM_LSPS,
    ),
    Recipe(
        name="nae-cuhk_sysu",
        model="nae",
        dataset="cuhk_sysu",
        model_options={"pretrained": True},
        optimizer=_NAE_OPTIMIZER,
        schedule=Schedule(epochs=22),
        expected=Published(protocol="gallery-100", map=91.5, top1=92.4, source="NAE, CVPR 2020"),
    ),
    Recipe(
        name="nae-prw",
        model="nae",
        dataset="prw",
        # The authors name no settings for PRW: those of CUHK-SYSU, the queue included.
        model_options={"pretrained": True},
        optimizer=_NAE_OPTIMIZER,
        schedule=Schedule(epochs=22),
    ),
    Recipe(
        name="nae_plus-cuhk_sysu",
        model="nae_plus",
        dataset="cuhk_sysu",
        optimizer=_NAE_OPTIMIZER,
        schedule=Schedule(epochs=11, milestones=(8,)),
        starts_from="nae-cuhk_sysu",
        expected=Published(protocol="gallery-100", map=92.1, top1=92.9, source="NAE, CVPR 2020"),
    ),
    Recipe(
        name="nae_plus-prw",
        model="nae_plus",
        dataset="prw",
        optimizer=_NAE_OPTIMIZER,
        schedule=Schedule(epochs=11, milestones=(8,)),
        starts_from="nae-prw",
        expected=Published(protocol="regular", map=44.0, top1=81.1, source="NAE, CVPR 2020"),
    ),
    Recipe(
        name="seqnet-cuhk_sysu",
        model="seqnet",
        dataset="cuhk_sysu",
        model_options={"pretrained": True},
        expected=Published(protocol="gallery-100", map=93.8, top1=94.6, source="SeqNet, AAAI 2021, without CBGM"),
    ),
    Recipe(
        name="seqnet-prw",
        model="seqnet",
        dataset="prw",
        model_options=_PRW,
        schedule=Schedule(epochs=18),
        expected=Published(protocol="regular", map=46.7, top1=83.4, source="SeqNet, AAAI 2021, without CBGM"),
    ),
    Recipe(
        name="glcnet-cuhk_sysu",
        model="glcnet",
        dataset="cuhk_sysu",
        model_options={"pretrained": True},
        schedule=Schedule(epochs=18),
        expected=Published(
            protocol="gallery-100", map=95.7, top1=96.3, source="GLCNet, README of 2021-12, without CBGM"
        ),
    ),
    Recipe(
        name="glcnet-prw",
        model="glcnet",
        dataset="prw",
        model_options=_PRW,
        schedule=Schedule(epochs=18),
        expected=Published(protocol="regular", map=46.9, top1=85.1, source="GLCNet, README of 2021-12, without CBGM"),
    ),
    # GLCNet's settings, for the systems whose authors did not train on this dataset as well.
    *(
        Recipe(
            name=f"{model}-movienet_cs",
            model=model,
            dataset="movienet_cs",
            model_options={"pretrained": True, "oim_queue_size": 3000, "min_size": 240, "max_size": 720},
            optimizer=Optimizer(lr=0.009),
            schedule=Schedule(epochs=20),
            batch_size=15,
        )
        for model in ("glcnet", "seqnet", "nae", "oim")
    ),
    *(
        Recipe(
            name=f"glcnet_2026-{dataset}",
            model="glcnet_2026",
            dataset=dataset,
            model_options={"pretrained": True, "oim_queue_size": queue},
            optimizer=_GLCNET_2026_OPTIMIZER,
            schedule=Schedule(epochs=epochs, milestones=(milestone,), warmup_start=0.1),
            batch_size=3,
        )
        for dataset, queue, epochs, milestone in (
            ("cuhk_sysu", 5000, 15, 8),
            ("prw", 500, 12, 6),
            ("movienet_cs", 3000, 30, 20),
        )
    ),
    Recipe(
        name="oim_caffe-cuhk_sysu",
        model="oim_caffe",
        dataset="cuhk_sysu",
        # 50,000 steps of two images, the rate falling after 40,000. Its ImageNet weights are Caffe's and are not read.
        optimizer=Optimizer(lr=0.001, decay_biases=False, decay_norms=False, bias_lr_factor=2.0, clip_norm=None),
        schedule=Schedule(epochs=9, milestones=(7,), warmup_epochs=0.0),
        batch_size=2,
    ),
    *(
        _pcnet(model, dataset)
        for model in ("pcnet", "pcnet_fast", "pcnet_multianchor")
        for dataset in ("cuhk_sysu", "prw", "lsps", "movienet_cs")
    ),
    dataclasses.replace(
        _pcnet("pcnet", "prw"),
        name="pcnet_ablation-prw",
        model_options=_PCNET_ABLATION_OPTIONS,
        expected=_PCNET_ABLATION,
    ),
)
_RECIPES = {recipe.name: recipe for recipe in (*_PAPERS, *recipes_igpn.RECIPES, *recipes_demo.RECIPES)}


def recipes() -> tuple[str, ...]:
    """The names of the recipes that psbench comes with."""
    return tuple(_RECIPES)


def recipe_for(name: str) -> Recipe:
    """A recipe by its name: one of `recipes()`, or one that follows from them, see `psbench.training.recipes_own`.

    Raises:
        InputError: there is none of that name, or the package of its model does not load.
    """
    found = _RECIPES.get(name) or own_recipe(name, _RECIPES)
    if found is None:
        raise InputError(f"there is no recipe {name!r}. {near_names(name, [*_RECIPES, *own_names(_RECIPES)])}")
    # A copy: the options are a dict, and what a caller does to it must stay with the caller.
    return Recipe.from_dict(found.to_dict(), source=name)
