"""PCNet's layers and losses from their equations alone, point by point, and their gradients."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from psbench.zoo.layers.contextual_points import ContextualPoints, distance_loss
from psbench.zoo.layers.cross_scale import (
    CrossScaleAggregation,
    RowNorm,
    mean_of_overlapping,
    points_in_boxes,
    triplet_loss,
)
from psbench.zoo.layers.pixels import fitted_size, make_batch
from psbench.zoo.layers.retina import candidate_anchors, make_grid, match_anchors


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


# Contextual points pooling, equation 5.


def _at(x: Tensor, row: float, column: float) -> Tensor:
    """Bilinear sample (C,) of a map (C, h, w), zero outside."""
    total = torch.zeros_like(x[:, 0, 0])
    for r in (math.floor(row), math.floor(row) + 1):
        for c in (math.floor(column), math.floor(column) + 1):
            if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
                total = total + (1 - abs(row - r)) * (1 - abs(column - c)) * x[:, r, c]
    return total


@pytest.mark.parametrize("anchors", [1, 2])
@torch.no_grad()
def test_contextual_points_are_pooled_as_equation_5_says(anchors: int) -> None:
    layer = ContextualPoints(4, 3, anchors, 2, (3, 3), hidden=64).double()
    layer.scales[1].fill_(80.0)
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    pooled, offsets = layer(x, 1)
    assert pooled.shape == (2 * anchors, 3, 5, 6)
    assert offsets.abs().mean() > 0.2
    torch.testing.assert_close(layer.scales[1] * layer.offsets(layer.offset_tower(x)).view_as(offsets), offsets)
    for image in range(2):
        for anchor in range(anchors):
            n = image * anchors + anchor
            for y, column in ((0, 0), (2, 3), (4, 5)):
                expected = torch.zeros(3, dtype=torch.float64)
                for k in range(9):
                    dy, dx = offsets[n, 2 * k : 2 * k + 2, y, column].tolist()
                    sample = _at(x[image], y + k // 3 - 1 + dy, column + k % 3 - 1 + dx)
                    expected += layer.weights[1][:, :, k // 3, k % 3] @ sample
                torch.testing.assert_close(pooled[n, :, y, column], expected)


# The distance loss, equation 6.


def _equation_6(offsets: list[float], stride: float, h: float, kernel: tuple[int, int], sets: int) -> float:
    points = kernel[0] * kernel[1]
    # Vertical positions, in pixels, of the points s + o_k.
    y = [stride * (k // kernel[1] - kernel[0] // 2 + offsets[2 * k]) for k in range(points)]
    each = points // sets
    groups = [y[i * each : (i + 1) * each if i < sets - 1 else points] for i in range(sets)]
    m = [sum(group) / len(group) for group in groups]
    return sum(((m[i + 1] - m[i]) - h / sets) ** 2 for i in range(sets - 1)) / h


def _code(offsets: list[float], stride: float, h: float, kernel: tuple[int, int], sets: int) -> float:
    dy, each = offsets[0::2], kernel[0] * kernel[1] // sets
    groups = [dy[i * each : (i + 1) * each if i < sets - 1 else len(dy)] for i in range(sets)]
    means = [stride * sum(group) / len(group) for group in groups]
    t = math.floor(h / sets)
    return sum((t - (means[i + 1] - means[i])) ** 2 / t + 1e-8 for i in range(sets - 1))


@pytest.mark.parametrize(("form", "oracle"), [("paper", _equation_6), ("code", _code)])
@pytest.mark.parametrize(("kernel", "sets"), [((3, 3), 3), ((3, 3), 2), ((5, 3), 4), ((5, 1), 5)])
def test_distance_loss_is_that_of_its_equation(form: str, oracle: object, kernel: tuple[int, int], sets: int) -> None:
    offsets = _double(6, 2 * kernel[0] * kernel[1])
    strides = torch.tensor([8, 8, 16, 32, 64, 128], dtype=torch.float64)
    heights = torch.tensor([40.3, 77, 120.9, 333.3, 500, 901.7], dtype=torch.float64)
    found = distance_loss(offsets, strides, heights, kernel, sets, form)
    expected = [
        oracle(o, s, h, kernel, sets)
        for o, s, h in zip(offsets.tolist(), strides.tolist(), heights.tolist(), strict=True)
    ]
    np.testing.assert_allclose(found.tolist(), expected, rtol=1e-12)
    assert gradcheck(lambda o: distance_loss(o, strides, heights, kernel, sets, form), (offsets,))


def test_distance_loss_is_zero_where_the_sets_are_spread_over_the_body() -> None:
    offsets = torch.zeros(1, 18)
    loss = distance_loss(offsets, torch.tensor([16.0]), torch.tensor([48.0]), (3, 3), 3, "paper")
    # A grid of three rows, 16 pixels apart, on a person of three times 16.
    assert loss.item() == 0


@pytest.mark.parametrize("form", ["paper", "code"])
def test_distance_loss_of_a_box_without_height_is_finite(form: str) -> None:
    offsets = torch.randn(2, 18)
    assert distance_loss(offsets, torch.tensor([8.0, 8.0]), torch.tensor([0.0, 1.0]), (3, 3), 3, form).isfinite().all()


# Cross scale aggregation, equations 8 to 10.


def _attended(layer: CrossScaleAggregation, x: Tensor, points: Tensor, levels: list[int], among: Tensor) -> Tensor:
    relations = []
    for i in among.nonzero().flatten().tolist():
        phi = layer.key.weight @ (layer.scales[levels[i]] * points[i]) + layer.key.bias
        psi = layer.query.weight @ x + layer.query.bias
        relations.append((i, float(phi @ psi)))
    total = sum(math.exp(max(-layer.limit, min(layer.limit, r))) for _, r in relations)
    f = x.clone()
    for i, r in relations:
        f = f + math.exp(max(-layer.limit, min(layer.limit, r))) / total * points[i]
    return f


@pytest.mark.parametrize("limit", [50.0, 0.5])
def test_cross_scale_aggregation_is_that_of_its_equations(limit: float) -> None:
    layer = CrossScaleAggregation(4, 3, limit=limit).double()
    with torch.no_grad():
        for scale, value in zip(layer.scales, (0.5, 1.0, 2.0), strict=True):
            scale.fill_(value)
        layer.key.bias.normal_()
        layer.query.bias.normal_()
    x, points = _double(3, 4), _double(7, 4)
    candidates = torch.tensor([[1, 1, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0, 0, 0], [1] * 7]).bool()
    found = layer(x, points, [4, 2, 1], candidates)
    levels = [0] * 4 + [1] * 2 + [2]
    with torch.no_grad():
        expected = [_attended(layer, x[i], points, levels, candidates[i]) for i in range(3)]
    torch.testing.assert_close(found, torch.stack(expected))
    torch.testing.assert_close(found[1], x[1])
    if limit > 1:
        # Parameters too, which are put in by name.
        names = [name for name, _ in layer.named_parameters()]
        values = tuple(p.detach().clone().requires_grad_() for p in layer.parameters())

        def run(x: Tensor, points: Tensor, *values: Tensor) -> Tensor:
            named = dict(zip(names, values, strict=True))
            return torch.func.functional_call(layer, named, (x, points, [4, 2, 1], candidates))

        assert gradcheck(run, (x, points, *values))


def test_points_count_that_lie_strictly_inside() -> None:
    centres = torch.tensor([[4.0, 4.0], [10.0, 10.0], [9.0, 4.0], [20.0, 5.0]])
    inside = points_in_boxes(centres, torch.tensor([[3.0, 3, 10, 10], [0.0, 0, 30, 5]]))
    assert inside.tolist() == [[True, False, True, False], [True, False, True, False]]


# The triplet loss, equation 11.


@pytest.mark.parametrize("form", ["paper", "code"])
def test_triplet_loss_is_that_of_its_equation(form: str) -> None:
    f, point = (torch.nn.functional.normalize(_double(6, 5)).detach() for _ in range(2))
    ids = torch.tensor([3, 3, -1, 7, -1, 2901])
    expected = []
    for i in range(6):
        others = [j for j in range(6) if ids[j] != ids[i]]
        if form == "paper":
            far = min(float((f[i] - point[j]).square().sum()) for j in others)
            expected.append(max(0.5 + float((f[i] - point[i]).square().sum()) - far, 0))
        else:
            near = max(float(f[i] @ f[j]) for j in others)
            expected.append(max(0.5 + near - float(f[i] @ point[i]), 0))
    found = triplet_loss(f, point, ids, margin=0.5, form=form)
    np.testing.assert_allclose(found.tolist(), expected, rtol=1e-10)
    assert min(expected) < max(expected)
    inputs = (f.requires_grad_(), point.requires_grad_())
    assert gradcheck(lambda f, p: triplet_loss(f, p, ids, margin=0.5, form=form), inputs)


@pytest.mark.parametrize("form", ["paper", "code"])
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_triplet_loss_without_another_person_is_zero_and_connected(form: str, rows: int) -> None:
    f = _double(rows, 4)
    loss = triplet_loss(f, f, torch.full((rows,), 5), margin=0.5, form=form).sum()
    assert loss.item() == 0
    loss.backward()
    assert f.grad is not None


def test_neighbouring_identities_are_told_apart() -> None:
    """The original compares a^2 + b^2 - 2 a b with zero in float32, which large neighbours may not differ from."""
    x = torch.eye(2)
    assert (triplet_loss(x, x, torch.tensor([5001, 5002]), margin=1.5, form="code") > 0).all()


# Means over candidates.


def test_mean_of_overlapping_candidates() -> None:
    x = torch.randn(40, 3)
    iou = torch.rand(5, 40)
    iou[4] = 0.1
    iou[4, 7] = 0.2
    found = mean_of_overlapping(x, iou, 0.6, "most_overlapping")
    for row, mean in zip(iou, found, strict=True):
        most = row.argsort(descending=True)[:32]
        kept = [i for i in most.tolist() if row[i] >= 0.6] or [int(row.argmax())]
        torch.testing.assert_close(mean, x[kept].mean(dim=0))
    # All those that overlap of 40 candidates, but only the closest of 32.
    every = mean_of_overlapping(x, iou[:1], 0.6, "as_the_original")
    least = iou[0].sort().values[31]
    torch.testing.assert_close(every[0], x[(iou[0] >= 0.6) & (iou[0] >= least)].mean(dim=0))
    few = mean_of_overlapping(x[:32], iou[:1, :32], 0.6, "as_the_original")
    torch.testing.assert_close(few[0], x[iou[0, :32].argmax()])
    assert mean_of_overlapping(x[:0], iou[:0, :0], 0.6, "most_overlapping").shape == (0, 3)


# Rows, anchors, pixels.


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_row_norm_takes_any_number_of_rows(rows: int) -> None:
    norm = RowNorm(4)
    before = norm.running_mean.clone()
    x = torch.randn(rows, 4, requires_grad=True)
    y = norm(x)
    y.sum().backward()
    assert norm.weight.grad is not None
    assert torch.equal(norm.running_mean, before) == (rows < 2)
    if rows == 1:
        torch.testing.assert_close(y, norm.eval()(x))
    if rows == 3:
        torch.testing.assert_close(y.mean(dim=0), torch.zeros(4), atol=1e-6, rtol=0)


def test_anchors_of_the_papers_pyramid() -> None:
    grid = make_grid([(1, 1)] * 5, (32, 64, 128, 256, 512), (2.0,), 1, torch.zeros(1))
    sides = grid.anchors[:, 2:] - grid.anchors[:, :2] + 1
    assert sides.tolist() == [[24, 48], [44, 88], [92, 184], [180, 360], [364, 728]]
    assert grid.centres.tolist() == [[4, 4], [8, 8], [16, 16], [32, 32], [64, 64]]


def test_matching_takes_the_best_anchor_of_every_person() -> None:
    anchors = torch.tensor([[0.0, 0, 9, 19], [20.0, 0, 29, 19], [0.0, 0, 9, 15], [100.0, 100, 140, 180]])
    boxes = torch.tensor([[0.0, 0, 9, 19], [100.0, 100, 109, 119]])
    nobody = {"boxes": boxes[:0], "person_ids": torch.zeros(0, dtype=torch.int64)}
    people = match_anchors(anchors, [{"boxes": boxes, "person_ids": torch.tensor([4, -1])}, nobody])
    assert people.labels.tolist() == [[1, 0, 1, 1], [0, 0, 0, 0]]
    assert people.anchor.tolist() == [0, 2, 3]
    assert people.person_ids.tolist() == [4, 4, -1]


def test_candidates_are_the_best_of_each_level() -> None:
    scores = torch.tensor([0.1, 0.9, 0.5, 0.4, 0.02, 0.8])
    assert candidate_anchors(scores, [4, 2], threshold=0.05, top=2).tolist() == [1, 2, 5]


@pytest.mark.parametrize(
    ("size", "limits", "expected"),
    [
        ((240, 320), (300, 500), (300, 400)),
        ((300, 200), (300, 500), (450, 300)),
        ((1080, 1920), (900, 1500), (844, 1500)),
        ((900, 1400), (900, 1500), (900, 1400)),
        ((844, 1500), (900, 1500), (844, 1500)),
        ((1, 4000), (900, 1500), (1, 4000)),
    ],
)
def test_sizes_after_resizing(size: tuple, limits: tuple, expected: tuple) -> None:
    assert fitted_size(size, *limits) == expected


def test_batches_are_padded_with_zeros() -> None:
    batch = make_batch([torch.ones(3, 40, 64), torch.ones(3, 33, 70)])
    assert batch.shape == (2, 3, 64, 96)
    assert batch.sum() == 3 * (40 * 64 + 33 * 70)
    assert make_batch([torch.ones(3, 40, 64)], bucket=128).shape == (1, 3, 128, 128)
