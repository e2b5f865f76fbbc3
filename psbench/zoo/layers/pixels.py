"""Images as a network sees them: resized like the 8-bit pictures that its original reads, normalised, padded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from psbench.zoo.layers.faster_rcnn import ImageSize

CAFFE_MEAN = (102.9801, 115.9465, 122.7717)
"""Of ImageNet's pixels, blue first, in 0..255."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, red first, in 0..1."""
MULTIPLE = 32
"""Pixels; sides of a batch are padded to multiples of it."""


@dataclass(frozen=True)
class Normalisation:
    """What is done to pixel values.

    Attributes:
        channels: "RGB" or "BGR", the order in which the network has them.
        range: of the values, 1 or 255.
        mean, std: in that order and range.
    """

    channels: str
    range: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Tensor) -> Tensor:
        """An image (3, H, W), RGB, 0..255."""
        x = image.flip(0) if self.channels == "BGR" else image
        mean, std = (x.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (x * (self.range / 255) - mean) / std


CAFFE = Normalisation("BGR", 255, CAFFE_MEAN, (1.0, 1.0, 1.0))
IMAGENET = Normalisation("RGB", 1, IMAGENET_MEAN, IMAGENET_STD)


def fitted_size(size: ImageSize, min_size: int, max_size: int) -> ImageSize:
    """The size of an image whose short side becomes min_size, or its long one max_size if that is less."""
    short, long = sorted(size)
    if long * min_size > max_size * short:
        min_size = max(round(max_size * short / long), 1)
    longer = max(min_size * long // short, 1)
    return (min_size, longer) if size[0] <= size[1] else (longer, min_size)


def resize_picture(image: Tensor, size: ImageSize) -> Tensor:
    """Bilinear resize of (3, H, W) in [0, 1] to (3, h, w) in 0..255, as Pillow resizes an 8-bit picture.

    Pillow works along one axis after the other and rounds to whole grey levels after each, so the result is whole. On
    a CPU it is Pillow's; elsewhere what lies between two grey levels may fall to the other one.
    """
    x = (255 * image[None]).round()
    if x.shape[2:] == size:
        return x[0]
    if x.device.type == "cpu":
        picture = F.interpolate(x.clamp(0, 255).to(torch.uint8), size, mode="bilinear", antialias=True)
        return picture[0].to(image.dtype)
    for target in ((x.shape[2], size[1]), size):
        x = F.interpolate(x.float(), target, mode="bilinear", antialias=True).round()
    return x[0].to(image.dtype)


def make_batch(images: list[Tensor], *, bucket: int = 1) -> Tensor:
    """Images (3, h, w) in one tensor (B, 3, H, W), zeros right and below; H and W are multiples of 32 and of bucket."""
    height, width = (max(image.shape[dim] for image in images) for dim in (1, 2))
    for multiple in (MULTIPLE, bucket):
        height, width = height + -height % multiple, width + -width % multiple
    padded = [F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in images]
    return torch.stack(padded)
