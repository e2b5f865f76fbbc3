"""The layers that GLCNet adds to SeqNet: contexts, and parts of the body."""

from typing import cast

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psbench.zoo.layers.backbone import Res5Head, split_backbone
from psbench.zoo.layers.context import GroupContext, SceneAttention, SceneContext, group_means
from psbench.zoo.layers.faster_rcnn import DetectorOptions
from psbench.zoo.layers.parts import PartHeads
from psbench.zoo.layers.suppression import keep_detections


def test_group_is_the_mean_of_an_images_people() -> None:
    vectors = torch.tensor([[1.0, 0], [3, 4], [9, 9], [2, 0], [4, 8]])
    is_person = torch.tensor([True, True, False, False, False])
    means = group_means(vectors, is_person, [3, 0, 2])
    torch.testing.assert_close(means, torch.tensor([[2.0, 2], [0, 0], [3, 4]]))


@torch.no_grad()
def test_group_context_is_a_function_of_the_centre_taps() -> None:
    """A released file's other taps never touched anything."""
    torch.manual_seed(0)
    context = GroupContext(32, hidden=8).eval()
    vectors = torch.rand(3, 32)
    before = context(vectors)
    for layer in context.modules():
        if isinstance(layer, torch.nn.Conv2d):
            middle = layer.kernel_size[0] // 2
            centre = layer.weight[:, :, middle, middle].clone()
            layer.weight.normal_()
            layer.weight[:, :, middle, middle] = centre
    torch.testing.assert_close(context(vectors), before)


def test_taps_that_touch_nothing_get_no_gradient_in_half_precision_either() -> None:
    torch.manual_seed(0)
    context = GroupContext(96)
    for _ in range(5):
        # Memory that is handed out again holds what should not get into a gradient.
        [torch.full((96, 256, 5, 5), torch.nan) for _ in range(4)].clear()
        with torch.autocast("cpu", torch.bfloat16):
            found = context(torch.rand(2, 96))
        assert found.dtype == torch.float32
        gradient = torch.autograd.grad(found.square().sum(), context.branches[2][1][0].weight)[0]
        gradient[:, :, 2, 2] = 0
        assert (gradient == 0).all()


@torch.no_grad()
def test_parts_are_bands_from_head_to_foot() -> None:
    _, head = split_backbone("test_resnet")
    heads = PartHeads(head).eval()
    for side in (5, 8, 14):
        rois = torch.rand(2, head.channels["res4"], side, side)
        found = heads(rois)
        maps = [cast(Res5Head, own).maps(rois)["res5"] for own in heads.heads]
        rows = maps[0].shape[2]
        bands = {"whole": (0, 0, 1), "upper": (1, 0, 2), "lower": (1, 1, 2)}
        bands |= {"top": (2, 0, 3), "middle": (2, 1, 3), "bottom": (2, 2, 3)}
        for part, (i, k, n) in bands.items():
            band = maps[i][:, :, k * (rows // n) : (k + 1) * (rows // n)]
            torch.testing.assert_close(found[part], band.amax(dim=(2, 3)))


@settings(deadline=None, max_examples=30)
@given(
    extractor=st.sampled_from([SceneContext, SceneAttention]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    padding=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    seed=st.integers(0, 2**16),
)
@torch.no_grad()
def test_masked_padding_changes_nothing(
    extractor: type[SceneContext] | type[SceneAttention], size: tuple[int, int], padding: tuple[int, int], seed: int
) -> None:
    torch.manual_seed(seed)
    scene = extractor(8, hidden=4).eval()
    h, w = size
    c4 = torch.randn(1, 8, h, w)
    padded = 9 * torch.randn(1, 8, h + padding[0], w + padding[1])
    padded[:, :, :h, :w] = c4
    inside = torch.zeros(1, 1, *padded.shape[2:], dtype=torch.bool)
    inside[:, :, :h, :w] = True
    torch.testing.assert_close(scene(padded, inside), scene(c4), rtol=1e-4, atol=1e-5)


def test_shortest_side_of_a_detection() -> None:
    boxes = torch.tensor([[0.0, 0, 9, 9], [20, 20, 20.05, 40], [40, 40, 60, 40.005]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    kept = {
        side: keep_detections(boxes, scores, DetectorOptions(min_box_side=side), nms_thresh=0.5).tolist()
        for side in (0.0, 0.01, 0.1)
    }
    assert kept == {0.0: [0, 1, 2], 0.01: [0, 1], 0.1: [0]}
