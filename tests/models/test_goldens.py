"""The two-stage models against what the originals compute from the same weights and images."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from psbench.zoo.layers.c4 import C4Searcher
from tests.models.golden import Golden

MODELS = ["nae", "nae_plus", "seqnet", "glcnet", "glcnet_2026"]
WITH_CONTEXT = {"seqnet", "glcnet", "glcnet_2026"}
"""Those whose original can take a query's scene for a gallery."""
LOSS_WEIGHTS: dict[str, dict[str, float]] = {"nae": {"loss_box_reg": 10}, "nae_plus": {"loss_box_reg": 10}}
"""Where the original applies them outside the model."""
IN_FLOAT32: set[str] = {"glcnet_2026"}
"""Those whose original cannot train in float64: its numbers are less exact there, see the goldens' tolerances."""


@pytest.fixture(scope="module", params=MODELS)
def golden(request: pytest.FixtureRequest) -> Iterator[Golden]:
    return Golden(request.param)


@pytest.fixture(scope="module")
def model(golden: Golden) -> C4Searcher:
    """With the golden weights, in evaluation mode and float32."""
    model = golden.model()
    assert isinstance(model, C4Searcher)
    return model


@pytest.mark.parametrize("i", [0, 1])
@torch.no_grad()
def test_map_and_proposals(golden: Golden, model: C4Searcher, i: int) -> None:
    arrays = golden.arrays
    encoded = model.encode([golden.image(i)])
    features = encoded.features[0]
    np.testing.assert_allclose(features.mean(dim=(1, 2)), arrays[f"feat_mean_{i}"], atol=1e-4)
    np.testing.assert_allclose(features.std(dim=(1, 2), correction=0), arrays[f"feat_std_{i}"], atol=1e-4)
    np.testing.assert_allclose(features[::64], arrays[f"feat_sub_{i}"], atol=1e-4)
    [objectness], [deltas] = model.rpn.head([encoded.features])
    np.testing.assert_allclose(objectness[0], arrays[f"rpn_obj_{i}"], atol=1e-4)
    np.testing.assert_allclose(deltas[0, :, ::3, ::3], arrays[f"rpn_delta_{i}"], atol=1e-4)
    np.testing.assert_allclose(model.propose(encoded)[0][0], arrays[f"proposals_{i}"], atol=5e-3)


@pytest.mark.parametrize("i", [0, 1])
def test_detections(golden: Golden, model: C4Searcher, i: int) -> None:
    found = model.detect([golden.image(i)])[0]
    np.testing.assert_allclose(found.boxes, golden.arrays[f"det_boxes_{i}"], atol=5e-3)
    np.testing.assert_allclose(found.scores, golden.arrays[f"det_scores_{i}"], atol=1e-4)
    np.testing.assert_allclose(found.embeddings, golden.arrays[f"det_emb_{i}"], atol=1e-4)


@pytest.mark.parametrize("i", [0, 1])
def test_query_embeddings(golden: Golden, model: C4Searcher, i: int) -> None:
    embedded = model.embed([golden.image(i)], [golden.boxes(i)])[0]
    np.testing.assert_allclose(embedded, golden.arrays[f"query_emb_{i}"], atol=1e-4)


@pytest.mark.parametrize("i", [0, 1])
def test_context_of_a_query(golden: Golden, model: C4Searcher, i: int) -> None:
    if golden.name not in WITH_CONTEXT:
        pytest.skip("the original has nothing of the kind")
    found = model.detect([golden.image(i)], include=[golden.boxes(i)[1:2]])[0]
    np.testing.assert_allclose(found.boxes, golden.arrays[f"qg_boxes_{i}"], atol=5e-3)
    np.testing.assert_allclose(found.scores, golden.arrays[f"qg_scores_{i}"], atol=1e-4)
    np.testing.assert_allclose(found.embeddings, golden.arrays[f"qg_emb_{i}"], atol=1e-4)


def test_training_step(golden: Golden) -> None:
    """Losses, identity tables, batch-norm statistics and gradients of one step."""
    train, arrays = golden.case["train"], golden.arrays
    exact = golden.name not in IN_FLOAT32
    dtype = torch.float64 if exact else torch.float32
    model = golden.model().to(dtype).train()
    losses = model([golden.image(i, dtype) for i in (0, 1)], [golden.target(i, dtype) for i in (0, 1)])
    weights = LOSS_WEIGHTS.get(golden.name, {})
    expected = {name: value * weights.get(name, 1) for name, value in train["losses"].items()}
    found = {name: loss.item() for name, loss in losses.items()}
    assert found == pytest.approx(expected, rel=1e-5 if exact else 1e-3)

    torch.stack(list(losses.values())).sum().backward()
    state, atol = model.state_dict(), 1e-5 if exact else 1e-2
    np.testing.assert_allclose(state["oim.table"][arrays["train_lut_rows"]], arrays["train_lut_after"], atol=atol)
    np.testing.assert_allclose(state["oim.queue"][arrays["train_cq_rows"]], arrays["train_cq_after"], atol=atol)
    assert state["oim.queue_position"].item() == train["header_cq"]
    gradients = {name: p.grad for name, p in model.named_parameters()}
    norms = {official: gradients.get(golden.ours(official)) for official in golden.case["grad_names"]}
    total = torch.stack([g.norm() for g in norms.values() if g is not None]).norm().item()
    assert total == pytest.approx(train["total_grad_norm"], rel=1e-4 if exact else 2e-2)
    if not exact:
        return
    for key, after in arrays.items():
        if key.startswith("train_bn_after:"):
            np.testing.assert_allclose(state[golden.ours(key.removeprefix("train_bn_after:"))], after, atol=1e-5)
    for (official, gradient), norm in zip(norms.items(), arrays["train_grad_norms"], strict=True):
        if norm < 0:
            assert gradient is None, official
            continue
        # Biases in front of a batch norm have no gradient; what is stored for them is rounding.
        slack = 1e-6 * train["total_grad_norm"]
        assert gradient is not None
        assert gradient.norm().item() == pytest.approx(norm, rel=1e-4, abs=slack), official


def test_parameters_are_counted_as_in_the_original(golden: Golden) -> None:
    model, counts = golden.model(), golden.case["parameters"]
    assert sum(p.numel() for p in model.parameters()) == counts["parameters_total"]
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trainable == counts["parameters_trainable"]
