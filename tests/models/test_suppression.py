"""Which detections stay, against plain loops; and how often a GPU would be waited for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from psbench import zoo
from psbench.zoo.layers.faster_rcnn import DetectorOptions
from psbench.zoo.layers.suppression import keep_detections, keep_of_images
from tests.models.small import SMALL

MIN_SIDE, NMS, THRESHOLD = 3.0, 0.4, 0.25


def _options(most: int) -> DetectorOptions:
    return DetectorOptions(score_thresh_test=THRESHOLD, detections_per_image=most, min_box_side=MIN_SIDE)


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = float(np.prod(sides.clip(min=0)))
    return common / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)


def _by_loops(boxes: np.ndarray, scores: np.ndarray, known: int, most: int) -> list[int]:
    """One image; the known ones first, then by falling score, in the order given where scores are equal."""
    order = [*range(known), *(known + np.argsort(-scores[known:], kind="stable"))]
    standing: list[int] = []
    for i in order:
        if i >= known and (scores[i] <= THRESHOLD or (boxes[i, 2:] - boxes[i, :2]).min() < MIN_SIDE):
            continue
        if all(_iou(boxes[i], boxes[j]) <= NMS for j in standing):
            standing.append(i)
    return [*range(known), *[i for i in standing if i >= known][: max(most - known, 0)]]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_every_image_is_treated_as_by_loops(sizes: list[tuple[int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts, known = [n for n, _ in sizes], [min(k, n) for n, k in sizes]
    boxes, scores = [], []
    for n in counts:
        corners = rng.integers(0, 30, (n, 2))
        # Whole pixels and few scores: overlaps are exact, and there are ties.
        boxes.append(np.concatenate([corners, corners + rng.integers(1, 25, (n, 2))], axis=1).astype(np.float32))
        scores.append(rng.integers(0, 8, n).astype(np.float32) / 8)
    most = int(rng.integers(1, 8))
    found = keep_of_images(
        [torch.from_numpy(b) for b in boxes],
        [torch.from_numpy(s) for s in scores],
        _options(most),
        nms_thresh=NMS,
        known=known,
    )
    expected = [_by_loops(*one, most) for one in zip(boxes, scores, known, strict=True)]
    assert [kept.tolist() for kept in found] == expected


def test_boxes_far_from_the_origin_keep_their_digits() -> None:
    """In float32, 20 images of 4,000 pixels side by side leave boxes a hundredth of a pixel: IoUs would be others."""
    generator = torch.Generator().manual_seed(0)
    corners = 4000 * torch.rand(20, 60, 2, generator=generator)
    # Two by two, with an IoU close to the threshold, on one side or the other.
    corners[:, 1::2] = corners[:, ::2]
    sides = torch.tensor([40.0, 90.0]).expand(20, 60, 2).clone()
    apart = 2e-5 + 6e-5 * torch.rand(20, 30, generator=generator)
    sides[:, 1::2, 1] = 90 * (NMS + apart * torch.randn(20, 30, generator=generator).sign())
    boxes, scores = torch.cat([corners, corners + sides], dim=2), torch.rand(20, 60, generator=generator) + 0.3
    together = keep_of_images(list(boxes), list(scores), _options(300), nms_thresh=NMS)
    alone = [keep_detections(*one, _options(300), nms_thresh=NMS) for one in zip(boxes, scores, strict=True)]
    assert [kept.tolist() for kept in together] == [kept.tolist() for kept in alone]
    assert 20 * 30 < sum(map(len, alone)) < 20 * 60


class _Waits(TorchDispatchMode):
    """Counts what makes a GPU's host wait: how many there are of something has to be known."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.overloadpacket.__name__
        masks = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        self.count += masks or name in ("nonzero", "nms", "_local_scalar_dense", "masked_select")
        return func(*args, **kwargs or {})


# PCNet compares thousands of candidates image by image, `oim_caffe` takes one image at a time: both wait for each.
@pytest.mark.parametrize("name", ["oim", "nae", "nae_plus", "seqnet", "glcnet", "glcnet_2026"])
def test_heads_wait_as_often_for_many_images_as_for_one(name: str) -> None:
    torch.manual_seed(0)
    model = zoo.create(name, num_identities=2, **SMALL[name] | {"score_thresh_test": 0.0}).eval()
    images = [torch.rand(3, 96, 128) for _ in range(4)]

    def waits(number: int) -> int:
        proposals = [torch.tensor([[5.0, 5, 40, 90], [50, 10, 90, 80]])] * number
        model.propose = lambda encoded: (proposals, {})  # torchvision's, image by image
        with _Waits() as counted:
            found = model.detect(images[:number])
        assert all(len(of_image.boxes) for of_image in found)
        return counted.count

    assert waits(4) == waits(1)
