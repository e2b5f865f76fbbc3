"""The one-stage detector RetinaNet (Lin et al., ICCV 2017): anchors at every location, and what is learnt of them.

Boxes include their last pixel, as in Caffe: from x1 to x2 it is x2 - x1 + 1 wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection._utils import Matcher
from torchvision.ops import sigmoid_focal_loss

from psbench.zoo.layers import caffe
from psbench.zoo.layers.caffe import box_iou, encode_boxes, window_anchors
from psbench.zoo.layers.faster_rcnn import ImageSize
from psbench.zoo.layers.pyramid import STRIDES

DELTA_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""Box deltas are predicted times these."""
MAX_LOG_RATIO = math.log(1000 / 16)
"""A box is at most so much larger than its anchor, whatever is predicted."""
BETA = 0.11
"""Where smooth L1 turns from a parabola into a line."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The locations of a pyramid, level after level, row after row; at each the anchors, ratio after ratio.

    Attributes:
        map_sizes: height and width of each level.
        anchors: (N, 4), N = L A, pixels of the resized image.
        strides: (N,).
        centres: (L, 2), x and y.
    """

    map_sizes: list[ImageSize]
    anchors: Tensor
    strides: Tensor
    centres: Tensor

    @property
    def counts(self) -> list[int]:
        """Locations of each level."""
        return [height * width for height, width in self.map_sizes]


def make_grid(
    map_sizes: list[ImageSize], sizes: Sequence[float], ratios: Sequence[float], octave_scales: int, like: Tensor
) -> Grid:
    """The grid of a pyramid.

    Args:
        map_sizes: of its levels.
        sizes: of the anchors, square roots of their areas, one a level.
        ratios: height / width.
        octave_scales: n; there are anchors of 2^(0/n), 2^(1/n), ... times the size.
        like: a tensor of the device and type wanted.
    """
    anchors, strides, centres = [], [], []
    for map_size, size, stride in zip(map_sizes, sizes, STRIDES, strict=False):
        scaled = [size * 2 ** (k / octave_scales) for k in range(octave_scales)]
        anchors.append(window_anchors(scaled, ratios, map_size, stride))
        strides.append(torch.full((len(anchors[-1]),), stride))
        y, x = torch.meshgrid(*(torch.arange(n) * stride + stride // 2 for n in map_size), indexing="ij")
        centres.append(torch.stack([x, y], dim=-1).reshape(-1, 2))
    return Grid(map_sizes, *(torch.cat(parts).to(like) for parts in (anchors, strides, centres)))


def tower(in_channels: int, channels: int, convolutions: int) -> nn.Sequential:
    """So many 3x3 convolutions, each with ReLU."""
    layers: list[nn.Module] = []
    for i in range(convolutions):
        layers += [prediction(channels if i else in_channels, channels), nn.ReLU()]
    return nn.Sequential(*layers)


def prediction(in_channels: int, channels: int, *, bias: float = 0.0) -> nn.Conv2d:
    """A 3x3 convolution as RetinaNet's head starts from."""
    layer = nn.Conv2d(in_channels, channels, 3, padding=1)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.01) if parameter.ndim > 1 else nn.init.constant_(parameter, bias)
    return layer


@dataclass(frozen=True, eq=False)
class Matches:
    """What the anchors of a batch are to learn.

    Attributes:
        labels: (B, N), 1 for a person, 0 for none, -1 for what lies between and is left out.
        image, anchor: (P,), of each anchor that is a person, where it is.
        boxes: (P, 4), the person's, pixels of the resized image.
        person_ids: (P,).
        anchors: (P, 4).
    """

    labels: Tensor
    image: Tensor
    anchor: Tensor
    boxes: Tensor
    person_ids: Tensor
    anchors: Tensor


def match_anchors(anchors: Tensor, targets: list[dict[str, Tensor]]) -> Matches:
    """An anchor is a person if its IoU with one is 0.5, or the best that the person has; below 0.4 it is none.

    Args:
        anchors: (N, 4).
        targets: `boxes` (n, 4) and `person_ids` (n,) an image.
    """
    matcher = Matcher(0.5, 0.4, allow_low_quality_matches=True)
    matches = []
    for target in targets:
        if len(target["boxes"]):
            matches.append(matcher(box_iou(target["boxes"], anchors)))
        else:
            matches.append(torch.full((len(anchors),), Matcher.BELOW_LOW_THRESHOLD, device=anchors.device))
    match = torch.stack(matches)
    image, anchor = torch.where(match >= 0)
    before = torch.tensor([0] + [len(t["boxes"]) for t in targets], device=match.device).cumsum(0)
    person = before[image] + match[image, anchor]
    return Matches(
        labels=(match >= 0).long() - (match == Matcher.BETWEEN_THRESHOLDS).long(),
        image=image,
        anchor=anchor,
        boxes=torch.cat([t["boxes"] for t in targets])[person],
        person_ids=torch.cat([t["person_ids"] for t in targets])[person],
        anchors=anchors[anchor],
    )


def classification_loss(logits: Tensor, matches: Matches) -> Tensor:
    """Focal loss of (B, N) logits, summed, divided by the number of people's anchors and images."""
    counted = matches.labels >= 0
    truth = matches.labels[counted].to(logits.dtype)
    loss = sigmoid_focal_loss(logits[counted], truth, alpha=0.25, gamma=2, reduction="sum")
    return loss / (len(matches.image) + len(logits))


def regression_loss(deltas: Tensor, matches: Matches) -> Tensor:
    """Smooth L1 of (P, 4) deltas of the people's anchors, their mean."""
    truth = encode_boxes(matches.anchors, matches.boxes) * deltas.new_tensor(DELTA_WEIGHTS)
    return F.smooth_l1_loss(deltas, truth, beta=BETA, reduction="sum") / max(deltas.numel(), 1)


def decode_boxes(deltas: Tensor, anchors: Tensor, size: ImageSize) -> Tensor:
    """Move anchors (n, 4) by deltas (n, 4) and clip them to the image: (n, 4)."""
    deltas = deltas / deltas.new_tensor(DELTA_WEIGHTS)
    bounded = torch.cat([deltas[:, :2], deltas[:, 2:].clamp(max=MAX_LOG_RATIO)], dim=1)
    return caffe.decode_boxes(bounded, anchors, size)


def candidate_anchors(scores: Tensor, counts: list[int], *, threshold: float, top: int) -> Tensor:
    """Indices of the anchors of an image that may be people, level after level.

    Args:
        scores: (N,).
        counts: anchors of each level.
        threshold: scores up to it are dropped.
        top: most that are kept of a level.
    """
    kept, start = [], 0
    for of_level in scores.split(counts):
        best, index = of_level.topk(min(top, len(of_level)))
        kept.append(start + index[best > threshold])
        start += len(of_level)
    return torch.cat(kept)
