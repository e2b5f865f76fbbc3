"""What PCNet looks at: where its points lie and what its features gather, recomputed from its maps."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from psbench import InputError, zoo
from psbench.sight import Sight
from psbench.zoo.layers.retina import decode_boxes
from psbench.zoo.looking import look, require_points
from psbench.zoo.pcnet import PCNet
from tests.models.small import SMALL


def _model(name: str = "pcnet", **options: Any) -> PCNet:
    """Untrained, in double precision, with offsets of some cells, so that points are spread."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = zoo.create(name, num_identities=3, **SMALL[name] | {"score_thresh_test": 0.0} | options)
        model = require_points(made.double().eval(), name)
        for parameter in model.head.reid.offsets.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        for scale, value in zip(model.head.reid.scales, (0.5, 2.0), strict=False):
            scale.data.fill_(value)
    return model


def _image(height: int = 120, width: int = 250) -> Tensor:
    """Noise of a size that is none of the network's: it is resized to 61 x 127."""
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def _look(model: PCNet, image: Tensor) -> Sight:
    sight = look(model, image, threshold=0.0)
    assert len(sight) > 5
    return sight


def _places(model: PCNet, image: Tensor) -> list[tuple[int, int, float, float, float, float]]:
    """Level, anchor's offset row, and x, y and steps in the image's pixels of each anchor, location after location."""
    encoded = model.encode([image])
    (height, width), (resized_height, resized_width) = image.shape[1:], encoded.sizes[0]
    across, down = width / resized_width, height / resized_height
    found = []
    for level, (rows, columns) in enumerate(encoded.grid.map_sizes):
        stride = 8 * 2**level
        for row in range(rows):
            for column in range(columns):
                x, y = (column * stride + stride // 2) * across, (row * stride + stride // 2) * down
                found += [
                    (level, len(found) + a, x, y, stride * across, stride * down)
                    for a in range(model.options.num_anchors)
                ]
    return found


@pytest.mark.parametrize("name", ["pcnet", "pcnet_multianchor"])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 3)], ids=str)
@torch.no_grad()
def test_points_are_those_of_the_anchor_that_each_person_comes_from(name: str, kernel: tuple[int, int]) -> None:
    model, image = _model(name, kernel=kernel), _image()
    sight, places, encoded = _look(model, image), _places(model, image), model.encode([image])
    every = decode_boxes(encoded.found.deltas[0], encoded.grid.anchors, encoded.sizes[0])
    ratio = torch.tensor([250 / 127, 120 / 61] * 2)
    [detections] = model.detect([image])
    np.testing.assert_allclose(sight.boxes, detections.boxes, atol=1e-4)
    np.testing.assert_allclose(sight.scores, detections.scores, atol=1e-6)
    levels = set()
    for n in range(len(sight)):
        # Of all anchors, the one with this box and score.
        near = ((every * ratio) - torch.from_numpy(sight.boxes[n])).abs().amax(dim=1) < 1e-3
        near &= (encoded.found.logits[0].sigmoid() - float(sight.scores[n])).abs() < 1e-6
        [anchor] = torch.where(near)[0].tolist()
        level, row, x, y, across, down = places[anchor]
        levels.add(level)
        assert sight.levels[n] == level
        np.testing.assert_allclose(sight.locations[n], [x, y], rtol=1e-6)
        offsets = encoded.found.offsets[0, row].tolist()
        for k in range(kernel[0] * kernel[1]):
            dy, dx = offsets[2 * k], offsets[2 * k + 1]
            expected = [
                x + across * (k % kernel[1] - kernel[1] // 2 + dx),
                y + down * (k // kernel[1] - kernel[0] // 2 + dy),
            ]
            np.testing.assert_allclose(sight.points[n, k], expected, rtol=1e-5, atol=1e-4)
    assert levels == {0, 1}


def test_without_offsets_points_are_the_grid_and_equal_offsets_move_them_alike() -> None:
    model, image = _model(), _image()
    offsets = model.head.reid.offsets
    for parameter in offsets.parameters():
        parameter.data.zero_()
    plain = _look(model, image)
    steps = np.array([plain.pyramid[level].step for level in plain.levels])
    grid = np.array([[x, y] for y in (-1, 0, 1) for x in (-1, 0, 1)])
    np.testing.assert_allclose(plain.points - plain.locations[:, None], grid * steps[:, None], rtol=1e-4)
    np.testing.assert_allclose(plain.pyramid[1].step, (16 * 250 / 127, 16 * 120 / 61))

    # A cell and a half down, two to the left; a level's scale counts.
    offsets.bias.data.copy_(torch.tensor([1.5, -2.0] * 9))
    moved = _look(model, image)
    scales = np.array([0.5, 2.0])[moved.levels]
    steps = np.array([moved.pyramid[level].step for level in moved.levels])
    expected = grid + scales[:, None, None] * np.array([-2.0, 1.5])
    np.testing.assert_allclose(moved.points - moved.locations[:, None], expected * steps[:, None], rtol=1e-4)


@pytest.mark.parametrize(
    ("kernel", "sets", "expected"),
    [((3, 3), 3, [0, 0, 0, 1, 1, 1, 2, 2, 2]), ((3, 3), 2, [0] * 4 + [1] * 5), ((5, 1), 3, [0, 1, 2, 2, 2])],
)
def test_points_belong_to_the_sets_of_the_distance_loss(
    kernel: tuple[int, int], sets: int, expected: list[int]
) -> None:
    assert _look(_model(kernel=kernel, point_sets=sets), _image()).sets.tolist() == expected


@pytest.mark.parametrize("name", ["pcnet", "pcnet_multianchor"])
@pytest.mark.parametrize("where", ["box", "everywhere"])
@torch.no_grad()
def test_attention_is_that_of_equations_8_to_10(name: str, where: str) -> None:
    model, image = _model(name, cross_scale=where, gallery_aggregation=False), _image()
    layer, anchors = model.embedding["cross_scale"], model.options.num_anchors
    # Small enough for no relation to be clamped, which the equations have not.
    for s, value in zip(layer.scales, (0.02, 0.05), strict=True):
        s.data.fill_(value)
    sight, reid = _look(model, image), model.encode([image]).found.reid[0]
    assert sight.attention is not None
    places = _places(model, image)
    [detections] = model.detect([image])
    for n in range(0, len(sight), len(sight) // 8):
        x1, y1, x2, y2 = sight.boxes[n].tolist()
        f = _feature_at(sight, n, places, reid, model, image)
        kappa, features, at = [], [], []
        for first in range(0, len(places), anchors):
            level, _, x, y, across, down = places[first]
            inside = x1 < x < x2 and y1 < y < y2 if where == "box" else x < 250 and y < 120
            if inside:
                mean = reid[first : first + anchors].mean(dim=0)
                phi = layer.key.weight @ (float(layer.scales[level]) * mean) + layer.key.bias
                kappa.append(float(phi @ (layer.query.weight @ f + layer.query.bias)))
                features.append(mean)
                at.append((level, int(y / down), int(x / across)))
        assert max(map(abs, kappa), default=0) < 30
        weights = [math.exp(k) / sum(math.exp(other) for other in kappa) for k in kappa]
        expected = [np.zeros(x.shape[1:]) for x in sight.attention]
        for (level, row, column), weight in zip(at, weights, strict=True):
            expected[level][row, column] = weight
        for found, x in zip(sight.attention, expected, strict=True):
            np.testing.assert_allclose(found[n], x, atol=1e-6)
        total = sum(float(x[n].sum()) for x in sight.attention)
        assert total == pytest.approx(1 if kappa else 0, abs=1e-6)
        gathered = f + sum((w * g for w, g in zip(weights, features, strict=True)), torch.zeros_like(f))
        np.testing.assert_allclose(model.unit(gathered[None])[0], detections.embeddings[n], atol=1e-6)


def _feature_at(sight: Sight, n: int, places: list, reid: Tensor, model: PCNet, image: Tensor) -> Tensor:
    """f' where a person was found; of several anchors there, that with their box."""
    encoded = model.encode([image])
    boxes = decode_boxes(encoded.found.deltas[0], encoded.grid.anchors, encoded.sizes[0])
    boxes = boxes * torch.tensor([250 / 127, 120 / 61] * 2)
    differences = (boxes - torch.from_numpy(sight.boxes[n])).abs().amax(dim=1)
    here = [row for _, row, x, y, *_ in places if np.allclose([x, y], sight.locations[n], atol=1e-3)]
    return reid[min(here, key=lambda row: float(differences[row]))]


@torch.no_grad()
def test_activation_is_the_length_of_the_maps_vectors_as_far_as_the_image_reaches() -> None:
    model, image = _model(), _image()
    sight, encoded = _look(model, image), model.encode([image])
    assert [level.name for level in sight.pyramid] == ["P3", "P4"]
    tall = look(model, _image(66, 128), threshold=0.0)
    # Padded to 96 x 128, of which 66 x 128 are the image's.
    assert [level.reid.shape for level in tall.pyramid] == [(9, 16), (5, 8)]
    for i, level in enumerate(sight.pyramid):
        reid, _ = model.head.reid(encoded.maps[i], i)
        towered = model.head.class_tower(reid)
        rows, columns = level.reid.shape
        for row in range(rows):
            for column in range(columns):
                assert level.reid[row, column] == pytest.approx(reid[0, :, row, column].norm().item(), rel=1e-4)
                assert level.detection[row, column] == pytest.approx(towered[0, :, row, column].norm().item(), rel=1e-4)
                x, y = (column + 0.5) * level.step[0], (row + 0.5) * level.step[1]
                np.testing.assert_allclose(level.places[row, column], [x, y], rtol=1e-5)


def test_uncertain_detections_are_left_out_and_the_mode_is_kept() -> None:
    model = _model().train()
    scores = _look(model, _image()).scores
    assert model.training
    middle = float(np.median(scores))
    sight = look(model, _image(), threshold=middle)
    assert sight.scores.tolist() == scores[scores >= middle].tolist()
    assert len(look(model, _image(), threshold=1.0)) == 0
    assert look(_model(cross_scale="none"), _image(), threshold=0.0).attention is None


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("glcnet", {}, "pcnet, pcnet_fast and pcnet_multianchor do"),
        ("pcnet", {"contextual_points": False}, "contextual_points=false"),
        ("pcnet", {"order": "roi_align"}, "order=roi_align"),
    ],
)
def test_models_without_contextual_points_are_refused(name: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=f"run7: has no contextual points to look at .*{why}"):
        require_points(zoo.create(name, num_identities=3, **SMALL[name] | options), "run7")
