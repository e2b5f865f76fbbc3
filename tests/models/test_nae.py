"""NAE and NAE+: released files, labels of locations, scores, and NAE+ from NAE."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from psbench import InputError, zoo
from psbench.zoo.layers.norm_aware import NormAwareEmbedding
from psbench.zoo.layers.pixel_wise import PixelWiseEmbedding, grid_labels
from psbench.zoo.nae_plus import NAEPlus
from tests.conftest import GOLDENS
from tests.goldens.models.fill import fill
from tests.models.test_seqnet import SMALL


@pytest.mark.parametrize(
    ("file", "fused", "parameters"), [("manifest.json", True, 33437607), ("manifest_nofuse.json", False, 33568679)]
)
def test_weights_tell_which_nae_plus_they_are(file: str, fused: bool, parameters: int) -> None:
    """The original counts a classifier of 4,098 parameters that it never uses; a model of one's own has none."""
    weights = fill(json.loads((GOLDENS / "models" / "nae_plus" / file).read_text()))
    model = zoo.load_official("nae_plus", {"model": weights}, min_size=300)
    assert model.options.fuse_maps == fused
    assert sum(p.numel() for p in model.parameters()) == parameters
    np.testing.assert_array_equal(
        model.state_dict()["embedding.projectors.res5.0.weight"],
        weights["roi_heads.embedding_head.projectors.feat_res5.0.weight"],
    )


def test_weights_of_nae_and_nae_plus_are_not_mixed_up() -> None:
    weights = fill(json.loads((GOLDENS / "models" / "nae" / "manifest.json").read_text()))
    with pytest.raises(InputError, match=r"shape \(128, 2048\), expected \(128, 2048, 1, 1\)"):
        zoo.load_official("nae_plus", weights)


def _iou(a: list[float], b: list[float]) -> float:
    width, height = (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1))
    overlap = max(width, 0) * max(height, 0)
    return overlap / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - overlap)


def _labels_by_hand(roi: list[float], people: list[list[float]], size: tuple[int, int], *, original: bool) -> Tensor:
    """The definition with a real mask; Python's slices count negative ends from the other side, as the original's."""
    overlaps = [_iou(roi, person) for person in people]
    best = int(np.argmax(overlaps))
    if original:
        person = people[best if overlaps[best] >= 0.5 else 0]
    elif overlaps[best] > 0:
        person = people[best]
    else:
        return torch.zeros(size)
    mask = np.zeros((math.ceil(roi[3] - roi[1]), math.ceil(roi[2] - roi[0])), np.float32)
    rows, columns = (
        slice(max(math.floor(person[k] - roi[k]), 0), math.ceil(person[k + 2] - roi[k]) + 1) for k in (1, 0)
    )
    mask[rows, columns] = 1
    return F.interpolate(torch.from_numpy(mask)[None, None], size=size, mode="bilinear")[0, 0]


_START, _LENGTH = (st.integers(a, b).map(lambda quarters: quarters / 4) for a, b in ((0, 200), (1, 160)))
_BOX = st.tuples(_START, _START, _LENGTH, _LENGTH).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])


@settings(max_examples=200, deadline=None)
@given(
    rois=st.lists(_BOX, max_size=5),
    people=st.lists(_BOX, min_size=1, max_size=3),
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    original=st.booleans(),
)
def test_grid_labels_are_a_mask_made_small(
    rois: list[list[float]], people: list[list[float]], size: tuple[int, int], original: bool
) -> None:
    labels = grid_labels(torch.tensor(rois).reshape(-1, 4), torch.tensor(people), size, as_the_original=original)
    assert labels.shape == (len(rois), *size)
    for found, roi in zip(labels, rois, strict=True):
        torch.testing.assert_close(found, _labels_by_hand(roi, people, size, original=original), rtol=0, atol=1e-5)


def test_a_person_left_of_a_roi_is_nowhere_in_it() -> None:
    """The original finds them in 30 of 49 locations."""
    roi, person = torch.tensor([[60.0, 20, 160, 80]]), torch.tensor([[10.0, 10, 40, 60]])
    assert grid_labels(roi, person, (7, 7)).sum() == 0
    assert grid_labels(roi, person, (7, 7), as_the_original=True).sum() == 30
    assert grid_labels(roi, person[:0], (7, 7)).sum() == 0


@pytest.mark.parametrize("dim", [256, 7])
@torch.no_grad()
def test_on_uniform_maps_nae_plus_embeds_as_nae(dim: int) -> None:
    """A linear layer is a 1x1 convolution; there, an embedding is NAE's times its score."""
    torch.manual_seed(0)
    channels = {"res4": 5, "res5": 6}
    nae, plus = NormAwareEmbedding(channels, dim).eval(), PixelWiseEmbedding(channels, dim).eval()
    own = plus.state_dict()
    plus.load_state_dict({name: value.reshape(own[name].shape) for name, value in nae.state_dict().items()})
    vectors = {name: torch.randn(3, n) for name, n in channels.items()}
    sizes = {"res4": (14, 14), "res5": (7, 7)}
    maps = {name: v[:, :, None, None].expand(-1, -1, *sizes[name]) for name, v in vectors.items()}
    e, logits = nae(vectors)
    embeddings, grid = plus(maps)
    torch.testing.assert_close(grid, logits[:, None, None].expand(-1, 7, 7))
    torch.testing.assert_close(embeddings, e * logits.sigmoid()[:, None])


