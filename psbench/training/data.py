"""What a model is trained on: whole scenes, pairs of a query and a scene, or crops of one person each."""

from __future__ import annotations

from pathlib import Path

from psbench.predictions import Predictions
from psbench.training.batches import TrainingData, TrainingScenes
from psbench.training.crops import TrainingCrops, require_detections
from psbench.training.pairs import TrainingPairs
from psbench.training.recipe import Recipe
from psbench.zoo import ZooModel, available, model_class
from psbench_data import InputError, PersonSearchDataset, Scenes

WORDS = {
    "scenes": "training scenes with people",
    "pairs": "training scenes to search in",
    "crops": "boxes of labelled people",
}
"""For what a model trains on."""


def training_data(
    recipe: Recipe, module: ZooModel, scenes: Scenes, detections: Predictions | None = None
) -> TrainingData:
    """The samples of a training split, as a model takes them.

    Args:
        recipe: its seed decides what is drawn.
        module: its `trains_on` and options count.
        scenes: of the training split.
        detections: in these scenes, for a model that trains on crops.

    Raises:
        InputError: the split has nothing of that kind.
    """
    if module.trains_on == "pairs":
        options = module.options
        return TrainingPairs(
            scenes,
            seed=recipe.seed,
            mixture=options.pair_mixture,
            patch=options.query_size,
            padding=options.query_padding,
        )
    if module.trains_on == "crops":
        if not hasattr(module.options, "size"):
            raise InputError(f"{recipe.model} trains on crops and has no option size, their height and width. Add it.")
        return TrainingCrops(scenes, detections=detections, size=module.options.size)
    return TrainingScenes(scenes)


def detections_for(
    recipe: Recipe, dataset: PersonSearchDataset, given: str | Path | Predictions | None
) -> Predictions | None:
    """The detections that a training was given, or those in the folder that it was given.

    Raises:
        InputError: the recipe's model does not train on crops, the folder cannot be read, or they are not of the
            dataset's training scenes.
    """
    if given is None:
        return None
    if (takes := model_class(recipe.model).trains_on) != "crops":
        own = available(others=False)
        on_crops = ", ".join(name for name in own if model_class(name).trains_on == "crops")
        raise InputError(
            f"detections are given, and {recipe.model} learns from {WORDS[takes]}. Leave them out, or train one of "
            f"{on_crops}."
        )
    found = given if isinstance(given, Predictions) else Predictions.load(given)
    where = "detections" if isinstance(given, Predictions) else str(given)
    require_detections(found, dataset.split("train"), dataset.split("test"), where)
    return found
