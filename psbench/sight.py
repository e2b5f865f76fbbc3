"""What a model looked at in one image, as plain arrays: what is drawn needs no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Level:
    """A level of a feature pyramid, as far as the image reaches.

    Attributes:
        name: for example "P3".
        places: (h, w, 2) float32, x and y of its locations, pixels of the original image.
        step: x and y from a location to the next, in the same pixels.
        reid: (h, w) float32, activation of the map that people are told apart by: the length of its vectors.
        detection: (h, w) float32, that of the map that scores are predicted from.
    """

    name: str
    places: np.ndarray
    step: tuple[float, float]
    reid: np.ndarray
    detection: np.ndarray


@dataclass(frozen=True, eq=False)
class Sight:
    """The people found in an image, the most certain first, and where each one's feature comes from.

    Attributes:
        boxes: (n, 4) float32, xyxy, pixels of the original image; and so all other coordinates.
        scores: (n,) float32 in [0, 1].
        levels: (n,) int64, the level that each was found on, its place in `pyramid`.
        locations: (n, 2) float32, x and y of the location that each was found at.
        points: (n, K, 2) float32, x and y of the points that the feature at the location is pooled from.
        sets: (K,) int64, the set that each point belongs to, counted from 0.
        pyramid: its levels.
        attention: for each level (n, h, w) float32, how much of its features each person's gathers, over all levels
            summing to one (or to zero, where no location counts); None if the model gathers nothing.
    """

    boxes: np.ndarray
    scores: np.ndarray
    levels: np.ndarray
    locations: np.ndarray
    points: np.ndarray
    sets: np.ndarray
    pyramid: list[Level]
    attention: list[np.ndarray] | None

    def __len__(self) -> int:
        return len(self.boxes)
