"""IGPN as a whole: what it learns from, and what it finds, of one query or many."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from psbench import InputError, PairwisePredictions, zoo
from psbench.training.execution import training_mode
from psbench.zoo.cost import cost
from psbench.zoo.igpn import IGPN
from psbench.zoo.igpn_encoded import EncodedQueries
from psbench.zoo.interface import Found
from psbench.zoo.layers.patches import query_patch
from psbench.zoo.layers.stages import Staged
from psbench.zoo.weights import describe, load_weights, save_weights
from tests.models.small import SMALL

BOXES = torch.tensor([[10.0, 10, 50, 90], [60.0, 10, 90, 90], [20.0, 5, 60, 80]])
IDS = torch.tensor([0, 3, -1])
LOSSES = {"loss_rpn_sim", "loss_rpn_reg", "loss_sim", "loss_reg", "loss_search"}


def _model(**options: Any) -> IGPN:
    """A small one, always with the same weights, whose local relation block does something."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = zoo.create("igpn", num_identities=5, **SMALL["igpn"] | options)
        assert isinstance(model, IGPN)
        if model.local is not None:
            torch.nn.init.normal_(model.local.out.weight, std=0.1)
    return model


@pytest.fixture(scope="module")
def model() -> IGPN:
    return _model().eval()


def _images(n: int = 2, size: tuple[int, int] = (96, 128), seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, *size, generator=generator) for _ in range(n)]


def _targets(*queries: int, boxes: Tensor = BOXES, ids: Tensor = IDS) -> list[dict[str, Tensor]]:
    """Scenes with the same people, searched for these."""
    generator = torch.Generator().manual_seed(2)
    return [
        {
            "boxes": boxes,
            "person_ids": ids,
            "query_patch": torch.randint(256, (3, 96, 32), generator=generator, dtype=torch.uint8),
            "query_id": torch.tensor(query),
        }
        for query in queries
    ]


def _losses(model: IGPN, *queries: int, **scene: Tensor) -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model(_images(len(queries)), _targets(*queries, **scene))


def _require_equal(one: list[Found], other: list[Found]) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.boxes, b.boxes, rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(a.similarities, b.similarities, rtol=0, atol=1e-5)
        torch.testing.assert_close(a.target, b.target, rtol=0, atol=1e-5)


# The network.


def test_published_sizes() -> None:
    with torch.device("meta"):
        counts = {
            kind: sum(p.numel() for p in IGPN(1, IGPN.options_type(correlation=kind)).parameters())  # type: ignore[arg-type]
            for kind in ("iccl", "vccl")
        }
    assert counts == {"iccl": 56_070_270, "vccl": 300_385_352}


def test_parts_and_what_they_cost() -> None:
    """GFLOP of the paper's sizes: 2.81 for a query's part I, 0.11 for a pair, 1.464 for part II of a proposal."""
    with torch.device("meta"):
        model = zoo.create("igpn", num_identities=1)
    counted = cost(model, 608, 992, rois=32)
    by_unit = {(part.name, part.per): 2 * part.gmac for part in counted.parts}
    assert by_unit["backbone", "query"] == pytest.approx(2.81, abs=0.005)
    assert by_unit["part2", "RoI"] == pytest.approx(1.464, abs=5e-4)
    assert 2 * counted.per("pair") == pytest.approx(0.11, abs=0.005)
    # phi(x) and the shared kernel: each is 512 x (9 x 1024 + 7 x 3 x outputs) multiplications a cell.
    cells = 38 * 62
    for name, outputs in (("sim", 18), ("reg", 36)):
        expected = 2e-9 * cells * 512 * (9 * 1024 + 21 * outputs)
        assert by_unit[name, "image"] == pytest.approx(expected)
    assert {"relation", "local", "head"} <= {part.name for part in counted.parts if part.per == "RoI"}
    assert counted.parameters == sum(p.numel() for p in model.parameters())


def test_state_has_the_parts_of_the_paper() -> None:
    names = {name.split(".")[0] for name in _model().state_dict()}
    assert names == {"backbone", "part2", "sim", "reg", "relation", "local", "head"}


def test_part_two_keeps_the_size_of_what_is_pooled(model: IGPN) -> None:
    x = torch.rand(2, model.backbone.channels, 7, 7)
    assert model.part2.maps(x)["res5"].shape[2:] == (7, 7)


