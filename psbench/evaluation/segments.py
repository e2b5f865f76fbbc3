"""Arithmetic on columns that hold one stretch a scene, and on boxes in them."""

from __future__ import annotations

import numpy as np


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


def pair_iou(a: np.ndarray, b: np.ndarray, dtype: type = np.float64, extra: int = 0) -> np.ndarray:
    """Intersection over union of boxes pair by pair.

    Args:
        a, b: (n, 4), xyxy, pixels.
        dtype: of the arithmetic.
        extra: pixels added to every side; 1 in code that takes x2 and y2 for the last pixel of a box.

    Returns:
        (n,) in [0, 1]; 0 where both boxes have no area.
    """
    a, b = a.astype(dtype), b.astype(dtype)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + extra
    common = np.clip(sides, 0, None).prod(axis=1)
    union = (a[:, 2:] - a[:, :2] + extra).prod(axis=1) + (b[:, 2:] - b[:, :2] + extra).prod(axis=1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def weight_from(items: tuple[np.ndarray, np.ndarray, np.ndarray], probes: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """For each probe, the weight of the items of its group whose key is as large or larger.

    Args:
        items: (n,) groups, keys and weights, whole numbers.
        probes: (p,) groups and keys.

    Returns:
        (p,) int64.
    """
    group, key, weight = items
    at_group, at_key = probes
    # Sorted together, a probe stands before its equals: what follows it in its group is what it asks for.
    groups, keys = np.concatenate([at_group, group]), np.concatenate([at_key, key])
    order = np.lexsort((keys, groups))
    total = np.cumsum(np.concatenate([np.zeros(len(at_group), np.int64), weight])[order])
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    last = np.searchsorted(groups[order], at_group, side="right") - 1
    return total[last] - total[place[: len(at_group)]]
