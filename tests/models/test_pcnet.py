"""PCNet against what the original computes from the same weights and images, in its three configurations for PRW."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from psbench import InputError, zoo
from psbench.zoo.cost import cost
from psbench.zoo.layers.contextual_points import distance_loss
from psbench.zoo.layers.pixels import resize_picture
from psbench.zoo.layers.retina import match_anchors
from psbench.zoo.pcnet import PCNet
from tests.models.golden import Golden

HALF = {"rtol": 1e-3, "atol": 2e-3}
"""Of arrays that are stored in float16."""


@pytest.fixture(scope="module", params=["pcnet", "pcnet_fast", "pcnet_dagger"])
def golden(request: pytest.FixtureRequest) -> Iterator[Golden]:
    return Golden(request.param)


@pytest.fixture(scope="module")
def model(golden: Golden) -> PCNet:
    """With the golden weights, in evaluation mode and float32."""
    model = golden.model()
    assert isinstance(model, PCNet)
    return model


def _sub(expected: np.ndarray) -> dict[str, float]:
    return HALF if expected.dtype == np.float16 else {"rtol": 0, "atol": 1e-4}


@pytest.mark.parametrize("i", [0, 1])
@torch.no_grad()
def test_maps(golden: Golden, model: PCNet, i: int) -> None:
    arrays, per_location = golden.arrays, model.options.num_anchors
    encoded = model.encode([golden.image(i)])
    counts = [per_location * count for count in encoded.grid.counts]
    anchors = encoded.grid.anchors.split(counts)
    found = encoded.found
    rows = [x[0].split(counts) for x in (found.logits[..., None], found.deltas, found.offsets, found.reid)]
    for level, (height, width) in enumerate(encoded.grid.map_sizes):
        p = f"p{level + 3}"
        np.testing.assert_array_equal(anchors[level][:per_location], arrays[f"cell_anchors_{p}"])
        features, every = encoded.maps[level][0], 32 if level < 2 else 8
        np.testing.assert_allclose(features.mean(dim=(1, 2)), arrays[f"fpn_mean_{p}_{i}"], atol=1e-4)
        sub = arrays[f"fpn_sub_{p}_{i}"]
        np.testing.assert_allclose(features[::every], sub, **_sub(sub))
        logits, deltas, offsets, reid = (of_kind[level].view(height, width, -1).permute(2, 0, 1) for of_kind in rows)
        np.testing.assert_allclose(logits, arrays[f"cls_{p}_{i}"], atol=1e-4)
        step = 3 if level == 0 else 1
        np.testing.assert_allclose(deltas[:, ::step, ::step], arrays[f"reg_{p}_{i}"], atol=1e-4)
        step, expected = 6 if level == 0 else 2, arrays[f"offset_{p}_{i}"]
        np.testing.assert_allclose(offsets[:, ::step, ::step], expected, **_sub(expected))
        np.testing.assert_allclose(reid.mean(dim=(1, 2)), arrays[f"reid_mean_{p}_{i}"], atol=1e-4)
        sub = arrays[f"reid_sub_{p}_{i}"]
        np.testing.assert_allclose(reid[::every], sub, **_sub(sub))


@pytest.mark.parametrize("i", [0, 1])
@pytest.mark.parametrize("resized", [False, True], ids=["as given", "resized before"])
def test_detections_and_query_embeddings(golden: Golden, model: PCNet, i: int, resized: bool) -> None:
    arrays, ratio = golden.arrays, 1.0
    image, boxes = golden.image(i), golden.boxes(i)
    if resized:
        image = torch.from_numpy(arrays[f"resized_{i}"]).permute(2, 0, 1) / 255
        ratio = image.shape[1] / golden.image(i).shape[1]
    [found] = model.detect([image])
    np.testing.assert_allclose(found.boxes, arrays[f"det_boxes_net_{i}" if resized else f"det_boxes_{i}"], atol=1e-3)
    np.testing.assert_allclose(found.scores, arrays[f"det_scores_{i}"], atol=1e-5)
    np.testing.assert_allclose(found.embeddings, arrays[f"det_emb_{i}"], atol=1e-5)
    [embedded] = model.embed([image], [boxes * ratio])
    np.testing.assert_allclose(embedded, arrays[f"query_emb_{i}"], atol=1e-5)


@pytest.mark.parametrize("i", [0, 1])
def test_pictures_are_resized_as_the_original_does(golden: Golden, i: int) -> None:
    expected = golden.arrays[f"resized_{i}"]
    found = resize_picture(golden.image(i), expected.shape[:2]).permute(1, 2, 0)
    np.testing.assert_array_equal(found, expected)


def test_training_step(golden: Golden) -> None:
    """Losses, features, identity tables, batch-norm statistics and gradients of one step."""
    train, arrays = golden.case["train"], golden.arrays
    model = golden.model().train()
    assert isinstance(model, PCNet)
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    seen: dict[str, Tensor] = {}
    for name in ("norm", "point_norm"):
        layer = model.embedding[name]
        layer.register_forward_pre_hook(lambda _, inputs, name=name: seen.update({name: inputs[0].detach()}))
    losses = model([golden.image(i) for i in (0, 1)], [golden.target(i) for i in (0, 1)])
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(train["losses"], rel=1e-5)
    np.testing.assert_allclose(seen["norm"], arrays["train_f_pre_bn"], atol=1e-4)
    np.testing.assert_allclose(seen["point_norm"], arrays["train_fprime_pre_bn"], atol=1e-4)

    torch.stack(list(losses.values())).sum().backward()
    state = model.state_dict()
    np.testing.assert_allclose(state["oim.table"][arrays["train_lut_rows"]], arrays["train_lut_after"], atol=1e-5)
    np.testing.assert_allclose(state["oim.queue"][arrays["train_cq_rows"]], arrays["train_cq_after"], atol=1e-5)
    assert state["oim.queue_position"].item() == train["header_cq"]
    for key, after in arrays.items():
        if key.startswith("train_bn_after:"):
            np.testing.assert_allclose(state[golden.ours(key.removeprefix("train_bn_after:"))], after, atol=1e-5)
    torch.testing.assert_close(model.backbone.state_dict(), before, rtol=0, atol=0)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert {golden.ours(name) for name in golden.case["grad_names"]} == gradients.keys()
    slack = 1e-4 * train["total_grad_norm"]
    for official, norm in zip(golden.case["grad_names"], arrays["train_grad_norms"], strict=True):
        gradient = gradients[golden.ours(official)]
        assert gradient is not None, official
        assert gradient.norm().item() == pytest.approx(norm, rel=1e-3, abs=slack), official


@torch.no_grad()
def test_positive_anchors_and_the_disabled_distance_loss(golden: Golden, model: PCNet) -> None:
    train, arrays = golden.case["train"], golden.arrays
    encoded = model.encode([golden.image(i) for i in (0, 1)])
    targets = [golden.target(i) for i in (0, 1)]
    targets = [t | {"boxes": model.resized_boxes(encoded, i, t["boxes"])} for i, t in enumerate(targets)]
    people = match_anchors(encoded.grid.anchors, targets)
    total = len(encoded.grid.anchors)
    np.testing.assert_array_equal(people.image * total + people.anchor, arrays["train_pos_index"])
    np.testing.assert_array_equal((people.labels == -1).sum(dim=1), arrays["train_n_ignored"])
    np.testing.assert_array_equal(people.person_ids, np.maximum(arrays["train_pos_ids"], -1))
    np.testing.assert_allclose(people.boxes, arrays["train_pos_box_net"], atol=1e-3)
    offsets, strides = encoded.found.offsets[people.image, people.anchor], encoded.grid.strides[people.anchor]
    np.testing.assert_allclose(offsets, arrays["train_pos_offsets"], atol=1e-4)
    o, heights = model.options, people.boxes[:, 3] - people.boxes[:, 1]
    rows = distance_loss(offsets, strides, heights, o.kernel, o.point_sets, "code")
    assert rows.mean().item() == pytest.approx(train["points_dist_loss_if_enabled"], rel=1e-5)


def test_the_disabled_loss_can_be_switched_on(golden: Golden) -> None:
    model = golden.model(distance_loss="code").train()
    losses = model([golden.image(i) for i in (0, 1)], [golden.target(i) for i in (0, 1)])
    expected = golden.case["train"]["points_dist_loss_if_enabled"]
    assert losses["loss_distance"].item() == pytest.approx(expected, rel=1e-5)


def test_checkpoints_of_several_gpus_and_wrapped_ones_are_read(golden: Golden, model: PCNet) -> None:
    parallel = {f"module.{name}": value for name, value in golden.state_dict.items()}
    again = zoo.load_official(golden.zoo_name, {"model": parallel, "iteration": 70000}, min_size=300, max_size=500)
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_checkpoints_of_something_else_are_refused(golden: Golden) -> None:
    state = golden.state_dict
    with pytest.raises(InputError, match="Is it of another model"):
        zoo.load_official(golden.zoo_name, {"weight": state["rpn.reid_loss_func.lut"]})
    del state["rpn.reid_bn.weight"]
    with pytest.raises(InputError, match=r"no weights for 'embedding\.norm\.weight'"):
        zoo.load_official(golden.zoo_name, state)


PRW = {"pcnet": (32_281_569, 32_056_353), "pcnet_fast": (31_240_289, 31_015_073)}
PRW |= {"pcnet_dagger": (33_586_199, 33_360_983)}
CUHK_SYSU = {"pcnet": (31_351_073, 31_125_857), "pcnet_fast": (31_351_073, 31_125_857)}
CUHK_SYSU |= {"pcnet_dagger": (31_364_759, 31_139_543)}


@pytest.mark.parametrize(("manifest", "counts"), [("manifest", PRW), ("manifest_cuhk", CUHK_SYSU)])
def test_parameters_are_counted_as_in_the_original(golden: Golden, manifest: str, counts: dict) -> None:
    shapes = json.loads((golden.folder / f"{manifest}.json").read_text())
    model = zoo.load_official(golden.zoo_name, {name: torch.zeros(shape) for name, shape in shapes.items()})
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert (total, trained) == counts[golden.name]
    o = model.options
    if manifest == "manifest_cuhk":
        weights = (5, 5, 1, 0.1) if golden.name == "pcnet_dagger" else (10, 1, 1, 0.1)
        assert (o.class_weight, o.box_weight, o.reid_weight, o.triplet_weight) == weights
        nms = 0.4 if golden.name == "pcnet_fast" else 0.7
        assert (o.triplet_margin, o.point_sets, o.nms_thresh_test, o.min_size, o.max_size) == (0.8, 2, nms, 800, 1333)


# 10^9 FLOP at 800x1333 of the head, and in all without aggregation.
@pytest.mark.parametrize(
    ("name", "head", "total"),
    [("pcnet", 108.07, 307.5), ("pcnet_fast", 61.44, 260.8), ("pcnet_multianchor", 564.40, 763.8)],
)
def test_cost(name: str, head: float, total: float) -> None:
    counted = cost(zoo.create(name, num_identities=1, min_size=800, max_size=1333), 800, 1333)
    parts = {part.name: 2 * part.gmac for part in counted.parts}
    assert round(parts["backbone"], 2) == 165.25
    assert round(parts["fpn"], 2) == 34.13
    assert parts["head"] == pytest.approx(head, rel=0.01)
    assert 2 * counted.per("image") == pytest.approx(total, rel=0.01)
    assert 2 * counted.per("person") < 0.2
