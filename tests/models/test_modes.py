"""What holds for every model whatever mode it is in, and for what is given in other types than usual."""

import pytest
import torch
from torch import Tensor

from psbench import InputError, zoo
from psbench.zoo.layers.c4 import C4Searcher
from tests.models.small import JOINT, SMALL

BOXES = [[10.0, 10, 50, 90], [60.0, 10, 90, 90], [20.0, 5, 60, 80]]


@pytest.fixture(params=JOINT)
def model(request: pytest.FixtureRequest) -> zoo.ZooModel:
    torch.manual_seed(0)
    options = SMALL[request.param] | {"score_thresh_test": 0.0}
    return zoo.create(request.param, num_identities=5, **options)


def _batch(dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    generator = torch.Generator().manual_seed(1)
    images = [torch.rand(3, 96, 128, generator=generator).to(dtype) for _ in range(2)]
    boxes = torch.tensor(BOXES, dtype=dtype)
    return images, [{"boxes": boxes, "person_ids": torch.tensor([0, 3, -1])} for _ in range(2)]


def _state(model: zoo.ZooModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_losses_in_evaluation_mode_change_nothing(model: zoo.ZooModel) -> None:
    images, targets = _batch()
    names = set(model(images, targets))
    before = _state(model.eval())
    losses = model(images, targets)
    assert set(losses) == names
    assert all(loss.isfinite() for loss in losses.values())
    torch.testing.assert_close(_state(model), before, rtol=0, atol=0)


def test_detecting_and_embedding_are_the_same_in_training_mode(model: zoo.ZooModel) -> None:
    images, targets = _batch()
    boxes = [target["boxes"] for target in targets]
    expected = model.eval().detect(images), model.embed(images, boxes), model.detect(images, include=boxes)
    modes = {name: module.training for name, module in model.train().named_modules()}
    before = _state(model)
    found = model.detect(images), model.embed(images, boxes), model.detect(images, include=boxes)
    for one, other in zip((*expected[0], *expected[2]), (*found[0], *found[2]), strict=True):
        torch.testing.assert_close(one.boxes, other.boxes)
        torch.testing.assert_close(one.embeddings, other.embeddings)
    torch.testing.assert_close(expected[1], found[1])
    torch.testing.assert_close(_state(model), before, rtol=0, atol=0)
    assert {name: module.training for name, module in model.named_modules()} == modes


def test_numbers_of_another_precision_are_taken(model: zoo.ZooModel) -> None:
    images, targets = _batch()
    boxes = [target["boxes"] for target in targets]
    precise, precise_targets = _batch(torch.float64)
    precise_boxes = [target["boxes"] for target in precise_targets]
    model.eval()
    torch.testing.assert_close(model.embed(precise, precise_boxes), model.embed(images, boxes))
    for one, other in zip(
        model.detect(precise, include=precise_boxes), model.detect(images, include=boxes), strict=True
    ):
        torch.testing.assert_close(one.boxes, other.boxes)
    model.detect([image.half() for image in images])
    assert all(loss.isfinite() for loss in model.train()(precise, precise_targets).values())


def test_identity_tables_keep_their_digits(model: zoo.ZooModel) -> None:
    tables = {name for name, value in model.state_dict().items() if name in ("oim.table", "oim.queue")}
    assert len(tables) == 2
    assert all(model.bfloat16().state_dict()[name].dtype == torch.float32 for name in tables)
    assert all(model.double().state_dict()[name].dtype == torch.float64 for name in tables)


def test_the_first_image_does_not_decide_how_later_ones_are_pooled(model: zoo.ZooModel) -> None:
    images, targets = _batch()
    boxes = [target["boxes"] for target in targets]
    expected = model.eval().embed(images, boxes)
    again = zoo.create(_name(model), num_identities=5, **SMALL[_name(model)] | {"score_thresh_test": 0.0})
    again.load_state_dict(model.state_dict())
    again.eval().embed([torch.rand(3, 40, 128)], [torch.tensor([[5.0, 5, 60, 38]])])
    torch.testing.assert_close(again.embed(images, boxes), expected)


def _name(model: zoo.ZooModel) -> str:
    return next(name for name in JOINT if type(model) is zoo.model_class(name))


def test_an_image_of_which_nothing_would_remain_is_refused(model: zoo.ZooModel) -> None:
    if not isinstance(model, C4Searcher):
        pytest.skip("its images are not padded")
    with pytest.raises(InputError, match="image 1 of 1x4000 pixels is too narrow"):
        model.eval().detect([torch.rand(3, 96, 128), torch.rand(3, 1, 4000)])


@pytest.mark.parametrize("value", [True, 2.5, 0, "5"])
def test_num_identities_is_a_whole_number(value: object) -> None:
    with pytest.raises(InputError, match="expected a whole number from 1"):
        zoo.create("nae", num_identities=value, **SMALL["nae"])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["oim", "nae", "nae_plus", "seqnet"])
@pytest.mark.parametrize("options", [{"roi_bg_iou_thresh": 0.9}, {"roi_batch_size_per_image": 1}])
def test_impossible_samplers_are_refused(name: str, options: dict) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        zoo.create(name, num_identities=5, **SMALL[name] | options)
