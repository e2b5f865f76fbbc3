"""People cut out of their scenes: crops of one size, stretched to it or padded to its shape."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from psbench.zoo.layers.faster_rcnn import ImageSize

Padding = Literal["zeros", "context"]
"""What surrounds a person whose box has another shape than the patch: nothing, or what surrounds it in the scene."""


def crop(image: Tensor, box: Tensor, size: ImageSize) -> Tensor:
    """A box cut out and stretched to a size.

    The box is rounded to whole pixels, at least one; outside the image there are zeros. The resize is bilinear and,
    where it shrinks, takes every pixel into account.

    Args:
        image: (3, H, W), uint8 or floating point.
        box: (4,) xyxy, pixels of the image; it may leave the image, or lie outside altogether.
        size: height and width of what is made.

    Returns:
        (3, height, width) of the image's type.
    """
    left, top, width, height = _whole_pixels(box)
    return transforms.resized_crop(image, top, left, height, width, list(size), antialias=True)


def query_patch(image: Tensor, box: Tensor, size: ImageSize, padding: Padding = "zeros") -> Tensor:
    """A person cut out and brought to a size without distortion: padded to its shape, then resized (IGPN, section 4.3).

    The padding is equal on both sides. Otherwise as `crop`.

    Args:
        image: (3, H, W), uint8 or floating point.
        box: (4,) xyxy, pixels of the image; it may leave the image, or lie outside altogether.
        size: height and width of what is made, (224, 96) in the paper.
        padding: with zeros, or with what surrounds the box in the image.

    Returns:
        (3, height, width) of the image's type.
    """
    left, top, width, height = _whole_pixels(box)
    # One of them is positive at most.
    wide = max(round(height * size[1] / size[0]) - width, 0)
    high = max(round(width * size[0] / size[1]) - height, 0)
    before, above = wide // 2, high // 2
    if padding == "context":
        return transforms.resized_crop(
            image, top - above, left - before, height + high, width + wide, list(size), antialias=True
        )
    patch = transforms.crop(image, top, left, height, width)
    patch = transforms.pad(patch, [before, above, wide - before, high - above])
    return transforms.resize(patch, list(size), antialias=True)


def _whole_pixels(box: Tensor) -> tuple[int, int, int, int]:
    """Left, top, width and height of a box."""
    left, top, right, bottom = (round(value) for value in box.tolist())
    return left, top, max(right - left, 1), max(bottom - top, 1)
