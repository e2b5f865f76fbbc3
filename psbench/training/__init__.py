"""Training through accelerate: a typed recipe in, a run folder out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psbench.training.recipe import Recipe
from psbench.training.recipes import recipe_for, recipes
from psbench.training.run import Run

if TYPE_CHECKING:
    from psbench.training.loop import NonFiniteLossError, train

__all__ = ["NonFiniteLossError", "Recipe", "Run", "recipe_for", "recipes", "train"]


def __getattr__(name: str) -> Any:
    # Recipes and runs can be looked at without waiting for torch.
    if name in ("NonFiniteLossError", "train"):
        from psbench.training import loop

        return getattr(loop, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
