"""The 2017 OIM network against the released port, and what users do with it."""

import numpy as np
import pytest
import torch
from torch import Tensor

from psbench import zoo
from psbench.zoo import PersonSearcher
from psbench.zoo.oim_caffe import OIMCaffe
from tests.models.golden import Golden
from tests.models.small import SMALL


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("oim")


@pytest.fixture(scope="module")
def model(golden: Golden) -> OIMCaffe:
    """With the golden weights, in evaluation mode and float32."""
    model = golden.model()
    assert isinstance(model, OIMCaffe)
    return model


@pytest.mark.parametrize("i", [0, 1])
@torch.no_grad()
def test_input_map_and_proposals(golden: Golden, model: OIMCaffe, i: int) -> None:
    arrays, image = golden.arrays, golden.image(i)
    prepared, scale = model.prepare(image)
    assert scale == arrays[f"scale_{i}"]
    np.testing.assert_allclose(prepared[0, :, ::10, ::10], arrays[f"input_sub_{i}"], atol=1e-4)
    encoded = model.encode(image)
    features = encoded.features[0]
    np.testing.assert_allclose(features.mean(dim=(1, 2)), arrays[f"feat_mean_{i}"], atol=1e-4)
    np.testing.assert_allclose(features.std(dim=(1, 2), correction=0), arrays[f"feat_std_{i}"], atol=1e-4)
    np.testing.assert_allclose(features[::64], arrays[f"feat_sub_{i}"], atol=1e-4)
    [logits], [deltas] = model.rpn.maps(encoded.features)
    np.testing.assert_allclose(logits, arrays[f"rpn_cls_{i}"], atol=1e-4)
    np.testing.assert_allclose(deltas[:, ::3, ::3], arrays[f"rpn_delta_{i}"], atol=1e-4)
    proposals = model.rpn.propose(*model.rpn(encoded.features), encoded.size, encoded.scale)
    np.testing.assert_allclose(proposals, arrays[f"roi_proposals_{i}"][:, 1:], atol=5e-3)


@pytest.mark.parametrize("i", [0, 1])
@torch.no_grad()
def test_head_on_the_originals_proposals(golden: Golden, model: OIMCaffe, i: int) -> None:
    proposals = torch.from_numpy(golden.arrays[f"roi_proposals_{i}"][:, 1:])
    score, deltas, features = model.roi_outputs(model.encode(golden.image(i)), proposals)
    np.testing.assert_allclose(score.softmax(dim=1), golden.arrays[f"roi_probs_{i}"], atol=1e-4)
    np.testing.assert_allclose(deltas, golden.arrays[f"roi_deltas_{i}"], atol=1e-4)
    np.testing.assert_allclose(features, golden.arrays[f"roi_features_{i}"], atol=1e-4)


@pytest.mark.parametrize("i", [0, 1])
def test_detections_and_query_embeddings(golden: Golden, model: OIMCaffe, i: int) -> None:
    found = model.detect([golden.image(i)])[0]
    np.testing.assert_allclose(found.boxes, golden.arrays[f"det_boxes_{i}"], atol=5e-3)
    np.testing.assert_allclose(found.scores, golden.arrays[f"det_scores_{i}"], atol=1e-4)
    np.testing.assert_allclose(found.embeddings, golden.arrays[f"det_emb_{i}"], atol=1e-4)
    embedded = model.embed([golden.image(i)], [golden.boxes(i)])[0]
    np.testing.assert_allclose(embedded, golden.arrays[f"query_emb_{i}"], atol=1e-4)


