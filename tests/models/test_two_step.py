"""Two-step search: a detector's boxes, a re-ID network's embeddings; what is predicted with both."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from psbench import InputError, zoo
from psbench.inference import predict, predict_into
from psbench.inference.sharing import model_digest
from psbench.zoo.cost import cost
from psbench.zoo.two_step import TwoStep, two_step
from psbench_data import PersonSearchDataset
from tests.models.looks import Looks
from tests.models.small import SMALL


def _make(name: str, seed: int = 0, **options: object) -> zoo.ZooModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return zoo.create(name, num_identities=3, **SMALL[name] | options)


def _detector(seed: int = 0, **options: object) -> zoo.ZooModel:
    """Its own embeddings are weighted by scores; every box comes out."""
    return _make("seqnet", seed, score_thresh_test=0.0, rpn_post_nms_top_n_test=8, **options)


def _images() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(3, 96, 128, generator=generator) for _ in range(2)]


@pytest.mark.parametrize("name", ["reid_resnet50", "reid_pcb"])
@pytest.mark.parametrize("known", [False, True], ids=["plain", "with known boxes"])
def test_boxes_are_the_detectors_and_embeddings_the_networks(name: str, known: bool) -> None:
    detector, reid = _detector(), _make(name)
    images = _images()
    include = [torch.tensor([[10.0, 10, 50, 90]]), torch.zeros(0, 4)] if known else None
    found = two_step(detector, reid).detect(images, include)
    plain = detector.detect(images, include)
    embeddings = reid.embed(images, [one.boxes for one in plain])
    assert sum(len(one.boxes) for one in plain) > 4
    for one, other, rows in zip(found, plain, embeddings, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes, rtol=0, atol=0)
        torch.testing.assert_close(one.scores, other.scores, rtol=0, atol=0)
        torch.testing.assert_close(one.embeddings, rows)
        # Scores have no say.
        torch.testing.assert_close(one.embeddings.norm(dim=1), torch.ones(len(rows)))


def test_queries_are_embedded_by_the_network_alone() -> None:
    detector, reid = _detector(), _make("reid_pcb")
    boxes = [torch.tensor([[10.0, 10, 50, 90]]), torch.tensor([[60.0, 10, 90, 90], [20.0, 5, 60, 80]])]
    torch.testing.assert_close(two_step(detector, reid).embed(_images(), boxes), reid.embed(_images(), boxes))


def test_it_is_as_in_training_mode_and_says_what_it_is() -> None:
    model = two_step(_detector(), _make("reid_pcb"))
    expected = model.eval().detect(_images())
    found = model.train().detect(_images())
    assert model.training
    assert model.detector.training
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.embeddings, other.embeddings)
    assert isinstance(model, zoo.PersonSearcher)
    assert model.preprocessing()["reid"]["crop"] == [64, 48]
    with pytest.raises(InputError, match="Train the detector, and the re-ID network"):
        model(_images(), [])


def test_costs_add_up() -> None:
    detector, reid = _detector(), _make("reid_pcb")
    both, first, second = (cost(m, 96, 128, rois=8, people=5) for m in (two_step(detector, reid), detector, reid))
    assert both.gmac == pytest.approx(first.gmac + second.gmac)
    assert both.parameters == first.parameters + second.parameters
    assert second.gmac == pytest.approx(5 * second.per("person"))


def test_it_predicts(world: PersonSearchDataset) -> None:
    reid = _make("reid_resnet50")
    found = predict(two_step(Looks(), reid), world, protocols=["gallery-50"], context=True, progress=False)
    plain = predict(Looks(), world, protocols=["gallery-50"], context=True, progress=False)
    np.testing.assert_array_equal(found.boxes, plain.boxes)
    np.testing.assert_array_equal(found.scores, plain.scores)
    assert found.embeddings.shape[1] == found.query_embeddings.shape[1] == 16
    truth = predict(reid, world, protocols=["gallery-50"], ground_truth_boxes=True, progress=False)
    np.testing.assert_allclose(found.query_embeddings, truth.query_embeddings, atol=1e-6)
    assert found.context is not None
    np.testing.assert_allclose(found.context.embeddings[found.context.offsets[:-1]], found.query_embeddings, atol=1e-5)


def test_a_network_alone_does_not_detect(world: PersonSearchDataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ReIDPCB .*detect.*psbench.zoo.two_step"):
        predict_into(_make("reid_pcb"), world, tmp_path / "predictions")
    assert not (tmp_path / "predictions").exists()


def test_both_parts_decide_whether_a_prediction_is_continued(world: PersonSearchDataset, tmp_path: Path) -> None:
    dying, reid = Looks(dies_after=20), _make("reid_pcb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("psbench.inference.work.PIECE_ROWS", 7)
        with pytest.raises(RuntimeError, match="out of memory"):
            predict_into(two_step(dying, reid), world, tmp_path / "predictions", progress=False)
        with pytest.raises(InputError, match=r"beginning of other predictions \(model differ\)"):
            predict_into(two_step(Looks(), _make("reid_pcb", 1)), world, tmp_path / "predictions", progress=False)
        predict_into(two_step(Looks(), _make("reid_pcb")), world, tmp_path / "predictions", progress=False)


def test_digest_is_of_all_that_results_depend_on() -> None:
    digests = {
        model_digest(two_step(detector, reid))
        for detector, reid in (
            (_detector(), _make("reid_pcb")),
            (_detector(1), _make("reid_pcb")),
            (_detector(nms_thresh_test=0.3), _make("reid_pcb")),
            (_detector(), _make("reid_pcb", 1)),
            (_detector(), _make("reid_pcb", embedding="reduced")),
            (_detector(), _make("reid_resnet50")),
        )
    }
    assert len(digests) == 6
    # What only training needs.
    changed = two_step(_detector(), _make("reid_pcb"))
    for name, value in changed.state_dict().items():
        if name.startswith(("detector.oim.", "reid.classifiers.")):
            value.zero_()
    assert model_digest(changed) in digests


def test_parts_that_cannot_do_their_part_are_refused() -> None:
    with pytest.raises(InputError) as error:
        two_step(_make("reid_pcb"), nn.Linear(2, 2))
    assert [fault.split(",")[0] for fault in error.value.faults] == [
        "ReIDPCB does not detect",
        "Linear does not embed",
    ]
    assert isinstance(two_step(_detector(), _detector()), TwoStep)
