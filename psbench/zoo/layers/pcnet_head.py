"""PCNet's head: for each location of the pyramid a re-ID feature, a score and a box, in one order or another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from psbench.zoo.layers.contextual_points import ContextualPoints, GridPoints
from psbench.zoo.layers.precision import full
from psbench.zoo.layers.retina import prediction, tower

Order = Literal["reid_first", "reid_from_regression", "reid_from_classification", "parallel", "roi_align"]
PRIOR = 0.01
"""What the score of every anchor is at first."""


@dataclass(frozen=True, eq=False)
class HeadOutput:
    """What the head says of a batch, in the order of `Grid.anchors`.

    Attributes:
        logits: (B, N).
        deltas: (B, N, 4), see `retina.decode_boxes`.
        reid: (B, N, D), F^reid; D is 0 where people are embedded from RoIs.
        offsets: (B, N, 2 K) of the contextual points in cells; 2 K is 0 where there are none.
    """

    logits: Tensor
    deltas: Tensor
    reid: Tensor
    offsets: Tensor


class PCNetHead(nn.Module):
    """Maps of the pyramid to features, scores and boxes.

    In PCNet's order re-ID comes first and detection is decoded from its map (equations 1 and 2):

        F^reid = CPP(P);  score, box = conv(F^reid)

    The others detect from P: and take F^reid from the last map of one of detection's two towers, from P itself
    ("parallel"), or not at all ("roi_align").
    """

    def __init__(
        self,
        *,
        in_channels: int,
        order: Order,
        contextual_points: bool,
        kernel: tuple[int, int],
        dim: int,
        anchors: int,
        levels: int,
        convolutions: int,
        width: int,
        shared_tower: bool,
    ) -> None:
        """Make it for maps of `in_channels`; see `PCNetOptions`. A shared tower has one map for score and box."""
        super().__init__()
        self.order = order
        self.anchors = anchors
        first = order == "reid_first"
        seen = dim if first else in_channels
        pooled = width if order in ("reid_from_regression", "reid_from_classification") else in_channels
        self.reid: ContextualPoints | GridPoints | None = None
        if order != "roi_align" and contextual_points:
            self.reid = ContextualPoints(pooled, dim, anchors, levels, kernel, in_channels)
        elif order != "roi_align":
            self.reid = GridPoints(pooled, dim, anchors, levels, kernel)
        self.class_tower = tower(seen, width, convolutions)
        self.box_tower = None if shared_tower else tower(seen, width, convolutions)
        # A feature map for each anchor has one person to predict, a map for all anchors as many.
        predicted = 1 if first else anchors
        self.score = prediction(width, predicted, bias=-math.log((1 - PRIOR) / PRIOR))
        self.deltas = prediction(width, 4 * predicted)

    def forward(self, maps: list[Tensor]) -> HeadOutput:
        """Maps (B, C, h, w), level after level."""
        levels = [self.at_level(x, level) for level, x in enumerate(maps)]
        logits, deltas, reid, offsets = (full(torch.cat(parts, dim=1)) for parts in zip(*levels, strict=True))
        return HeadOutput(logits.squeeze(2), deltas, reid, offsets)

    def at_level(self, x: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits (B, h w A, 1), deltas (.., 4), features (.., D) and offsets (.., 2 K) of a map (B, C, h, w)."""
        if self.order == "reid_first":
            assert self.reid is not None
            reid, offsets = self.reid(x, level)
            scores, boxes = self.towers(reid)
        else:
            scores, boxes = self.towers(x)
            pooled = {"reid_from_regression": boxes, "reid_from_classification": scores}.get(self.order, x)
            reid, offsets = self.reid(pooled, level) if self.reid is not None else (None, None)
        logits, deltas = self.score(scores), self.deltas(boxes)
        return self.rows(logits, x), self.rows(deltas, x), self.rows(reid, x), self.rows(offsets, x)

    def towers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The maps that score and box are predicted from."""
        scores = self.class_tower(x)
        return scores, scores if self.box_tower is None else self.box_tower(x)

    def rows(self, y: Tensor | None, x: Tensor) -> Tensor:
        """A map of (B A, C, h, w) or (B, A C, h, w) as rows (B, h w A, C); of nothing, rows of width zero."""
        batch, A = len(x), self.anchors
        if y is None:
            return x.new_zeros(batch, A * x.shape[2] * x.shape[3], 0)
        per_anchor = y.view(batch, A, -1, *y.shape[2:])
        return per_anchor.permute(0, 3, 4, 1, 2).flatten(1, 3)