def test_proposals_are_pooled_where_they_are(model: IGPN, queries: EncodedQueries) -> None:
    """The maximum over the cells that a box touches, of 16 pixels each: here rows 1 to 4 and columns 2 to 4."""
    seen: list[Tensor] = []
    handle = model.part2.stages()[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    [scene] = model.encode_scenes(_images(1))
    model.judge(queries.select([0]), scene, [torch.tensor([[32.0, 16, 63, 70]])])
    handle.remove()
    assert seen[0].shape == (1, model.backbone.channels, 7, 7)
    torch.testing.assert_close(seen[0].amax(dim=(2, 3)), scene.features[:, :, 1:5, 2:5].amax(dim=(2, 3)))


# Training.


def test_losses_of_all_kinds_of_pairs() -> None:
    for queries in ((0,), (3,), (1,), (0, 1)):
        losses = _losses(_model(), *queries)
        assert set(losses) == LOSSES
        assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    absent = _losses(_model(), 1)
    assert absent["loss_rpn_reg"] == absent["loss_reg"] == 0
    present = _losses(_model(), 0)
    assert present["loss_rpn_reg"] > 0
    assert present["loss_reg"] > 0


@pytest.mark.parametrize(
    ("queries", "scene"),
    [((0, 1), {}), ((1, 2), {}), ((1, 2), {"boxes": BOXES[:0], "ids": IDS[:0]})],
    ids=["both", "negative alone", "nobody there"],
)
def test_all_that_is_trained_gets_a_gradient_from_every_batch(queries: tuple, scene: dict) -> None:
    model = _model().train()
    torch.stack(list(_losses(model, *queries, **scene).values())).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_search_loss_is_of_the_querys_presence() -> None:
    """With a bias that always says present it is small for scenes with the query, and large for others."""
    model = _model()
    torch.nn.init.zeros_(model.head.search.weight)
    model.head.search.bias.data = torch.tensor([-5.0, 5.0])
    assert _losses(model, 0, 3)["loss_search"] < 0.01
    assert _losses(model, 1, 2)["loss_search"] > 9
    # People without identity are nobody to search for.
    assert _losses(model, 4, 4, ids=torch.tensor([0, 3, -1]))["loss_search"] > 9


def test_only_the_target_is_similar() -> None:
    """Proposals on other people are negative in both stages: a network that calls everybody similar pays for them."""
    model = _model()
    torch.nn.init.zeros_(model.head.similarity.weight)
    model.head.similarity.bias.data = torch.tensor([-5.0, 5.0])
    similar = _losses(model, 1)["loss_sim"]
    torch.testing.assert_close(similar, torch.tensor(10.0), rtol=1e-3, atol=0)
    # The true box is among the proposals, with IoU 1.
    assert _losses(model, 0)["loss_sim"] < similar - 10 / 40


def test_losses_in_evaluation_mode_change_nothing(model: IGPN) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    _losses(model, 0, 1)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_patches_as_bytes_or_in_the_unit_range(model: IGPN) -> None:
    targets = _targets(0, 1)
    scaled = [t | {"query_patch": t["query_patch"].float() / 255} for t in targets]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        given = model(_images(), targets)
        torch.manual_seed(0)
        torch.testing.assert_close(model(_images(), scaled), given)


def test_numbers_of_another_precision_are_taken(model: IGPN) -> None:
    double = _model().double().eval()
    losses = _losses(double, 0, 1)
    assert all(loss.dtype == torch.float64 for loss in losses.values())
    query, scenes = (_images(1, seed=4)[0], BOXES[0]), _images(1)
    expected = torch.tensor(model.search(query, scenes).similarities)
    for network in (model, double):
        for dtype in (torch.float32, torch.float64):
            found = network.search((query[0].to(dtype), query[1].to(dtype)), [scenes[0].to(dtype)])
            torch.testing.assert_close(torch.tensor(found.similarities), expected)


def test_frozen_norms_keep_everything() -> None:
    model = _model(freeze_norms=True)
    training_mode(model, "batch")
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training or norm.weight.requires_grad or norm.bias.requires_grad for norm in norms)
    before = [buffer.clone() for norm in norms for buffer in norm.buffers()]
    _losses(model, 0, 1)
    torch.testing.assert_close([b for norm in norms for b in norm.buffers()], before, rtol=0, atol=0)
    assert any(m.training for m in model.modules())


