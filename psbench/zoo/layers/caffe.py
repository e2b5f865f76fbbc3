"""Faster R-CNN as in Caffe (Ren et al., NeurIPS 2015): images, boxes that include their last pixel, RPN, RoI sampling.

A box from x1 to x2 is x2 - x1 + 1 wide. Everything here is about one image: `truth` are its people's boxes (k, 4),
`size` its height and width, all in pixels of the resized image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms

from psbench.zoo.layers.faster_rcnn import DetectorOptions, ImageSize, SampledRoIs
from psbench.zoo.layers.precision import full

STRIDE = 16
"""Pixels of the resized image between neighbours of the map."""
MIN_PROPOSAL = 16
"""Least width and height of a proposal, pixels of the image as it was given."""
FOREGROUND_SHARE = 0.25
"""Of the RoIs that the head learns from."""
DELTA_STD = (0.1, 0.1, 0.2, 0.2)
"""The head predicts box deltas in these units."""


def resize_image(image: Tensor, scale: float) -> Tensor:
    """Bilinear resize of (C, H, W) to (C, round(scale H), round(scale W)).

    It samples by the scale, not by the ratio of the rounded sizes, and its positions are exact (torch's own resize
    computes them in float32, and is off by 1e-3 grey levels), so that boxes times the scale lie where they did.
    """
    for dim in (-1, -2) if scale != 1 else ():
        n = image.shape[dim]
        at = ((torch.arange(round(n * scale), dtype=torch.float64) + 0.5) / scale - 0.5).clamp(0, n - 1)
        low = at.long()
        share = (at - low).to(image)
        before, after = (image.index_select(dim, i.to(image.device)) for i in (low, (low + 1).clamp(max=n - 1)))
        image = torch.addcmul(before, after - before, share if dim == -1 else share[:, None])
    return image


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes (n, 4) and (k, 4): (n, k)."""
    top_left = torch.maximum(a[:, None, :2], b[:, :2])
    bottom_right = torch.minimum(a[:, None, 2:], b[:, 2:])
    intersection = (bottom_right - top_left + 1).clamp(min=0).prod(dim=2)
    return intersection / (_sides(a).prod(dim=1)[:, None] + _sides(b).prod(dim=1) - intersection)


def encode_boxes(boxes: Tensor, truth: Tensor) -> Tensor:
    """Deltas (n, 4) from boxes to the true boxes (n, 4): centre shift in sides, logarithm of the sides' ratios."""
    sides, true_sides = _sides(boxes), _sides(truth)
    shift = (truth[:, :2] + true_sides / 2) - (boxes[:, :2] + sides / 2)
    return torch.cat([shift / sides, (true_sides / sides).log()], dim=1)


def decode_boxes(deltas: Tensor, boxes: Tensor, size: ImageSize) -> Tensor:
    """Move boxes (n, 4) by deltas (n, 4) and clip them to the image: (n, 4)."""
    sides = _sides(boxes)
    centres = boxes[:, :2] + sides / 2 + deltas[:, :2] * sides
    halves = deltas[:, 2:].clamp(-10, 10).exp() * sides / 2
    moved = torch.cat([centres - halves, centres + halves - 1], dim=1)
    height, width = size
    return torch.minimum(moved.clamp(min=0), moved.new_tensor([width - 1, height - 1, width - 1, height - 1]))


def _sides(boxes: Tensor) -> Tensor:
    return boxes[:, 2:] - boxes[:, :2] + 1


def grid_anchors(options: DetectorOptions, map_size: ImageSize) -> Tensor:
    """The anchors (h * w * A, 4) of a map of stride 16; see `window_anchors`."""
    return window_anchors(options.anchor_sizes, options.anchor_ratios, map_size, STRIDE)


def window_anchors(sizes: Sequence[float], ratios: Sequence[float], map_size: ImageSize, stride: int) -> Tensor:
    """The anchors (h * w * A, 4) float64 of a map: position after position, ratio after ratio, size after size.

    An anchor is a multiple of a window of stride x stride pixels, reshaped to the ratio with whole sides.
    """
    shapes = []
    for ratio in ratios:
        width = round((stride**2 / ratio) ** 0.5)
        height = round(width * ratio)
        shapes += [(width * s / stride, height * s / stride) for s in sizes]
    sides = torch.tensor(shapes, dtype=torch.float64)
    centre = (stride - 1) / 2
    window = torch.cat([centre - (sides - 1) / 2, centre + (sides - 1) / 2], dim=1)
    y, x = torch.meshgrid(*(torch.arange(n) * stride for n in map_size), indexing="ij")
    return (torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4) + window).reshape(-1, 4)


