"""What PCNet knows of images and of the people in them, between its parts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from psbench.zoo.layers.faster_rcnn import ImageSize
from psbench.zoo.layers.pcnet_head import HeadOutput
from psbench.zoo.layers.retina import Grid


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """A batch of images inside the network.

    Attributes:
        maps: of the pyramid, (B, C, h, w) each.
        found: what the head says of every anchor.
        grid: the anchors.
        sizes: of the resized images, without their padding.
        original_sizes: as they were given.
    """

    maps: list[Tensor]
    found: HeadOutput
    grid: Grid
    sizes: list[ImageSize]
    original_sizes: list[ImageSize]


@dataclass(frozen=True, eq=False)
class People:
    """Who is found in an image, inside the network: k known boxes first, then n detections.

    Attributes:
        boxes: (k + n, 4), pixels of the resized image.
        scores: (k + n,).
        points: (k + n, D), f'.
        anchors: (n,), the anchor that each detection comes from.
    """

    boxes: Tensor
    scores: Tensor
    points: Tensor
    anchors: Tensor
