"""Cross scale aggregation of PCNet: a person's feature gathers points of every level of the pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from psbench.zoo.layers.precision import full

TripletLoss = Literal["paper", "code"]
Averaged = Literal["most_overlapping", "as_the_original"]
MOST = 32
"""Candidates in a mean."""


class CrossScaleAggregation(nn.Module):
    """Equations 8 to 10: to the feature f' of a location comes the attention of f' over the points in the box.

        f = f' + sum_i W_i g_i,   W_i = softmax_i( (Wk s_l g_i + bk) . (Wq f' + bq) )

    g_i is the feature at point i, of all levels together, s_l a learned scale of its level l.
    """

    def __init__(self, channels: int, levels: int, *, limit: float) -> None:
        """Make the layer.

        Args:
            channels: D.
            levels: of the pyramid.
            limit: relations are clamped to [-limit, limit] before the softmax, as in the released code.
        """
        super().__init__()
        self.limit = limit
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.scales = nn.ParameterList(torch.ones(1) for _ in range(levels))
        for layer in (self.query, self.key):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, points: Tensor, counts: list[int], candidates: Tensor) -> Tensor:
        """Aggregate; the arguments are those of `attention`.

        Returns:
            (R, D), f.
        """
        return x + self.attention(x, points, counts, candidates) @ points

    def attention(self, x: Tensor, points: Tensor, counts: list[int], candidates: Tensor) -> Tensor:
        """How much of each point comes to each feature.

        Args:
            x: (R, D), f'.
            points: (L, D), g, level after level.
            counts: how many of the points each level has.
            candidates: (R, L) bool, which points count for which row; a row without any stays as it is.

        Returns:
            W, (R, L), rows that sum to one; zeros for points that do not count.
        """
        scaled = torch.cat([s * g for s, g in zip(self.scales, points.split(counts), strict=True)])
        query = full(self.query(x))
        # (Wk g + bk) . q, with the few q multiplied into Wk instead of the many g.
        relation = (query @ self.key.weight) @ scaled.T + (query @ self.key.bias)[:, None]
        relation = relation.clamp(-self.limit, self.limit)
        attention = relation.masked_fill(~candidates, torch.finfo(relation.dtype).min).softmax(dim=1)
        return attention * candidates


def points_in_boxes(centres: Tensor, boxes: Tensor) -> Tensor:
    """Which of the points (L, 2), x and y, lie strictly inside which of the boxes (R, 4): (R, L) bool."""
    after = (centres > boxes[:, None, :2]).all(dim=2)
    return after & (centres < boxes[:, None, 2:]).all(dim=2)


def mean_of_overlapping(x: Tensor, iou: Tensor, threshold: float, averaged: Averaged) -> Tensor:
    """A person's feature as the mean over the candidates that overlap their box, the closest one in any case.

    Args:
        x: (n, D), of the candidates.
        iou: (R, n), of the boxes and the candidates.
        threshold: least IoU.
        averaged: at most the 32 "most_overlapping"; or "as_the_original": its mask for these compares with the 32nd
            *smallest* IoU, so that of up to 32 candidates only the closest remains, and of more all.

    Returns:
        (R, D).
    """
    if not iou.numel():
        return x.new_zeros(len(iou), x.shape[1])
    count = min(MOST, iou.shape[1])
    best = iou.amax(dim=1, keepdim=True)
    if averaged == "as_the_original":
        least = iou.kthvalue(count, dim=1, keepdim=True).values
    else:
        least = iou.topk(count, dim=1).values[:, -1:]
    taken = ((iou >= least) & (iou >= threshold)) | (iou == best)
    return taken.to(x.dtype) @ x / taken.sum(dim=1, keepdim=True)


class RoIFeatures(nn.Module):
    """What points are compared with: RoIAlign on each level, a 3x3 convolution, the sum of the levels' means."""

    def __init__(self, in_channels: int, channels: int, levels: int, size: int) -> None:
        """Make it for maps of `in_channels`, RoIs of size x size, and features of D = `channels`."""
        super().__init__()
        self.size = size
        self.levels = nn.ModuleList(nn.Conv2d(in_channels, channels, 3, padding=1) for _ in range(levels))

    def forward(self, maps: list[Tensor], strides: Sequence[int], boxes: Tensor) -> Tensor:
        """Maps (1, C, h, w) of an image, level after level, and boxes (R, 4), to (R, D)."""
        features = [
            full(layer(roi_align(full(x), [boxes], self.size, 1 / stride, sampling_ratio=2, aligned=True)))
            for layer, x, stride in zip(self.levels, maps, strides, strict=False)
        ]
        return torch.stack([x.mean(dim=(2, 3)) for x in features]).sum(dim=0)


def triplet_loss(f: Tensor, point: Tensor, person_ids: Tensor, *, margin: float, form: TripletLoss) -> Tensor:
    """The aggregated feature is closer to its own point's feature than to other people's, (P,).

    Equation 11 of the paper, with f' the point's feature, and what the released code has instead:

        paper: relu( margin + |f - f'|^2 - min_j |f - f'_j|^2 )
        code:  relu( margin - f . f' + max_j f . f_j )

    Args:
        f, point: (P, D), of length one.
        person_ids: (P,); j are the rows of another id. All people without identity (-1) count as one.
        margin: sigma.
        form: of the loss.

    Returns:
        Zero for rows without another person.
    """
    others = person_ids[:, None] != person_ids[None]
    near = (f * point).sum(dim=1)
    similarity = f @ (point if form == "paper" else f).T
    # Of unit vectors, |a - b|^2 = 2 - 2 a . b; no similarity is as low as -10.
    far = F.pad(similarity.masked_fill(~others, -10), (0, 1), value=-10).amax(dim=1)
    return F.relu(margin + (2 if form == "paper" else 1) * (far - near))


class RowNorm(nn.BatchNorm1d):
    """Batch norm over rows, whose statistics need two of them: fewer are normalised by the running ones."""

    def forward(self, x: Tensor) -> Tensor:
        """(R, D) to (R, D)."""
        if not self.training or len(x) > 1:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
