"""What can be chosen of IGPN: each choice does what it says, and what does not go together is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from psbench import InputError, zoo
from psbench.zoo.igpn import IGPN
from psbench.zoo.igpn_options import IGPNOptions
from psbench.zoo.layers.siamese_rpn import ResponseHead, SiameseRPN
from tests.models.small import SMALL
from tests.models.test_igpn import BOXES, IDS, _images, _losses, _model


def _names(**options: Any) -> set[str]:
    """Of the state, without the backbone's."""
    return {name for name in _model(**options).state_dict() if not name.startswith(("backbone.", "part2."))}


def test_relations_that_are_switched_off_are_gone() -> None:
    whole = _names()
    assert whole - _names(local_relations=False) == {
        f"local.{layer}.{what}" for layer in ("mu", "nu", "g", "out") for what in ("weight", "bias")
    }
    assert whole - _names(global_branch=False) == {"head.search.weight", "head.search.bias"}
    model = _model(local_relations=False, global_branch=False)
    assert set(_losses(model, 0, 1)) == {"loss_rpn_sim", "loss_rpn_reg", "loss_sim", "loss_reg"}
    [found] = model.search_encoded(model.encode_queries(_images(1), [BOXES[:1]]), model.encode_scenes(_images(1))[0])
    assert found.target is None
    assert len(found.boxes)


def test_without_local_relations_proposals_are_judged_one_by_one() -> None:
    for local, alone in ((True, False), (False, True)):
        model = _model(local_relations=local).eval()
        queries, [scene] = model.encode_queries(_images(1), [BOXES[:1]]), model.encode_scenes(_images(1))
        [proposals] = model.propose(queries, scene)
        [all_of_them], [first] = (model.judge(queries, scene, [proposals[:n]]) for n in (20, 1))
        same = torch.isclose(all_of_them.similarities, first.similarities, rtol=0, atol=1e-6).any()
        assert bool(same) == alone


def test_kernels_without_a_shared_part() -> None:
    assert _names() - _names(shared_kernel=False) == {"sim.shared_kernel", "reg.shared_kernel"}


def test_vanilla_layers() -> None:
    layers = {"vccl.weight", "vccl.bias", "phi.weight", "phi.bias"}
    of_branches = {name for name in _names(correlation="vccl") if name.startswith(("sim.", "reg."))}
    assert of_branches == {f"{branch}.{layer}" for branch in ("sim", "reg") for layer in layers}


@pytest.mark.parametrize(
    ("options", "kernel"),
    [
        ({}, (7, 3)),
        ({"kernel_padding": "valid"}, (5, 1)),
        ({"pool_kernels": False}, (14, 6)),
        ({"pool_kernels": False, "kernel_padding": "valid"}, (12, 4)),
        ({"pool_feature": False}, (7, 3)),
    ],
)
def test_sizes_of_kernels(options: dict, kernel: tuple[int, int]) -> None:
    model = _model(query_size=(224, 96), **options).eval()
    queries = model.encode_queries(_images(1), [BOXES])
    assert model.state_dict()["sim.shared_kernel"].shape == (18, 16, *kernel)
    assert queries.sim[0].shape == (3, 16, *kernel)
    assert queries.sim[1].shape == (3, 18, *kernel)
    assert queries.features.shape == (3, model.part2.channels["res5"])
    assert len(model.search_encoded(queries, model.encode_scenes(_images(1))[0])) == 3


def test_what_pooling_touches() -> None:
    both, kernels, feature = (
        _model(pool_kernels=k, pool_feature=f, correlation="vccl").eval()
        for k, f in ((True, True), (True, False), (False, True))
    )
    a, b, c = (model.encode_queries(_images(1), [BOXES]) for model in (both, kernels, feature))
    torch.testing.assert_close(a.sim[0], b.sim[0])
    assert not torch.allclose(a.features, b.features)
    assert a.sim[0].shape != c.sim[0].shape
    torch.testing.assert_close(a.features, c.features)


@pytest.mark.parametrize(
    "options",
    [
        {"correlation": "vccl"},
        {"shared_kernel": False},
        {"kernel_padding": "valid"},
        {"pool_kernels": False, "pool_feature": False},
        {"phi_size": 1, "phi_relu": True, "response_scale": 0.1},
        {"local_norm": True},
        {"query_padding": "context"},
        {"rpn_negatives": "background", "rpn_low_quality_matches": False},
        {"freeze_stem": True},
    ],
    ids=lambda options: ", ".join(options),
)
def test_every_choice_trains_and_searches(options: dict) -> None:
    model = _model(query_size=(96, 96), **options).train()
    targets = [
        {"boxes": BOXES, "person_ids": IDS, "query_patch": torch.rand(3, 96, 96), "query_id": torch.tensor(query)}
        for query in (0, 1)
    ]
    losses = model(_images(2), targets)
    assert all(loss.isfinite() for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, gradient in trained.items() if gradient is None] == []
    predictions = model.search((_images(1)[0], BOXES[0]), _images(2))
    assert predictions.counts.tolist() > [0, 0]


def test_a_learned_scale_of_the_response() -> None:
    assert _names(response_scale=0.1) - _names() == {"sim.scale", "reg.scale"}
    assert _model(response_scale=0.1).state_dict()["sim.scale"].item() == pytest.approx(0.1)


def test_padding_of_queries() -> None:
    wide = torch.tensor([[10.0, 20, 90, 60]])
    zeros, context = (
        model.eval().encode_queries(_images(1), [wide]).features
        for model in (_model(), _model(query_padding="context"))
    )
    assert not torch.allclose(zeros, context)


