"""How a recipe is trained again: the recipe of psbench that it comes from, what was changed of it, and the command."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

from psbench.training.recipe import Recipe
from psbench.training.recipes import recipe_for
from psbench_data import InputError


def origin(recipe: Recipe) -> Recipe | None:
    """The recipe of psbench of this name, or the one that it was changed from; None if there is none."""
    try:
        return recipe_for(re.sub(r"(-changed)+$", "", recipe.name))
    except InputError:
        return None


def changes(recipe: Recipe, base: Recipe) -> dict[str, Any]:
    """What `base.override` makes this recipe of base with: values by dotted name."""
    there = base.to_dict()
    found: dict[str, Any] = {}
    for key, value in recipe.to_dict().items():
        old = there[key]
        if key in ("name", "expected") or _equal(value, old):
            continue
        # An option that base has and this recipe does not can only go with all of them.
        if isinstance(value, dict) and value.keys() >= old.keys():
            found |= {f"{key}.{k}": v for k, v in value.items() if k not in old or not _equal(v, old[k])}
        else:
            found[key] = value
    return found


def old_value(base: Recipe, dotted: str) -> Any:
    """What base has under a name of `changes`; None where it has nothing."""
    value: Any = base.to_dict()
    for part in dotted.split(".", 1):
        value = value.get(part)
    return value


def train_command(recipe: Recipe, *, processes: int, options: Sequence[str] = ()) -> str | None:
    """The command that trains this recipe, with ROOT and RUN for the folders of the data and of the run.

    Args:
        recipe: one of psbench, or changed from one.
        processes: that train together.
        options: further words of the command.

    Returns:
        The command; None where the recipe is neither.
    """
    if not (base := origin(recipe)):
        return None
    together = ["accelerate", "launch", "--multi_gpu", "--num_processes", str(processes), "-m", "psbench.training"]
    words = together if processes > 1 else ["psbench", "train"]
    words += [base.model, "--data", recipe.dataset, "--root", "ROOT", "--output", "RUN"]
    if base.name != f"{base.model}-{recipe.dataset}":
        words += ["--recipe", base.name]
    for name, value in changes(recipe, base).items():
        words += ["--set", f"{name}={_argument(value)}"]
    return shlex.join([*words, *options])


def _argument(value: Any) -> str:
    """A value as `--set` takes it: JSON, or else a string."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except json.JSONDecodeError:
            return value
    return json.dumps(value, ensure_ascii=False)


def _equal(a: Any, b: Any) -> bool:
    """Whether two plain values make the same digest: 1, 1.0 and True do not."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