@torch.no_grad()
def test_nae_plus_embedding_is_a_mean_over_locations() -> None:
    """Location by location, with the finer map's projection resized."""
    torch.manual_seed(0)
    layer = PixelWiseEmbedding({"res4": 5, "res5": 6}, 8).eval()
    maps = {"res4": torch.randn(2, 5, 4, 4), "res5": torch.randn(2, 6, 2, 2)}
    embeddings, logits = layer(maps)
    # From 4 to 2 cells, bilinear resizing is the mean of 2 by 2.
    fine, coarse = (layer.projectors[name](maps[name]) for name in ("res4", "res5"))
    fine = fine.reshape(2, 4, 2, 2, 2, 2).mean(dim=(3, 5))
    total = torch.zeros(2, 8)
    for i in range(2):
        for j in range(2):
            v = torch.cat([fine[:, :, i, j], coarse[:, :, i, j]], dim=1)
            logit = layer.rescaler(v.norm(dim=1)[:, None, None, None]).flatten()
            torch.testing.assert_close(logits[:, i, j], logit)
            total += v / v.norm(dim=1, keepdim=True) * logit.sigmoid()[:, None]
    torch.testing.assert_close(embeddings, total / 4)


def _small(name: str, **options: object) -> zoo.ZooModel:
    torch.manual_seed(0)
    return zoo.create(name, num_identities=5, **SMALL | options)


@torch.no_grad()
def test_scores_of_nae_plus_are_relative_to_the_best_of_each_image() -> None:
    images = [torch.rand(3, 96, 128), torch.zeros(3, 96, 128)]
    model = _small("nae_plus", score_thresh_test=0.0).eval()
    relative = model.detect(images)
    absolute = _small("nae_plus", score_thresh_test=0.0, relative_scores=False)
    absolute.load_state_dict(model.state_dict())
    for found, plain in zip(relative, absolute.eval().detect(images), strict=True):
        assert found.scores[0] == 1
        assert plain.scores[0] < 1
        torch.testing.assert_close(found.boxes, plain.boxes)
        torch.testing.assert_close(found.scores, plain.scores / plain.scores[0])


@torch.no_grad()
def test_queries_of_nae_are_unit_vectors_and_those_of_nae_plus_are_not() -> None:
    image, box = [torch.rand(3, 96, 128)], [torch.tensor([[5.0, 5, 40, 90]])]
    assert _small("nae").eval().embed(image, box)[0].norm().item() == pytest.approx(1, abs=1e-5)
    assert _small("nae_plus").eval().embed(image, box)[0].norm().item() < 0.9


@torch.no_grad()
def test_nae_plus_starts_from_nae() -> None:
    nae = _small("nae")
    torch.nn.init.normal_(nae.oim.table)
    plus = NAEPlus.from_nae(nae, focal_loss=True)
    assert (plus.options.min_size, plus.options.focal_loss) == (96, True)
    taken, own = nae.state_dict(), plus.state_dict()
    assert taken.keys() == own.keys()
    assert all(torch.equal(value.flatten(), own[name].flatten()) for name, value in taken.items())
    assert own["embedding.projectors.res4.0.weight"].dim() == 4
    assert len(plus.eval().detect([torch.rand(3, 96, 128)])[0].scores) > 0
    with pytest.raises(InputError, match="fuse_maps=False"):
        NAEPlus.from_nae(nae, fuse_maps=False)


TARGET = {"boxes": torch.tensor([[10.0, 10, 50, 90], [60, 10, 90, 90]]), "person_ids": torch.tensor([3, -1])}
ALL_ROIS = {"roi_batch_size_per_image": 4000, "rpn_batch_size_per_image": 200000}


def test_detection_loss_of_nae_plus_is_over_locations() -> None:
    """Cross-entropy against the share of each location that is on a person; focal: each term times (1 - p_t)^2."""
    image = torch.rand(3, 96, 128)
    losses = {}
    for focal in (False, True):
        model = _small("nae_plus", focal_loss=focal, **ALL_ROIS)
        losses[focal] = model([image], [TARGET])["loss_detection"].item()
    encoded = model.encode([image], [TARGET])
    [proposals], _ = model.propose(encoded)
    [target] = encoded.targets
    rois, cost, focal_cost = [], [], []
    for roi in torch.cat([proposals, target["boxes"]]):
        iou = max(_iou(roi.tolist(), person.tolist()) for person in target["boxes"])
        if iou < 0.1 or iou >= 0.5:
            rois.append(roi)
    logits = model.judge(encoded, [torch.stack(rois)]).logits
    for roi, grid in zip(rois, logits, strict=True):
        label = _labels_by_hand(roi.tolist(), target["boxes"].tolist(), tuple(grid.shape), original=False)
        p = grid.sigmoid()
        terms = -(label * p.log() + (1 - label) * (1 - p).log())
        cost.append(terms)
        p_t, alpha_t = p * label + (1 - p) * (1 - label), 0.25 * label + 0.75 * (1 - label)
        focal_cost.append(alpha_t * (1 - p_t) ** 2 * terms)
    assert losses[False] == pytest.approx(torch.stack(cost).mean().item(), rel=1e-4)
    assert losses[True] == pytest.approx(torch.stack(focal_cost).mean().item(), rel=1e-4)