# Who is positive, and who negative, in the RPN.


def _rpn_targets(model: IGPN, query: int) -> dict[str, Tensor]:
    seen: list[dict[str, Tensor]] = []
    model.rpn.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2][0]))
    _losses(model, query)
    return seen[0]


@pytest.mark.parametrize(
    ("negatives", "query", "target", "ignored"),
    [
        ("others", 3, [1], []),
        ("background", 3, [1], [0, 2]),
        ("others", 1, [], []),
        ("background", 1, [], [0, 1, 2]),
    ],
)
def test_whom_the_rpn_looks_at(negatives: str, query: int, target: list[int], ignored: list[int]) -> None:
    seen = _rpn_targets(_model(rpn_negatives=negatives), query)
    torch.testing.assert_close(seen["boxes"], BOXES[target])
    torch.testing.assert_close(seen["ignored"], BOXES[ignored])


def _labels(anchors: Tensor, target: Tensor, ignored: Tensor, *, low_quality: bool = True) -> list[float]:
    rpn = SiameseRPN.of(IGPNOptions(), ResponseHead(9), positive_iou=0.6, negative_iou=0.3)
    rpn.proposal_matcher.allow_low_quality_matches = low_quality
    [labels], [matched] = rpn.assign_targets_to_anchors([anchors], [{"boxes": target, "ignored": ignored}])
    if len(target):
        assert (matched == target[box_iou(anchors, target).argmax(dim=1)])[labels == 1].all()
    return labels.tolist()


def test_labels_of_anchors() -> None:
    """By IoU with the target: 0.7, 0.5, 0.2, 0; and the last on somebody else."""
    target, other = torch.tensor([[0.0, 0, 100, 100]]), torch.tensor([[300.0, 0, 400, 100]])
    anchors = torch.tensor([[0.0, 0, 70, 100], [0, 0, 50, 100], [0, 0, 20, 100], [500, 0, 600, 100], [300, 0, 400, 90]])
    none = target[:0]
    assert _labels(anchors, target, none) == [1, -1, 0, 0, 0]
    assert _labels(anchors, target, other) == [1, -1, 0, 0, -1]
    assert _labels(anchors, none, none) == [0, 0, 0, 0, 0]
    assert _labels(anchors, none, other) == [0, 0, 0, 0, -1]
    # Somebody who stands where the target does takes no positive anchor away.
    assert _labels(anchors, target, target) == [1, -1, 0, 0, 0]
    poor = anchors[1:]
    assert _labels(poor, target, none) == [1, 0, 0, 0]
    assert _labels(poor, target, none, low_quality=False) == [-1, 0, 0, 0]


def test_thresholds_and_samples_reach_the_rpn() -> None:
    rpn = _model(rpn_positive_iou=0.65, rpn_negative_iou=0.25, rpn_nms_thresh=0.6, rpn_low_quality_matches=False).rpn
    matcher, sampler = rpn.proposal_matcher, rpn.fg_bg_sampler
    assert (matcher.high_threshold, matcher.low_threshold, matcher.allow_low_quality_matches) == (0.65, 0.25, False)
    # At most 16 positive samples of 64 in all (section 3.5).
    assert (sampler.batch_size_per_image, sampler.positive_fraction * sampler.batch_size_per_image) == (64, 16)
    assert rpn.nms_thresh == 0.6


def test_no_proposal_is_left_out_of_the_second_stage() -> None:
    """Neither by sampling, nor between thresholds: 32 proposals and the true box."""
    counts: list[int] = []
    model = _model()
    model.relation.register_forward_pre_hook(lambda _, inputs: counts.append(inputs[0].shape[1]))
    images = _images(1)
    _losses(model, 0)
    _losses(model, 1)
    with torch.no_grad():
        queries = model._encode_patches(torch.rand(1, 3, 96, 32))
        [proposals] = model.propose(queries, model.encode_scenes(images)[0])
    assert len(proposals) == 32
    assert counts == [33, 32]


# Refused.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rpn_negative_iou": 0.7}, "rpn_negative_iou is 0.7, higher than rpn_positive_iou"),
        ({"query_size": (220, 96)}, "multiples of 32"),
        ({"query_size": (64, 64), "kernel_padding": "valid"}, "no kernel is left"),
        ({"correlation": "other"}, "correlation"),
        ({"pair_mixture": (0.5, 0.5)}, "pair_mixture"),
        ({"pair_mixture": (0.5, 0.7, -0.2)}, "pair_mixture"),
        ({"response_scale": float("nan")}, "response_scale"),
        ({"kernel": 3}, "no option 'kernel'"),
    ],
)
def test_impossible_choices_are_refused(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        zoo.create("igpn", num_identities=5, **SMALL["igpn"] | options)


def test_backbones_whose_last_stage_needs_its_stride_are_refused() -> None:
    with pytest.raises(InputError, match="'test_convnext' cannot run with stride 1"):
        _model(backbone="test_convnext")
    assert _model(backbone="test_efficientnet").part2.channels["res5"] == 64


def test_frozen_weights() -> None:
    def frozen(**options: Any) -> set[str]:
        return {name for name, p in _model(**options).named_parameters() if not p.requires_grad}

    stem = {name for name, _ in _model().named_parameters() if name.startswith(("backbone.conv1", "backbone.bn1"))}
    assert stem
    assert frozen() == set()
    assert frozen(freeze_stem=True) == stem
    norms = frozen(freeze_norms=True)
    assert norms
    assert {name.split(".")[0] for name in norms} == {"backbone", "part2"}
    assert all(len(p.shape) == 1 for name, p in _model().named_parameters() if name in norms)
