"""Arithmetic on columns that hold one stretch a scene, and on boxes in them."""

from __future__ import annotations

import numpy as np


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The concatenation of `start, start + 1, ..., start + count - 1` over all segments."""
    ends = np.cumsum(counts)
    return np.arange(counts.sum()) + np.repeat(starts - (ends - counts), counts)


def segment_argmax(values: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Where the largest value of each segment stands, the first of equals.

    Args:
        values: (n,).
        segments: (n,) segment of each value, not necessarily sorted.

    Returns:
        One index into `values` for each segment that occurs, by ascending segment.
    """
    order = np.lexsort((-values, segments))
    first = np.ones(len(order), bool)
    first[1:] = segments[order][1:] != segments[order][:-1]
    return order[first]


def pair_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes pair by pair, areas without the "+1" of older code.

    Args:
        a, b: (n, 4), xyxy, pixels.

    Returns:
        (n,) float64 in [0, 1]; 0 where both boxes have no area.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    common = np.clip(sides, 0, None).prod(axis=1)
    union = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)