def test_half_precision_training_is_finite_and_learns() -> None:
    model = _model().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
    sums = []
    for _ in range(10):
        with torch.autocast("cpu", torch.bfloat16):
            losses = _losses(model, 0, 1)
        assert all(loss.dtype == torch.float32 for loss in losses.values())
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        sums.append(total.item())
    assert sum(sums[-3:]) / 3 < 0.8 * sums[0]


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
def test_recomputing_is_exact(autocast: bool) -> None:
    results = []
    for recompute in (False, True):
        model = _model().train()
        stages = [module for module in model.modules() if isinstance(module, Staged)]
        assert len(stages) == 2
        for module in stages:
            module.recompute = recompute
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            losses = _losses(model, 0, 1)
        torch.stack(list(losses.values())).sum().backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        results.append((losses, gradients, dict(model.state_dict())))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_only_training_batches_are_padded_to_buckets() -> None:
    model = _model()
    model.size_bucket = 96
    seen: list[tuple[int, ...]] = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    _losses(model.train(), 0, 1)
    model.encode_scenes(_images(1))
    assert seen == [(96, 192), (96, 32), (96, 128)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"query_id": torch.tensor(5)}, "image 1 is searched for person 5, expected one of 0 to 4"),
        ({"query_id": torch.tensor(-1)}, "image 1 is searched for person -1"),
        ({"query_id": torch.tensor([1])}, "query_id is int64 of shape .1,., expected .. int64"),
        ({"query_id": torch.tensor(1.0)}, "query_id is float32"),
        ({"query_patch": torch.rand(3, 96, 64)}, "query_patch is float32 of shape .3, 96, 64., expected .3, 96, 32."),
        ({"query_patch": torch.full((3, 96, 32), 9.0)}, "image 1: its query_patch has values from 9 to 9"),
        ({"query_patch": torch.full((3, 96, 32), float("nan"))}, "values from nan"),
        ({"boxes": torch.zeros(1, 4)}, "1 boxes and 3 person_ids"),
    ],
)
def test_impossible_targets_are_refused(model: IGPN, change: dict, words: str) -> None:
    first, second = _targets(0, 1)
    with pytest.raises(InputError, match=words):
        model(_images(), [first, second | change])


def test_targets_without_a_query_are_refused(model: IGPN) -> None:
    with pytest.raises(InputError, match="image 0: its target has no 'query_patch' and no 'query_id'"):
        model(_images(1), [{"boxes": BOXES, "person_ids": IDS}])


# Searching.


@pytest.fixture(scope="module")
def queries(model: IGPN) -> EncodedQueries:
    return model.encode_queries(_images(3, seed=3), [BOXES, BOXES[:0], BOXES[:2]])


def test_what_is_found(model: IGPN, queries: EncodedQueries) -> None:
    assert len(queries) == 5
    [scene] = model.encode_scenes(_images(1, (150, 200)))
    found = model.search_encoded(queries, scene)
    assert len(found) == 5
    for one in found:
        assert 0 < len(one.boxes) <= 32
        assert one.boxes.shape == (len(one.similarities), 4)
        assert (one.boxes >= 0).all()
        assert (one.boxes <= torch.tensor([200.001, 150.001] * 2)).all()
        assert one.boxes.max() > 130
        assert ((one.similarities > 0) & (one.similarities < 1)).all()
        assert (one.similarities.diff() <= 0).all()
        assert one.target is not None
        assert 0 < one.target < 1
        assert not one.boxes.requires_grad
    assert not torch.equal(found[0].similarities, found[1].similarities)


def test_what_searching_finds_is_what_training_looks_at(model: IGPN) -> None:
    """The responses of a pair come out the same by the training's way, and by the search's short cuts."""
    [image], patch = _images(1), _targets(0)[0]["query_patch"].float()[None] / 255
    seen: list[Tensor] = []
    handle = model.rpn.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
    with torch.no_grad():
        model([image], _targets(0))
        model.search_encoded(model._encode_patches(patch), model.encode_scenes([image])[0])
    handle.remove()
    torch.testing.assert_close(seen[1], seen[0], rtol=1e-4, atol=1e-5)


def test_a_query_finds_the_same_whatever_others_are_searched(model: IGPN, queries: EncodedQueries) -> None:
    [scene] = model.encode_scenes(_images(1))
    together = model.search_encoded(queries, scene)
    alone = [model.search_encoded(queries.select([i]), scene)[0] for i in range(5)]
    _require_equal(alone, together)
    turned = model.search_encoded(queries.select(torch.tensor([4, 2])), scene)
    _require_equal(turned, [together[4], together[2]])
    parts = EncodedQueries.cat([queries.select(slice(3, 5)), queries.select(slice(0, 1))])
    _require_equal(model.search_encoded(parts, scene), [together[3], together[4], together[0]])
    assert model.search_encoded(queries.select([]), scene) == []


