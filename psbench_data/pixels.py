"""Coordinates that come from outside: what can be a pixel, and what cannot."""

from __future__ import annotations

import numpy as np

LIMIT = 2**24
"""Coordinates stay below this: float32, in which boxes are held, keeps integers up to there."""


def pixels(values: np.ndarray) -> np.ndarray:
    """The values as float64.

    Raises:
        ValueError: one is not a number, or larger than any image.
    """
    values = np.asarray(values, np.float64)
    if not (np.abs(values) < LIMIT).all():
        raise ValueError(f"expected coordinates in pixels, found {values.ravel().tolist()!s:.120}")
    return values


def have_area(boxes: np.ndarray) -> np.ndarray:
    """Which of (..., 4) boxes xyxy have area as they will be held, in float32: (...) bool."""
    boxes = np.asarray(boxes, np.float32)
    return np.logical_and(boxes[..., 2] > boxes[..., 0], boxes[..., 3] > boxes[..., 1])
