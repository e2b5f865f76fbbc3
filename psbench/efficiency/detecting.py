"""Joint models: how many people they are made to find, and how fast they do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from psbench.efficiency.pictures import Pictures
from psbench.efficiency.settings import Settings
from psbench.zoo import Detections
from psbench.zoo.cost import Cost
from psbench.zoo.images import to_float
from psbench.zoo.layers.faster_rcnn import ImageSize
from psbench.zoo.layers.pixels import fitted_size


class Detecting:
    """A model that detects, as it is timed (`Timed`)."""

    def __init__(self, model: Any, inputs: list[Tensor]) -> None:
        """Take a `PersonSearcher`, and the pictures as it resizes them, on its device."""
        self._model, self._inputs = model, inputs

    def network(self, numbers: list[int]) -> list[int]:
        """See `Timed`."""
        return _counts(self._model.detect([self._inputs[number] for number in numbers]))

    def whole(self, numbers: list[int], images: list[Tensor]) -> list[int]:
        """See `Timed`."""
        found = self._model.detect(images)
        for detections in found:
            for tensor in (detections.boxes, detections.scores, detections.embeddings):
                tensor.float().cpu()
        return _counts(found)


def _counts(found: list[Detections]) -> list[int]:
    return [len(detections.scores) for detections in found]


def resized(pictures: Pictures, size: ImageSize, device: torch.device) -> list[Tensor]:
    """Each picture in [0, 1], as large as fits into a size, upright ones into its transpose."""
    short, long = sorted(size)
    images = []
    for number, of_picture in enumerate(pictures.sizes):
        image = to_float(pictures.decoded(number).to(device))
        fitting = F.interpolate(image[None], fitted_size(of_picture, short, long), mode="bilinear")
        images.append(fitting[0].clamp(0, 1))
    return images


def score_threshold(model: Any, inputs: list[Tensor], people: float) -> float:
    """The score above which a model finds so many people in an image on average.

    Args:
        model: a `PersonSearcher` that keeps detections of any score.
        inputs: images, each of which counts the same.
        people: to be found.

    Returns:
        In [0, 1]: between the scores of the last detection that is to be kept and of the next one; 0 if all are.
    """
    scores = torch.cat([model.detect([image])[0].scores.double().cpu() for image in inputs])
    scores = scores.sort(descending=True).values
    kept = max(round(people * len(inputs)), 1)
    # What a higher score suppresses does not depend on lower ones, so that just these remain with this threshold.
    return float(scores[kept - 1 : kept + 1].mean()) if kept < len(scores) else 0.0


def calibration(pictures: Pictures, settings: Settings) -> list[int]:
    """The pictures that a threshold is set on, each as often as it counts: of those that will be timed."""
    every = len(pictures.jpeg) * len(pictures.mix)
    return [number for (number,) in pictures.batches(1, min(settings.images, every))]


@contextmanager
def counted_rois(model: nn.Module, counted: Cost) -> Iterator[list[int]]:
    """A list that fills with the number of RoIs at each call of a model's heads; it stays empty without RoIs."""
    rois: list[int] = []
    parts = [part for part in counted.parts if part.per == "RoI"]
    if not parts:
        yield rois
        return
    heaviest = model.get_submodule(max(parts, key=lambda part: part.gmac).name)
    handle = heaviest.register_forward_pre_hook(lambda _, given: rois.append(len(given[0])))
    try:
        yield rois
    finally:
        handle.remove()
