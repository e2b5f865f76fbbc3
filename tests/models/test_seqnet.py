"""SeqNet, against what the original computes from the same weights and images."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from psbench import InputError, zoo
from psbench.zoo import PersonSearcher
from psbench.zoo.official_names import OFFICIAL
from tests.conftest import GOLDENS
from tests.goldens.models.fill import fill

GOLDEN = GOLDENS / "models" / "seqnet"
REFERENCE_UNLABELED = 5555


@pytest.fixture(scope="module")
def case() -> dict:
    return json.loads((GOLDEN / "case.json").read_text())


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "case.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def state_dict(case: dict) -> dict[str, np.ndarray]:
    state = fill(json.loads((GOLDEN / "manifest.json").read_text()), salt=case["salt"], gain=case["gain"])
    for name, change in case["state_overrides"].items():
        state[name] = (
            state[name] * change["multiply"] if "multiply" in change else np.full_like(state[name], change["set"])
        )
    return state


def _image(arrays: dict[str, np.ndarray], i: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.from_numpy(arrays[f"image_{i}"]).permute(2, 0, 1).to(dtype) / 255


@pytest.fixture(scope="module")
def official(case: dict, state_dict: dict[str, np.ndarray]) -> zoo.ZooModel:
    """The model with the golden weights, in evaluation mode and float32."""
    return zoo.load_official("seqnet", state_dict, **case["config_overrides"])


@pytest.mark.parametrize("i", [0, 1])
def test_detections_are_the_originals(official: zoo.ZooModel, arrays: dict[str, np.ndarray], i: int) -> None:
    found = official.detect([_image(arrays, i)])[0]
    np.testing.assert_allclose(found.boxes, arrays[f"det_boxes_{i}"], atol=5e-3)
    np.testing.assert_allclose(found.scores, arrays[f"det_scores_{i}"], atol=1e-4)
    np.testing.assert_allclose(found.embeddings, arrays[f"det_emb_{i}"], atol=1e-4)


@pytest.mark.parametrize("i", [0, 1])
def test_query_embeddings_are_the_originals(official: zoo.ZooModel, arrays: dict[str, np.ndarray], i: int) -> None:
    boxes = torch.from_numpy(arrays[f"boxes_{i}"]).float()
    embedded = official.embed([_image(arrays, i)], [boxes])[0]
    np.testing.assert_allclose(embedded, arrays[f"query_emb_{i}"], atol=1e-4)


@pytest.mark.parametrize("i", [0, 1])
def test_context_of_a_query_is_the_originals(official: zoo.ZooModel, arrays: dict[str, np.ndarray], i: int) -> None:
    box = torch.from_numpy(arrays[f"boxes_{i}"][1:2]).float()
    found = official.detect([_image(arrays, i)], include=[box])[0]
    np.testing.assert_allclose(found.boxes, arrays[f"qg_boxes_{i}"], atol=5e-3)
    np.testing.assert_allclose(found.scores, arrays[f"qg_scores_{i}"], atol=1e-4)
    np.testing.assert_allclose(found.embeddings, arrays[f"qg_emb_{i}"], atol=1e-4)


def test_training_step_is_the_originals(
    case: dict, arrays: dict[str, np.ndarray], state_dict: dict[str, np.ndarray]
) -> None:
    """Losses, identity tables, batch-norm statistics and gradients of one step, in float64."""
    model = zoo.load_official("seqnet", state_dict, **case["config_overrides"]).double().train()
    images = [_image(arrays, i, torch.float64) for i in (0, 1)]
    targets = []
    for i in (0, 1):
        labels = torch.from_numpy(arrays[f"labels_{i}"]).long()
        ids = torch.where(labels == REFERENCE_UNLABELED, -1, labels - 1)
        targets.append({"boxes": torch.from_numpy(arrays[f"boxes_{i}"]).double(), "person_ids": ids})
    losses = model(images, targets)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(case["train"]["losses"], rel=1e-5)

    torch.stack(list(losses.values())).sum().backward()
    state = model.state_dict()
    np.testing.assert_allclose(state["oim.table"][arrays["train_lut_rows"]], arrays["train_lut_after"], atol=1e-5)
    np.testing.assert_allclose(state["oim.queue"][arrays["train_cq_rows"]], arrays["train_cq_after"], atol=1e-5)
    assert state["oim.queue_position"].item() == case["train"]["header_cq"]
    for key, after in arrays.items():
        if key.startswith("train_bn_after:"):
            ours = OFFICIAL["seqnet"].ours(key.removeprefix("train_bn_after:"))
            np.testing.assert_allclose(state[ours], after, atol=1e-5)
    gradients = {name: p.grad for name, p in model.named_parameters()}
    for official, norm in zip(case["grad_names"], arrays["train_grad_norms"], strict=True):
        gradient = gradients[OFFICIAL["seqnet"].ours(official)]
        # Biases in front of a batch norm have no gradient; what is stored for them is rounding.
        slack = 1e-6 * case["train"]["total_grad_norm"]
        assert gradient is not None
        assert gradient.norm().item() == pytest.approx(norm, rel=1e-4, abs=slack)


def test_parameters_are_counted_as_in_the_original() -> None:
    model = zoo.create("seqnet", num_identities=5532)
    assert sum(p.numel() for p in model.parameters()) == 48_418_735
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 48_409_199


def test_older_files_and_wrappers_load(case: dict, state_dict: dict[str, np.ndarray]) -> None:
    older = {name.replace("rpn.head.conv.0.0.", "rpn.head.conv."): value for name, value in state_dict.items()}
    model = zoo.load_official("seqnet", {"model": older, "epoch": 17}, min_size=300)
    assert model.options.min_size == 300
    assert len(model.oim.table) == 5532


def test_options_of_other_models_are_ignored_and_mistyped_ones_refused(state_dict: dict[str, np.ndarray]) -> None:
    with pytest.raises(InputError, match="Did you mean 'weight_by_score'"):
        zoo.load_official("seqnet", state_dict, weigth_by_score=False)
    with pytest.raises(InputError, match="is a list"):
        zoo.load_official("seqnet", [1, 2])  # type: ignore[arg-type]


def test_weights_of_something_else_are_refused(state_dict: dict[str, np.ndarray]) -> None:
    with pytest.raises(InputError, match="Is it of another model"):
        zoo.load_official("seqnet", {"conv1.weight": np.zeros(3)})
    altered = {k: v for k, v in state_dict.items() if not k.startswith("backbone.bn1")} | {"extra": np.zeros(1)}
    altered["roi_heads.faster_rcnn_predictor.cls_score.bias"] = np.zeros(5, np.float32)
    with pytest.raises(InputError) as error:
        zoo.load_official("seqnet", altered)
    for words in ("no weights for 'backbone.bn1.weight'", "'extra'", "shape (5,), expected (2,)"):
        assert words in str(error.value)


SMALL = {
    "backbone": "test_resnet",
    "freeze_stem": False,
    "min_size": 96,
    "max_size": 128,
    "anchor_sizes": (32, 64),
    "roi_size": 7,
    "rpn_post_nms_top_n_test": 20,
    "roi_batch_size_per_image": 16,
    "oim_queue_size": 10,
}


@pytest.fixture
def small() -> zoo.ZooModel:
    torch.manual_seed(0)
    return zoo.create("seqnet", num_identities=5, **SMALL)


def test_small_model_satisfies_the_interface(small: zoo.ZooModel) -> None:
    assert isinstance(small, PersonSearcher)


def test_images_of_any_size_and_number(small: zoo.ZooModel) -> None:
    images = [torch.rand(3, 96, 128), torch.rand(3, 150, 80)]
    boxes = [torch.tensor([[5.0, 5, 40, 90], [50, 10, 90, 80]]), torch.zeros(0, 4)]
    embedded = small.eval().embed(images, boxes)
    assert [tuple(e.shape) for e in embedded] == [(2, 256), (0, 256)]
    torch.testing.assert_close(embedded[0].norm(dim=1), torch.ones(2))
    for found, image in zip(small.detect(images), images, strict=True):
        n = len(found.scores)
        assert found.boxes.shape == (n, 4)
        assert found.embeddings.shape == (n, 256)
        assert (found.boxes >= 0).all()
        assert (found.boxes[:, 2] <= image.shape[2] + 1e-3).all()
        assert (found.scores.diff() <= 0).all()


def test_scene_without_people_or_labels_trains(small: zoo.ZooModel) -> None:
    """Users' NaN: a batch without a labelled person. Every loss must stay finite and connected."""
    images = [torch.rand(3, 96, 128), torch.rand(3, 96, 128)]
    nobody = {"boxes": torch.zeros(0, 4), "person_ids": torch.zeros(0, dtype=torch.int64)}
    stranger = {"boxes": torch.tensor([[10.0, 10, 50, 90]]), "person_ids": torch.tensor([-1])}
    losses = small(images, [nobody, stranger])
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["loss_box_reid"] == 0
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in small.parameters())


def test_unknown_names_are_answered_with_near_ones() -> None:
    with pytest.raises(InputError, match="Did you mean 'seqnet'"):
        zoo.create("SeqNet".lower() + "s", num_identities=1)
    with pytest.raises(InputError, match="Did you mean 'min_size'"):
        zoo.create("seqnet", num_identities=1, minsize=600)
    with pytest.raises(InputError) as error:
        zoo.create("seqnet", num_identities=1, min_size="big", roi_size=0, anchor_sizes=32)
    assert len(error.value.faults) == 3
    with pytest.raises(InputError, match="not a ResNet"):
        zoo.create("seqnet", num_identities=1, backbone="vit_tiny_patch16_224")
    with pytest.raises(InputError, match="no backbone called"):
        zoo.create("seqnet", num_identities=1, backbone="resnet5000")