class CaffeRPN(nn.Module):
    """The region proposal network: is there a person at an anchor (softmax of two classes), and how far off is it?"""

    def __init__(self, options: DetectorOptions, in_channels: int, channels: int) -> None:
        """Make it for a map of `in_channels`, with `channels` of its own."""
        super().__init__()
        self.options = options
        self.num_anchors = len(options.anchor_sizes) * len(options.anchor_ratios)
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.score = nn.Conv2d(channels, 2 * self.num_anchors, 1)
        self.deltas = nn.Conv2d(channels, 4 * self.num_anchors, 1)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.01) if parameter.ndim > 1 else nn.init.zeros_(parameter)

    def maps(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(1, C, h, w) to logits (1, 2 A, h, w), those of background first, and deltas (1, 4 A, h, w)."""
        x = F.relu(self.conv(features))
        return self.score(x), self.deltas(x)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (N, 2), deltas (N, 4) and the anchors (N, 4) of a map (1, C, h, w)."""
        logits, deltas = (full(x[0]) for x in self.maps(features))
        h, w = logits.shape[1:]
        logits = logits.view(2, self.num_anchors, h, w).permute(2, 3, 1, 0).reshape(-1, 2)
        deltas = deltas.view(self.num_anchors, 4, h, w).permute(2, 3, 0, 1).reshape(-1, 4)
        return logits, deltas, grid_anchors(self.options, (h, w)).to(deltas)

    def propose(self, logits: Tensor, deltas: Tensor, anchors: Tensor, size: ImageSize, scale: float) -> Tensor:
        """Proposals (r, 4), the most certain first, of what `forward` gives; `scale` is resized over original size."""
        o = self.options
        before, after = (
            (o.rpn_pre_nms_top_n_train, o.rpn_post_nms_top_n_train)
            if self.training
            else (o.rpn_pre_nms_top_n_test, o.rpn_post_nms_top_n_test)
        )
        boxes, scores = decode_boxes(deltas.detach(), anchors, size), logits.detach().softmax(dim=1)[:, 1]
        large = (_sides(boxes) >= MIN_PROPOSAL * scale).all(dim=1)
        boxes, scores = boxes[large], scores[large]
        first = scores.argsort(descending=True, stable=True)[:before]
        return boxes[first][nms(boxes[first], scores[first], 0.7)[:after]]

    def losses(
        self, logits: Tensor, deltas: Tensor, anchors: Tensor, size: ImageSize, truth: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Classification and regression loss over sampled anchors, both divided by their number."""
        positive, negative, match = self._sample(anchors, size, truth)
        sampled, count = torch.cat([positive, negative]), max(len(positive) + len(negative), 1)
        is_person = (torch.arange(len(sampled), device=sampled.device) < len(positive)).long()
        classification = F.cross_entropy(logits[sampled], is_person, reduction="sum") / count
        expected = encode_boxes(anchors[positive], truth[match])
        regression = F.smooth_l1_loss(deltas[positive], expected, beta=1 / 9, reduction="sum") / count
        return classification, regression

    def _sample(self, anchors: Tensor, size: ImageSize, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Indices of positive and of negative anchors, and of the positives' boxes among `truth`.

        Positive: IoU with a person from 0.7, or no anchor has a higher one with that person. Negative: below 0.3.
        Anchors that leave the image are neither.
        """
        height, width = size
        limits = anchors.new_tensor([width, height])
        inside = torch.where((anchors[:, :2] >= 0).all(dim=1) & (anchors[:, 2:] < limits).all(dim=1))[0]
        iou = box_iou(anchors[inside], truth)
        best, match = _best(iou)
        positive = best >= 0.7
        if iou.numel():
            positive |= ((iou == iou.amax(dim=0)) & (iou > 0)).any(dim=1)
        negative = (best < 0.3) & ~positive
        batch = self.options.rpn_batch_size_per_image
        chosen = _choose(positive, batch // 2)
        others = _choose(negative, batch - len(chosen))
        return inside[chosen], inside[others], match[chosen]


def sample_rois(proposals: Tensor, truth: Tensor, person_ids: Tensor, options: DetectorOptions) -> SampledRoIs:
    """Choose the RoIs that the head learns from, people first: at most a quarter, the true boxes among them.

    An RoI is a person if its IoU with one is at least 0.5, and background below roi_bg_iou_thresh.

    Args:
        proposals: (r, 4).
        truth: (k, 4).
        person_ids: (k,) int64.
        options: gives roi_batch_size_per_image and roi_bg_iou_thresh.
    """
    candidates = torch.cat([proposals, truth])
    best, match = _best(box_iou(candidates, truth))
    batch = options.roi_batch_size_per_image
    people = _choose(best >= 0.5, round(FOREGROUND_SHARE * batch))
    background = _choose(best < options.roi_bg_iou_thresh, batch - len(people))
    rois = candidates[torch.cat([people, background])]
    of_person = match[people]
    deltas = encode_boxes(rois[: len(people)], truth[of_person]) / rois.new_tensor(DELTA_STD)
    unused = len(background)
    return SampledRoIs(
        boxes=[rois],
        is_person=torch.arange(len(rois), device=rois.device) < len(people),
        person_ids=F.pad(person_ids[of_person], (0, unused), value=-1),
        deltas=F.pad(deltas, (0, 0, 0, unused)),
    )


def _best(iou: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row of (n, k) the highest value and its column; 0 and 0 where there are no columns."""
    if not iou.shape[1]:
        return iou.new_zeros(len(iou)), iou.new_zeros(len(iou), dtype=torch.int64)
    return iou.max(dim=1)


def _choose(candidates: Tensor, count: int) -> Tensor:
    """Indices of at most `count` of the candidates (a mask), drawn without replacement, in their order."""
    indices = torch.where(candidates)[0]
    if len(indices) <= count:
        return indices
    return indices[torch.randperm(len(indices), device=indices.device)[:count].sort().values]