def test_training_step(golden: Golden) -> None:
    """Losses of each image, RoIs, tables, batch-norm statistics and gradients of one step on two images."""
    case, arrays = golden.case["train"], golden.arrays
    model = golden.model().double().train()
    assert isinstance(model, OIMCaffe)
    rois: list[Tensor] = []
    model.roi_pool.register_forward_pre_hook(lambda module, inputs: rois.append(inputs[1][0]))
    labels: list[Tensor] = []
    model.oim.register_forward_pre_hook(lambda module, inputs: labels.append(inputs[1]))
    images, targets = ([f(i, torch.float64) for i in (0, 1)] for f in (golden.image, golden.target))
    losses = model(images, targets)
    expected = {name: np.mean([of_image[name] for of_image in case["losses"]]) for name in case["losses"][0]}
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-5)
    total = torch.stack(list(losses.values())).sum()
    assert total.item() == pytest.approx(case["total"], rel=1e-5)
    for i in (0, 1):
        np.testing.assert_allclose(rois[i], arrays[f"train_rois_{i}"][:, 1:], atol=1e-3)
        of_people = arrays[f"train_pid_labels_{i}"]
        np.testing.assert_array_equal(labels[i], of_people[of_people > -2])

    total.backward()
    state = model.state_dict()
    np.testing.assert_allclose(state["oim.table"][arrays["train_lut_rows"]], arrays["train_lut_after"], atol=1e-5)
    np.testing.assert_allclose(state["oim.queue"][arrays["train_cq_rows"]], arrays["train_cq_after"], atol=1e-5)
    assert state["oim.queue_position"].item() == case["tail_after"]
    for key, after in arrays.items():
        if key.startswith("train_bn_after:"):
            np.testing.assert_allclose(state[golden.ours(key.removeprefix("train_bn_after:"))], after, atol=1e-5)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    norms = {official: gradients.pop(golden.ours(official)).norm().item() for official in golden.case["grad_names"]}
    assert not gradients
    assert np.linalg.norm(list(norms.values())) == pytest.approx(case["total_grad_norm"], rel=1e-4)
    # Biases in front of a batch norm have no gradient; what is stored for them is rounding.
    slack = 1e-6 * case["total_grad_norm"]
    for (official, norm), reference in zip(norms.items(), arrays["train_grad_norms"], strict=True):
        assert norm == pytest.approx(reference, rel=1e-4, abs=slack), official


def test_parameters_are_counted_as_in_the_original(golden: Golden, model: OIMCaffe) -> None:
    counts = golden.case["parameters"]
    assert sum(p.numel() for p in model.parameters()) == counts["parameters_total"] == 28_818_752
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == counts["parameters_trainable"]
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {golden.ours(official) for official in counts["frozen"]}
    assert len(model.state_dict()) == counts["state_dict_entries"]
    for official, count in counts["parameters_by_module"].items():
        module = model.get_submodule(golden.ours(f"{official}.").removesuffix("."))
        assert sum(p.numel() for p in module.parameters()) == count, official


PEOPLE = [torch.tensor([[10.0, 10, 50, 90], [60, 5, 110, 80]]), torch.tensor([[30.0, 20, 70, 95]])]


def _small(**options: object) -> OIMCaffe:
    torch.manual_seed(0)
    model = zoo.create("oim_caffe", num_identities=5, **SMALL["oim_caffe"] | {"width": 4} | options)
    assert isinstance(model, OIMCaffe)
    return model


def _targets(*ids: list[int]) -> list[dict[str, Tensor]]:
    return [{"boxes": boxes, "person_ids": torch.tensor(of)} for boxes, of in zip(PEOPLE, ids, strict=True)]


def test_small_model_satisfies_the_interface() -> None:
    assert isinstance(_small(), PersonSearcher)


def test_images_of_any_size_and_number() -> None:
    model = _small(score_thresh_test=0.0).eval()
    images = [torch.rand(3, 96, 128), torch.rand(3, 150, 80), torch.rand(3, 400, 210)]
    boxes = [PEOPLE[0], torch.zeros(0, 4), PEOPLE[1]]
    embedded = model.embed(images, boxes)
    assert [tuple(e.shape) for e in embedded] == [(2, 256), (0, 256), (1, 256)]
    torch.testing.assert_close(embedded[0].norm(dim=1), torch.ones(2))
    together = model.detect(images)
    for found, image in zip(together, images, strict=True):
        n = len(found.scores)
        assert n > 0
        assert found.boxes.shape == (n, 4)
        assert found.embeddings.shape == (n, 256)
        assert (found.boxes >= 0).all()
        assert (found.boxes[:, 2] <= image.shape[2] - 1).all()
        assert (found.boxes[:, 3] <= image.shape[1] - 1).all()
        assert (found.scores.diff() <= 0).all()
        alone = model.detect([image])[0]
        assert torch.equal(alone.boxes, found.boxes)


