"""Training through accelerate: a typed recipe in, a run folder out."""

from psbench.training.loop import NonFiniteLossError, train
from psbench.training.recipe import Recipe
from psbench.training.recipes import recipe_for, recipes
from psbench.training.run import Run

__all__ = ["NonFiniteLossError", "Recipe", "Run", "recipe_for", "recipes", "train"]