def test_a_query_is_the_same_whatever_others_are_encoded(model: IGPN, queries: EncodedQueries) -> None:
    alone = model.encode_queries(_images(3, seed=3)[2:], [BOXES[1:2]])
    [scene] = model.encode_scenes(_images(1))
    _require_equal(model.search_encoded(alone, scene), model.search_encoded(queries.select([4]), scene))


def test_scenes_do_not_depend_on_others(model: IGPN, queries: EncodedQueries) -> None:
    """Of other sizes, too: padding to a common size would change what the border looks like."""
    images = [*_images(2), *_images(1, (128, 100)), *_images(1, (96, 110)), *_images(1, seed=5)]
    for image, scene in zip(images, model.encode_scenes(images), strict=True):
        [alone] = model.encode_scenes([image])
        assert scene.original_size == tuple(image.shape[1:])
        _require_equal(model.search_encoded(queries, scene), model.search_encoded(queries, alone))


def test_search_makes_pairs_of_one_query_and_all_scenes(model: IGPN) -> None:
    scenes = [*_images(2), *_images(1, (128, 100))]
    image, box = _images(1, seed=4)[0], BOXES[0]
    predictions = model.search((image, box), scenes, names=["a", "b", "c"])
    assert isinstance(predictions, PairwisePredictions)
    assert predictions.scene_names == ["a", "b", "c"]
    assert (predictions.num_queries, predictions.pair_scenes.tolist()) == (1, [0, 1, 2])
    queries = model.encode_queries([image], [box[None]])
    found = [model.search_encoded(queries, scene)[0] for scene in model.encode_scenes(scenes)]
    assert predictions.counts.tolist() == [len(one.boxes) for one in found]
    torch.testing.assert_close(torch.tensor(predictions.boxes), torch.cat([one.boxes for one in found]))
    torch.testing.assert_close(torch.tensor(predictions.similarities), torch.cat([one.similarities for one in found]))
    assert model.search((image, box), scenes[:1]).scene_names == ["0"]
    assert model.search((image, box), []).counts.tolist() == []


def test_a_query_partly_outside_its_image(model: IGPN) -> None:
    """What is outside is black, so that it finds what it would find with the image extended by black."""
    [image] = _images(1, seed=4)
    [scene] = model.encode_scenes(_images(1))
    outside = torch.tensor([[-20.0, 30, 25, 135]])
    extended = torch.nn.functional.pad(image, (20, 0, 0, 40))
    expected = model.encode_queries([extended], [outside + torch.tensor([20.0, 0, 20, 0])])
    _require_equal(
        model.search_encoded(model.encode_queries([image], [outside]), scene), model.search_encoded(expected, scene)
    )
    nowhere = model.encode_queries([image], [torch.tensor([[500.0, 500, 520, 540]])])
    assert model.search_encoded(nowhere, scene)[0].similarities.isfinite().all()


def test_a_scene_in_which_nothing_is_proposed(model: IGPN, queries: EncodedQueries) -> None:
    """Every anchor is moved off the image: no box is found, and the pair is listed as searched in vain."""
    away = _model().eval()
    away.load_state_dict(model.state_dict())
    torch.nn.init.zeros_(away.reg.phi.weight)
    torch.nn.init.ones_(away.reg.phi.bias)
    torch.nn.init.constant_(away.reg.shared_kernel, 10.0)
    found = away.search_encoded(queries, away.encode_scenes(_images(1))[0])
    for one in found:
        assert one.boxes.shape == (0, 4)
        assert one.similarities.shape == (0,)
        torch.testing.assert_close(one.target, away.head.search.bias.softmax(dim=0)[1].detach())
    predictions = away.search((_images(1)[0], BOXES[0]), _images(2))
    assert predictions.counts.tolist() == [0, 0]
    losses = _losses(away, 0, 1)
    assert all(loss.isfinite() for loss in losses.values())
    assert all(loss.isfinite() for loss in _losses(away, 1, 2).values())


