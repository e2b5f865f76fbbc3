"""Recipes for what users bring: data of their own, and models of other packages."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from psbench.training.recipe import Execution, Recipe
from psbench_data import available

_OWN, _LIKE = "coco", "cuhk_sysu"
"""One's own data, and the data whose recipes serve it."""


def own_recipe(name: str, known: Mapping[str, Recipe]) -> Recipe | None:
    """The recipe MODEL-DATA that follows from others; None if none does.

    - On one's own data (`coco`): the model's recipe for CUHK-SYSU.
    - Of a model of another package: the values of `Recipe`, in fp32 as its box arithmetic may need that, changed by
      what the model's class says (`ZooModel.recipe`).

    Args:
        name: of the recipe.
        known: those that psbench comes with.

    Raises:
        InputError: the model's package does not load, or its values are none of a recipe.
    """
    model, _, dataset = name.rpartition("-")
    if dataset == _OWN and (like := known.get(f"{model}-{_LIKE}")):
        starts, found = _on_own(like.starts_from), _on_own(like.detections_from)
        return dataclasses.replace(
            like, name=name, dataset=_OWN, expected=None, starts_from=starts, detections_from=found
        )
    if not model or dataset not in available():
        return None
    from psbench.zoo import model_class
    from psbench.zoo.plugins import plugins

    if model not in plugins():
        return None
    plain = Recipe(name=name, model=model, dataset=dataset, execution=Execution(precision="fp32"))
    return dataclasses.replace(plain.override(model_class(model).recipe), name=name)


def own_names(known: Mapping[str, Recipe]) -> list[str]:
    """The names that `own_recipe` has a recipe for; no package is imported for it."""
    from psbench.zoo.plugins import plugins

    like = [name.removesuffix(_LIKE) + _OWN for name in known if name.endswith(f"-{_LIKE}")]
    return like + [f"{model}-{dataset}" for model in plugins() for dataset in available()]


def _on_own(name: str | None) -> str | None:
    return name and name.removesuffix(_LIKE) + _OWN
