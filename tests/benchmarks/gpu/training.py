"""Training steps of every model at its paper's settings, in several ways of carrying them out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from psbench import zoo
from psbench.efficiency.computing import all_digits
from psbench.training import Recipe, recipe_for, recipes
from psbench_data.published_counts import published_counts
from tests.benchmarks.gpu.results import Result
from tests.benchmarks.gpu.steps import METHOD, drawn_people, measure, require_device

_EXACT = {"execution.precision": "fp32", "execution.channels_last": False}
WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "fp32": _EXACT,
    "activation checkpointing": {"execution.activation_checkpointing": True},
    "images from files": {},
    "compile": {"execution.compile": True},
}
"""What differs from the recipe, which has bf16 and channels_last; `fp32` is eager and without TF32."""
FASTER = 2.5
"""How many times as fast as float32 the default is to be."""
_MODELS = tuple(name for name in zoo.available() if zoo.model_class(name).trains_on == "scenes")
_COMPILED = ("seqnet",)
_METHOD = (
    f"{METHOD} Drawn images of 900x1500, two to eight people each; paper recipes for CUHK-SYSU with fresh weights. "
    "Images are decoded before and on the device, but for `images from files`, where the recipe's workers decode "
    "JPEG. Hours: of the recipe's epochs over the dataset's published number of training images, at the default's "
    "speed with images from files; no validation."
)


def training(
    device: str,
    models: Sequence[str] = _MODELS,
    *,
    ways: Sequence[str] = tuple(WAYS),
    changes: Mapping[str, Any] | None = None,
    world: Mapping[str, Any] | None = None,
    steps: int = 30,
    warm_up: int = 10,
    budget: float = 540,
) -> Result:
    """Measure; what is not begun after `budget` seconds is left out, and the result says so.

    Args:
        device: `cuda`, or `cpu` where there is no GPU.
        models: of the zoo.
        ways: of `WAYS`.
        changes: to the recipes.
        world: of the drawn people, what differs from `drawn_people`.
        steps: of each measurement.
        warm_up: of these, how many are not counted.
        budget: seconds.
    """
    require_device(device)
    end = time.monotonic() + budget
    result = Result(_METHOD, figures={"left out": []})
    result.tell(f"training: {'model, batch':<18}{'':<26}images/s       GiB")
    scenes = {"train_scenes": 160, "train_identities": 60, "test_scenes": 12, "test_identities": 3}
    with drawn_people(**scenes | {"appearances": (2, 10), "gallery_entries": (10,)} | dict(world or {})) as dataset:
        # What compiles is not to hold up the others.
        jobs = sorted(((model, way) for model in models for way in ways), key=lambda job: job[1] == "compile")
        for model, way in jobs:
            if way == "compile" and model not in _COMPILED:
                continue
            if time.monotonic() > end:
                result.figures["left out"].append(f"{model}, {way}")
                continue
            recipe = paper_recipe(model).override(dict(changes or {}) | WAYS[way])
            try:
                with all_digits() if way == "fp32" else nullcontext():
                    figures = measure(recipe, dataset, decoded=way != "images from files", steps=steps, warm_up=warm_up)
            # Of one way, such as memory that does not suffice; the others can still be measured.
            except Exception as error:
                result.faults.append(f"{model}, {way}: {type(error).__name__}: {error}")
                continue
            figures |= {"batch": recipe.batch_size, "workers": recipe.workers}
            result.figures.setdefault(model, {})[way] = figures
            what, memory = f"{model}, {recipe.batch_size}", figures["peak_memory"] / 2**30
            result.tell(f"training: {what:<18}{way:<26}{figures['images_per_second']:8.2f}  {memory:8.2f}")
    for model in models:
        ways_of_model = result.figures.get(model, {})
        if {"default", "fp32"} <= ways_of_model.keys():
            ratio = ways_of_model["default"]["images_per_second"] / ways_of_model["fp32"]["images_per_second"]
            ways_of_model["default"]["times fp32"] = ratio
            result.tell(f"training: {model}: default {ratio:.1f} times float32 (target {FASTER})")
        if {"default", "images from files"} <= ways_of_model.keys():
            rates = [ways_of_model[way]["images_per_second"] for way in ("images from files", "default")]
            share = max(0.0, 1 - rates[0] / rates[1])
            ways_of_model["images from files"]["share of waiting"] = share
            result.tell(f"training: {model}: {share:.1%} of a step is waiting for images from files (target 5 %)")
        if found := ways_of_model.get("images from files"):
            found["hours"] = hours(model, found["images_per_second"])
            told = ", ".join(f"{name} {value:.1f} h" for name, value in found["hours"].items())
            result.tell(f"training: at that speed: {told}")
    if result.figures["left out"]:
        result.tell(f"training: left out, {budget:.0f} s were over: {'; '.join(result.figures['left out'])}")
    return result


def paper_recipe(model: str) -> Recipe:
    """The recipe for CUHK-SYSU, from fresh weights: pretrained ones and those of another run change no speed."""
    recipe = recipe_for(f"{model}-cuhk_sysu")
    fresh = {"model_options.pretrained": False} if "pretrained" in recipe.model_options else {}
    return recipe.override(fresh | {"starts_from": None})


def hours(model: str, images_per_second: float) -> dict[str, float]:
    """How long the model's recipes take at a speed, those with images and batches as the one for CUHK-SYSU."""
    base, found = recipe_for(f"{model}-cuhk_sysu"), {}
    for recipe in map(recipe_for, recipes()):
        counts = {(c.part, c.what): c.count for c in published_counts(recipe.dataset)}
        images = counts.get(("train", "scenes"))
        if recipe.model == model and images and _settings(recipe) == _settings(base):
            found[recipe.name] = recipe.schedule.epochs * images / images_per_second / 3600
    return found


def _settings(recipe: Recipe) -> tuple[Any, ...]:
    options = recipe.model_options
    return recipe.batch_size, options.get("min_size"), options.get("max_size"), options.get("backbone")
