"""Arithmetic on segments and boxes, against plain loops."""

from collections.abc import Iterator

import numpy as np
import pytest

from psbench.evaluation.segments import pair_iou, segment_argmax, weight_from
from tests.judging.oracle import iou


def _drawn(seed: int) -> Iterator[np.ndarray]:
    """Columns of whole numbers, many of them equal."""
    rng = np.random.default_rng(seed)
    length = [0, 1, 40][seed % 3]
    while True:
        yield rng.integers(-2, 4, length)


@pytest.mark.parametrize("seed", range(6))
def test_best_of_each_segment_is_the_first_of_the_largest(seed: int) -> None:
    columns = _drawn(seed)
    values, segments = next(columns) / 2, next(columns)
    expected = [
        max(np.flatnonzero(segments == segment).tolist(), key=lambda i: (values[i], -i))
        for segment in np.unique(segments)
    ]
    assert segment_argmax(values, segments).tolist() == expected


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("probes", [0, 1, 25])
def test_weight_of_what_reaches_a_probe(seed: int, probes: int) -> None:
    columns, rng = _drawn(seed), np.random.default_rng(seed)
    groups, keys, weights = next(columns), next(columns) / 2, next(columns)
    # Some groups have no items, some items no probe.
    at_groups, at_keys = rng.integers(-3, 6, probes), rng.integers(-3, 5, probes) / 2
    expected = [weights[(groups == group) & (keys >= key)].sum() for group, key in zip(at_groups, at_keys, strict=True)]
    found = weight_from((groups, keys, weights), (at_groups, at_keys))
    assert (found.tolist(), found.dtype) == (expected, np.int64)


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_overlap_of_pairs_of_boxes(extra: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    corner, side = rng.integers(0, 12, (2, 300, 2)), rng.integers(0, 9, (2, 300, 2))
    a, b = np.concatenate([corner, corner + side], axis=2).astype(np.float32)
    found = pair_iou(a, b, dtype, extra)
    expected = [iou(*boxes, extra) for boxes in zip(a.astype(dtype), b.astype(dtype), strict=True)]
    assert found.dtype == dtype
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    assert len(set(found[found > 0].tolist())) > 20


def test_overlap_of_boxes_worked_out_by_hand() -> None:
    box = np.array([[0, 0, 10, 10]], np.float32)
    half = box + np.float32([5, 0, 5, 0])
    assert pair_iou(box, half) == pytest.approx(50 / 150)
    assert pair_iou(box, half, extra=1) == pytest.approx(66 / 176)
    assert pair_iou(box, box).dtype == np.float64
    point = box[:, [0, 1, 0, 1]]
    # Without an area there is nothing to divide by.
    assert pair_iou(point, point).tolist() == [0]
    assert pair_iou(point, point, extra=1).tolist() == [1]
    turned = np.repeat(box[:, [2, 1, 0, 3]], 50, axis=0)
    assert pair_iou(turned, turned).tolist() == [0] * 50
