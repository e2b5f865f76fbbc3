"""What a model is given: every fault is named, all at once, and real annotations pass."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from psbench import InputError, zoo
from psbench.zoo.inputs import check_boxes, check_inputs
from tests.models.small import JOINT, SMALL

GOOD = [10.0, 10.0, 50.0, 90.0]
NAN = float("nan")


def _images(n: int = 2) -> list[Tensor]:
    return [torch.rand(3, 96, 128) for _ in range(n)]


def _target(*boxes: list[float], ids: list[int] | None = None) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "person_ids": torch.tensor([-1] * len(boxes) if ids is None else ids, dtype=torch.int64),
    }


def _faults(images: list, targets: list | None) -> list[str]:
    with pytest.raises(InputError) as error:
        check_inputs(images, targets, num_identities=5)
    return error.value.faults


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([50.0, 10, 50, 90], "has no area"),
        ([50.0, 90, 60, 10], "has no area"),
        ([NAN, 10, 50, 90], "not finite"),
        ([10.0, 10, float("inf"), 90], "not finite"),
        ([200.0, 10, 250, 90], "mostly outside"),
        ([-90.0, 10, -1, 90], "mostly outside"),
        ([10.0, 10, 1000, 900], "mostly outside"),
    ],
)
def test_impossible_boxes(box: list[float], words: str) -> None:
    [fault] = _faults(_images(), [_target(GOOD), _target(GOOD, GOOD, box)])
    assert fault.startswith("image 1, box 2, ")
    assert words in fault


def test_published_boxes_pass() -> None:
    """PRW's boxes run over the border of the frame by up to nine pixels; one in MATLAB's numbers ends one beyond."""
    check_inputs(
        _images(),
        [_target([-1.0, -1, 30, 97], [60, 10, 137, 90], ids=[0, 4]), _target()],
        num_identities=5,
    )


def test_identities_out_of_range() -> None:
    below, beyond = _faults(_images(), [_target(GOOD, ids=[-2]), _target(GOOD, GOOD, ids=[4, 5])])
    assert below.startswith("image 0, box 0, ")
    assert "person -2" in below
    assert beyond.startswith("image 1, box 1, ")
    assert "num_identities=5" in beyond
    check_inputs(_images(1), [_target(GOOD, ids=[5])], num_identities=None)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.rand(1, 96, 128), "(1, 96, 128), expected (3, H, W)"),
        (torch.rand(1, 3, 96, 128), "expected (3, H, W)"),
        (torch.rand(3, 0, 128), "expected (3, H, W)"),
        (torch.randint(255, (3, 96, 128), dtype=torch.uint8), "uint8, expected floating point"),
        (torch.rand(3, 96, 128) * 255, "expected [0, 1]"),
        (torch.rand(3, 96, 128) - 0.5, "expected [0, 1]"),
        (torch.full((3, 96, 128), NAN), "nan to nan"),
        ([[0.0]], "is a list"),
    ],
)
def test_impossible_images(image: object, words: str) -> None:
    faults = _faults([torch.rand(3, 96, 128), image], None)
    assert any(fault.startswith("image 1 ") and words in fault for fault in faults)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"boxes": torch.zeros(0, 4)}, "no 'person_ids'"),
        ({"boxes": torch.zeros(0), "person_ids": torch.zeros(0, dtype=torch.int64)}, "shape (0,), expected (n, 4)"),
        ({"boxes": torch.zeros(1, 4).int(), "person_ids": torch.zeros(1, dtype=torch.int64)}, "int32"),
        ({"boxes": torch.zeros(1, 4).half(), "person_ids": torch.zeros(1, dtype=torch.int64)}, "float16"),
        ({"boxes": torch.tensor([GOOD]), "person_ids": torch.zeros(1)}, "float32 of shape (1,), expected (n,) int64"),
        (
            {"boxes": torch.tensor([GOOD]), "person_ids": torch.zeros(2, dtype=torch.int64)},
            "1 boxes and 2 person_ids",
        ),
        ("boxes", "no 'boxes' and no 'person_ids'"),
    ],
)
def test_targets_of_wrong_form(target: object, words: str) -> None:
    [fault] = _faults(_images(), [_target(GOOD), target])
    assert fault.startswith("image 1")
    assert words in fault


def test_numbers_that_do_not_fit() -> None:
    assert _faults(_images(), [_target(GOOD)]) == ["1 targets for 2 images: expected one an image."]
    assert "at least one" in _faults([], None)[0]


def test_all_faults_are_named_at_once() -> None:
    images = [torch.rand(3, 96, 128), torch.rand(3, 96, 128) * 255]
    faults = _faults(images, [_target([5.0, 5, 5, 5], GOOD, [NAN] * 4, ids=[7, 0, -3]), _target([300.0, 0, 400, 90])])
    starts = ["image 1 has values", *["image 0, box 0, "] * 2, *["image 0, box 2, "] * 2, "image 1, box 0, "]
    assert [fault.startswith(start) for fault, start in zip(faults, starts, strict=True)] == [True] * 6


def test_boxes_to_embed() -> None:
    check_boxes([torch.tensor([GOOD, [50.0, 10, 50, 90]]), torch.zeros(0, 4)], _images())
    with pytest.raises(InputError) as error:
        check_boxes([torch.tensor([GOOD, [50.0, 10, 40, 90]]), torch.tensor([[NAN, 1, 2, 3]])], _images())
    first, second = error.value.faults
    assert first.startswith("image 0, box 1, [50.0, 10.0, 40.0, 90.0], ends before it begins")
    assert second.startswith("image 1, box 0, ")
    with pytest.raises(InputError, match="boxes of 1 images are given for 2"):
        check_boxes([torch.zeros(0, 4)], _images())


class _Waits(TorchDispatchMode):
    """Counts how often a value leaves its device, or a shape depends on one."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero)
        return func(*args, **kwargs or {})


def test_device_is_waited_for_once() -> None:
    images, targets = _images(8), [_target(*[GOOD] * 20) for _ in range(8)]
    with _Waits() as waits:
        check_inputs(images, targets, num_identities=5)
    assert waits.count == 1
    with _Waits() as waits:
        check_boxes([target["boxes"] for target in targets], images)
    assert waits.count == 1


@pytest.mark.parametrize("name", JOINT)
def test_every_model_checks_what_it_is_given(name: str) -> None:
    torch.manual_seed(0)
    model = zoo.create(name, num_identities=5, **SMALL[name])
    with pytest.raises(InputError, match=r"image 0, box 0, .* of person 5, has a person id beyond num_identities=5"):
        model(_images(), [_target(GOOD, ids=[5]), _target()])
    model.eval()
    bright = [255 * image for image in _images()]
    turned = [torch.tensor([[50.0, 10, 40, 90]]), torch.zeros(0, 4)]
    for call in (
        lambda: model.detect(bright),
        lambda: model.embed(bright, [torch.tensor([GOOD])] * 2),
        lambda: model.embed(_images(), turned),
        lambda: model.detect(_images(), include=turned),
    ):
        with pytest.raises(InputError, match=r"expected \[0, 1\]|ends before it begins"):
            call()