def test_one_scene_of_several_in_which_nothing_is_proposed(model: IGPN, queries: EncodedQueries) -> None:
    """Pairs without proposals leave the others as they are."""
    [scene] = model.encode_scenes(_images(1))
    proposals = model.propose(queries, scene)
    expected = model.judge(queries, scene, proposals)
    fewer = [proposals[0], proposals[1][:0], proposals[2][:3], *proposals[3:]]
    found = model.judge(queries, scene, fewer)
    _require_equal([found[0], *found[3:]], [expected[0], *expected[3:]])
    assert [len(found[1].boxes), len(found[2].boxes) <= 3] == [0, True]


def test_similar_boxes_are_suppressed_and_unlike_ones_dropped(model: IGPN, queries: EncodedQueries) -> None:
    from torchvision.ops import box_iou

    images = _images(1)
    for one in model.search_encoded(queries, model.encode_scenes(images)[0]):
        assert box_iou(one.boxes, one.boxes).fill_diagonal_(0).max() <= 0.5
    strict = _model(score_thresh_test=1.0).eval()
    found = strict.search_encoded(queries, strict.encode_scenes(images)[0])
    assert [len(one.boxes) for one in found] == [0] * 5


def test_searching_is_the_same_in_training_mode_and_leaves_it(model: IGPN) -> None:
    training = _model().train()
    query = (_images(1, seed=4)[0], BOXES[0])
    expected, found = model.search(query, _images(2)), training.search(query, _images(2))
    torch.testing.assert_close(torch.tensor(found.similarities), torch.tensor(expected.similarities))
    assert all(module.training for module in training.modules())


def test_searching_in_half_precision_keeps_pixels(model: IGPN, queries: EncodedQueries) -> None:
    [scene] = model.encode_scenes(_images(1))
    with torch.autocast("cpu", torch.bfloat16):
        found = model.search_encoded(model.encode_queries(_images(1), [BOXES[:1]]), model.encode_scenes(_images(1))[0])
    assert found[0].boxes.dtype == found[0].similarities.dtype == torch.float32
    assert (found[0].boxes != found[0].boxes.bfloat16().float()).any(dim=1).float().mean() > 0.5
    assert queries.features.dtype == scene.features.dtype == torch.float32


@pytest.mark.parametrize("call", ["search", "encode_queries", "encode_scenes"])
def test_impossible_images_and_boxes_are_refused(model: IGPN, call: str) -> None:
    bright, box = 255 * _images(1)[0], torch.tensor([50.0, 10, 40, 90])
    calls = {
        "search": [lambda: model.search((_images(1)[0], box), []), lambda: model.search((bright, BOXES[0]), [])],
        "encode_queries": [lambda: model.encode_queries(_images(1), [BOXES] * 2)],
        "encode_scenes": [lambda: model.encode_scenes([bright])],
    }
    for one in calls[call]:
        with pytest.raises(InputError, match=r"expected \[0, 1\]|ends before it begins|given for 1 images"):
            one()
    if call == "encode_scenes":
        with pytest.raises(InputError, match="image 1 of 1x4000 pixels is too narrow"):
            model.encode_scenes([*_images(1), torch.rand(3, 1, 4000)])


def test_queries_are_cut_out_as_in_training(model: IGPN) -> None:
    [image] = _images(1, seed=4)
    patch = query_patch(image, BOXES[0], (96, 32))
    with torch.no_grad():
        expected = model._encode_patches(patch[None])
    torch.testing.assert_close(model.encode_queries([image], [BOXES[:1]]).features, expected.features)


@pytest.fixture
def saved(tmp_path: Path, model: IGPN) -> zoo.ZooModel:
    info = describe(model, "igpn", num_identities=5, dataset="prw", method="mine", fingerprint="abc")
    save_weights(model, tmp_path / "model.safetensors", info)
    return load_weights(tmp_path / "model.safetensors")


def test_weights_come_back(model: IGPN, saved: zoo.ZooModel) -> None:
    assert isinstance(saved, IGPN)
    assert saved.options == model.options
    query = (_images(1, seed=4)[0], BOXES[0])
    expected, found = model.search(query, _images(1)), saved.search(query, _images(1))
    torch.testing.assert_close(torch.tensor(found.similarities), torch.tensor(expected.similarities))
    assert saved.preprocessing()["query_size"] == [96, 32]


def test_queries_move_to_a_device(queries: EncodedQueries) -> None:
    moved = queries.to("meta")
    assert {t.device.type for t in (*moved.sim, *moved.reg, moved.features)} == {"meta"}
