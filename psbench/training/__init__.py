"""Training through accelerate: a typed recipe in, a run folder out."""

from psbench.training.loop import train
from psbench.training.recipe import Recipe, recipe_for, recipes
from psbench.training.run import Run

__all__ = ["Recipe", "Run", "recipe_for", "recipes", "train"]
