"""Boxes, anchors, resizing and sampling of the 2017 OIM network, against what they are meant to be."""

import numpy as np
import pytest
import torch

from psbench.zoo.layers.caffe import (
    CaffeRPN,
    box_iou,
    decode_boxes,
    encode_boxes,
    grid_anchors,
    resize_image,
    sample_rois,
)
from psbench.zoo.oim_caffe import OIMCaffeOptions


def test_boxes_include_their_last_pixel() -> None:
    """IoU of boxes with whole corners, by counting pixels; deltas lead from one box to the other."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 12, (40, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    pixels = [{(x, y) for x in range(x1, x2 + 1) for y in range(y1, y2 + 1)} for x1, y1, x2, y2 in boxes.tolist()]
    expected = [[len(a & b) / len(a | b) for b in pixels] for a in pixels]
    tensor = torch.from_numpy(boxes).double()
    np.testing.assert_allclose(box_iou(tensor, tensor), expected, atol=1e-12)
    moved = decode_boxes(encode_boxes(tensor, tensor.flip(0)), tensor, (12, 12))
    np.testing.assert_allclose(moved, tensor.flip(0), atol=1e-9)
    assert decode_boxes(torch.full((1, 4), 50.0), tensor[:1], (7, 9)).tolist() == [[0, 0, 8, 6]]


def test_anchors_are_those_of_faster_rcnn() -> None:
    anchors = grid_anchors(OIMCaffeOptions(), (2, 3))
    first = [
        [-84, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199],
        [-56, -56, 71, 71], [-120, -120, 135, 135], [-248, -248, 263, 263],
        [-36, -80, 51, 95], [-80, -168, 95, 183], [-168, -344, 183, 359],
    ]  # fmt: skip
    assert anchors[:9].tolist() == first
    assert (anchors[9:18] - anchors[:9]).unique(dim=0).tolist() == [[16, 0, 16, 0]]
    assert (anchors[27:36] - anchors[:9]).unique(dim=0).tolist() == [[0, 16, 0, 16]]


@pytest.mark.parametrize("scale", [0.37, 1, 1.9])
def test_resized_images_keep_every_place(scale: float) -> None:
    """What is at x comes to scale * x, pixel centres at half numbers, whatever the size is rounded to."""
    y, x = torch.meshgrid(torch.arange(37.0), torch.arange(50.0), indexing="ij")
    resized = resize_image(torch.stack([x + 0.5, y + 0.5]), scale)
    assert resized.shape == (2, round(37 * scale), round(50 * scale))
    for axis, values, n in ((1, resized[0, 0], 50), (0, resized[1, :, 0], 37)):
        expected = ((torch.arange(resized.shape[axis + 1]) + 0.5) / scale).clamp(0.5, n - 0.5)
        torch.testing.assert_close(values, expected)


TRUTH = torch.tensor([[20.0, 20, 59, 99], [100, 10, 139, 89]])


def test_sampled_rois_are_a_quarter_people_without_repetition() -> None:
    torch.manual_seed(0)
    near = TRUTH.repeat(20, 1) + torch.arange(40)[:, None] % 7 * 0.5
    far = torch.arange(60.0)[:, None] + torch.tensor([150.0, 100, 180, 160])
    options = OIMCaffeOptions(roi_batch_size_per_image=32)
    rois = sample_rois(torch.cat([near, far]), TRUTH, torch.tensor([3, -1]), options)
    assert rois.is_person.tolist() == [True] * 8 + [False] * 24
    assert len(rois.boxes[0][8:].unique(dim=0)) == 24
    overlap = box_iou(rois.boxes[0], TRUTH)
    assert (overlap[:8].amax(dim=1) >= 0.5).all()
    assert (overlap[8:] < 0.5).all()
    assert (
        rois.person_ids.tolist() == [3 if first > second else -1 for first, second in overlap[:8].tolist()] + [-1] * 24
    )
    again = sample_rois(torch.cat([near, far]), TRUTH, torch.tensor([3, -1]), options)
    assert not torch.equal(rois.boxes[0], again.boxes[0])
    few = sample_rois(far, TRUTH, torch.tensor([3, -1]), options)
    torch.testing.assert_close(few.boxes[0][:2], TRUTH)
    assert len(few.boxes[0]) == 32


def test_every_person_has_an_anchor() -> None:
    """A thin person, whom no anchor fits, pulls the score of the best one up; nothing outside the image learns."""
    options = OIMCaffeOptions(anchor_sizes=(32, 64), rpn_batch_size_per_image=64)
    rpn = CaffeRPN(options, 4, 4)
    size, truth = (160, 240), torch.tensor([[50.0, 40, 59, 129]])
    logits, deltas, anchors = rpn(torch.zeros(1, 4, 10, 15))
    logits, deltas = logits.detach().requires_grad_(), deltas.detach().requires_grad_()
    classification, regression = rpn.losses(logits, deltas, anchors, size, truth)
    assert classification.item() == pytest.approx(np.log(2), abs=1e-5)
    (classification + regression).backward()
    overlap = box_iou(anchors, truth)[:, 0]
    inside = (anchors[:, :2] >= 0).all(dim=1) & (anchors[:, 2] < 240) & (anchors[:, 3] < 160)
    pulled_up = logits.grad[:, 1] < 0
    assert overlap[inside].max() < 0.7
    assert torch.equal(pulled_up, inside & (overlap == overlap[inside].max()))
    assert torch.equal(deltas.grad.abs().sum(dim=1) > 0, pulled_up)
    learns = logits.grad.abs().sum(dim=1) > 0
    assert learns.sum() == 64
    assert not (learns & ~inside).any()
