"""Crops of people, for queries and for re-ID: what is in them, whatever box is asked for."""

import pytest
import torch
from torch import Tensor

from psbench.zoo.layers.patches import crop, query_patch

SIZE = (224, 96)


@pytest.fixture
def image() -> Tensor:
    """Red over green over blue, in bands of 100 rows."""
    image = torch.zeros(3, 300, 200)
    for channel in range(3):
        image[channel, 100 * channel : 100 * (channel + 1)] = 1
    return image


def _mean(patch: Tensor) -> list[float]:
    return [round(value, 2) for value in patch.mean(dim=(1, 2)).tolist()]


def test_a_crop_is_the_box_stretched(image: Tensor) -> None:
    patch = crop(image, torch.tensor([10.0, 50, 190, 150]), (8, 4))
    assert patch.shape == (3, 8, 4)
    assert _mean(patch[:, :3]) == [1, 0, 0]
    assert _mean(patch[:, 5:]) == [0, 1, 0]


def test_a_crop_of_the_size_it_has_is_left_as_it_is() -> None:
    image = torch.randint(256, (3, 60, 50), dtype=torch.uint8)
    found = crop(image, torch.tensor([5.2, 7.9, 25.4, 48.1]), (40, 20))
    torch.testing.assert_close(found, image[:, 8:48, 5:25], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        # As the patch: 3:7.
        ([40.0, 20, 130, 230], slice(0, 224), slice(0, 96)),
        # Twice as narrow: the middle half of the columns.
        ([40.0, 20, 85, 230], slice(0, 224), slice(24, 72)),
        # Twice as low: the middle half of the rows.
        ([40.0, 80, 130, 185], slice(56, 168), slice(0, 96)),
    ],
)
def test_queries_are_padded_to_the_patch_and_not_distorted(box: list[float], rows: slice, columns: slice) -> None:
    white = torch.ones(3, 300, 200)
    patch = query_patch(white, torch.tensor(box), SIZE)
    expected = torch.zeros(3, *SIZE)
    expected[:, rows, columns] = 1
    assert patch.shape == (3, *SIZE)
    # But for the edge, where both meet.
    assert (patch - expected).abs().mean() < 0.02
    context = query_patch(white, torch.tensor(box), SIZE, "context")
    torch.testing.assert_close(context, torch.ones_like(context))


def test_context_is_what_surrounds_the_box(image: Tensor) -> None:
    """A box of green alone, three times as wide as high: with what lies above and below it."""
    box = torch.tensor([50.0, 120, 110, 180])
    assert _mean(query_patch(image, box, (140, 60), "zeros")) == [0, 0.43, 0]
    context = query_patch(image, box, (140, 60), "context")
    assert _mean(context[:, :20]) == [1, 0, 0]
    assert _mean(context[:, 60:80]) == [0, 1, 0]
    assert _mean(context[:, -20:]) == [0, 0, 1]


@pytest.mark.parametrize("make", [crop, query_patch])
def test_what_lies_outside_the_image_is_zero(make) -> None:  # type: ignore[no-untyped-def]
    white = torch.ones(3, 100, 100)
    half = make(white, torch.tensor([-30.0, 10, 30, 150]), (140, 60))
    expected = torch.zeros(3, 140, 60)
    expected[:, :90, 30:] = 1
    torch.testing.assert_close(half, expected)
    nothing = make(white, torch.tensor([200.0, 10, 260, 150]), (140, 60))
    assert not nothing.any()


@pytest.mark.parametrize("make", [crop, query_patch])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_the_type_of_the_image_is_kept(make, dtype: torch.dtype) -> None:  # type: ignore[no-untyped-def]
    image = torch.full((3, 90, 80), 200.0).to(dtype)
    patch = make(image, torch.tensor([10.0, 10, 40, 80]), (56, 24))
    assert patch.dtype == dtype
    torch.testing.assert_close(patch, torch.full((3, 56, 24), 200.0).to(dtype))


def test_a_box_of_less_than_a_pixel_is_one() -> None:
    image = torch.rand(3, 20, 20)
    for box in ([5.0, 5, 5, 5], [5.1, 5.2, 5.3, 5.4]):
        patch = crop(image, torch.tensor(box), (7, 3))
        torch.testing.assert_close(patch, image[:, 5:6, 5:6].expand(-1, 7, 3))
    assert query_patch(image, torch.tensor([5.0, 5, 5, 5]), SIZE).shape == (3, *SIZE)


def test_shrinking_takes_every_pixel_into_account() -> None:
    stripes = torch.zeros(3, 120, 60)
    stripes[:, ::4] = 1
    patch = crop(stripes, torch.tensor([0.0, 0, 60, 120]), (12, 6))
    assert (patch - 0.25).abs().max() < 0.1