def test_known_boxes_come_first_as_they_are() -> None:
    model = _small(score_thresh_test=0.0).eval()
    images = [torch.rand(3, 96, 128), torch.rand(3, 300, 200)]
    known = [PEOPLE[0], PEOPLE[1][:0]]
    for found, boxes, plain, embedded in zip(
        model.detect(images, include=known), known, model.detect(images), model.embed(images, known), strict=True
    ):
        k = len(boxes)
        assert torch.equal(found.boxes[:k], boxes)
        assert (found.scores[:k] == 1).all()
        torch.testing.assert_close(found.embeddings[:k], embedded)
        others = {tuple(box) for box in found.boxes[k:].tolist()}
        assert others
        assert k or others == {tuple(box) for box in plain.boxes.tolist()}


def test_nobody_at_all() -> None:
    """No proposal is certain enough, or none is large enough: nothing is found, and training goes on."""
    image, nobody = torch.rand(3, 96, 128), {"boxes": torch.zeros(0, 4), "person_ids": torch.zeros(0).long()}
    assert _small(score_thresh_test=1.0).eval().detect([image])[0].embeddings.shape == (0, 256)
    model = _small()
    # Proposals shrink to nothing.
    model.rpn.deltas.bias.data.copy_(torch.tensor([0.0, 0, -9, -9]).repeat(model.rpn.num_anchors))
    assert len(model.eval().detect([image])[0].boxes) == 0
    losses = model.train()([image], [nobody])
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["loss_cls"] == losses["loss_bbox"] == losses["loss_oim"] == 0
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("ids", [([-1, -1], [-1]), ([2, 0], [-1])])
def test_images_without_labelled_people_train(ids: tuple[list[int], list[int]]) -> None:
    losses = _small()([torch.rand(3, 96, 128)] * 2, _targets(*ids))
    assert all(loss.isfinite() for loss in losses.values())
    assert (losses["loss_oim"] == 0) == (max(ids[0]) < 0)
    torch.stack(list(losses.values())).sum().backward()


def test_a_batch_is_its_images_one_after_the_other() -> None:
    """As where gradients of single images are accumulated: same losses, tables and batch-norm statistics."""
    everything = {"roi_batch_size_per_image": 4000, "rpn_batch_size_per_image": 100_000}
    together, apart = _small(**everything), _small(**everything)
    images, targets = [torch.rand(3, 96, 128), torch.rand(3, 120, 90)], _targets([1, -1], [1])
    losses = together(images, targets)
    singles = [apart([image], [target]) for image, target in zip(images, targets, strict=True)]
    for name, loss in losses.items():
        torch.testing.assert_close(loss, (singles[0][name] + singles[1][name]) / 2)
    assert losses["loss_oim"] > 0
    torch.testing.assert_close(dict(together.state_dict()), dict(apart.state_dict()))


def test_training_leaves_the_backbones_batch_norm_alone() -> None:
    model = _small(freeze_stem=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.001, weight_decay=5e-4)
    torch.stack(list(model([torch.rand(3, 96, 128)] * 2, _targets([0, 1], [2])).values())).sum().backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if name.startswith("backbone.") and ".bn" in name}
    assert not {name for name in changed if name.startswith(("backbone.conv1.", "backbone.bn1."))}
    assert {"head.res4.0.bn1.running_mean", "head.res5.2.bn3.weight", "backbone.res2.0.conv1.weight"} <= changed
    assert _small().backbone.conv1.weight.requires_grad


def test_twenty_steps_stay_finite() -> None:
    model = _small()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.001, momentum=0.9)
    for _ in range(20):
        losses = model([torch.rand(3, 96, 128), torch.rand(3, 140, 100)], _targets([0, -1], [3]))
        total = torch.stack(list(losses.values())).sum()
        assert total.isfinite()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert all(value.isfinite().all() for value in model.state_dict().values())
    torch.testing.assert_close(model.oim.table[[0, 3]].norm(dim=1), torch.ones(2))


def test_boxes_and_losses_are_exact_under_autocast() -> None:
    model = _small(score_thresh_test=0.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model([torch.rand(3, 96, 128)] * 2, _targets([0, 1], [2]))
        found = model.eval().detect([torch.rand(3, 96, 128)])[0]
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert {found.boxes.dtype, found.scores.dtype, found.embeddings.dtype} == {torch.float32}
    torch.testing.assert_close(found.embeddings.norm(dim=1), torch.ones(len(found.scores)))
