"""Contextual points pooling of PCNet: each location is described by points around it, which the network chooses."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from psbench.zoo.layers.precision import full
from psbench.zoo.layers.retina import prediction, tower

DistanceLoss = Literal["paper", "code"]


class ContextualPoints(nn.Module):
    """Equation 5: a location's feature is a weighted sum of the maps' values at K points around it.

    A deformable convolution whose points' displacements (offsets) are predicted from the same map. The layers that
    predict them are shared by all levels, but for a scale; the weights of the sum are each level's own.
    """

    def __init__(
        self, in_channels: int, channels: int, anchors: int, levels: int, kernel: tuple[int, int], hidden: int
    ) -> None:
        """Make the layer.

        Args:
            in_channels: of the maps.
            channels: D, of what it makes of them.
            anchors: A, sets of points a location.
            levels: of the pyramid.
            kernel: rows and columns of the grid that the points start from, both odd; K is their product.
            hidden: channels of the map that predicts the offsets.
        """
        super().__init__()
        self.anchors = anchors
        self.kernel = kernel
        self.offset_tower = tower(in_channels, hidden, 1)
        self.offsets = prediction(hidden, anchors * 2 * kernel[0] * kernel[1])
        self.scales = nn.ParameterList(torch.ones(1) for _ in range(levels))
        self.weights = nn.ParameterList(torch.empty(channels, in_channels, *kernel) for _ in range(levels))
        for weight in (self.offsets.weight, *self.weights):
            nn.init.kaiming_uniform_(weight, a=1)

    def forward(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Pool a map (B, C, h, w) of a level, counted from 0.

        Returns:
            (B * A, D, h, w), anchor after anchor, and the offsets (B * A, 2 K, h, w): dy and dx of each point from its
            place in the grid, row after row, in cells.
        """
        offsets = self.scales[level] * self.offsets(self.offset_tower(x))
        offsets = offsets.unflatten(1, (self.anchors, -1)).flatten(0, 1)
        padding = (self.kernel[0] // 2, self.kernel[1] // 2)
        # In half precision it does not run everywhere.
        x, offsets, weight = full(x.repeat_interleave(self.anchors, 0)), full(offsets), full(self.weights[level])
        # On a CPU it reads wherever an offset points: what is not a number would end the process, and goes around it.
        lost = offsets.isnan()
        pooled = deform_conv2d(x, offsets.masked_fill(lost, 0), weight, padding=padding)
        return pooled.masked_fill(lost.any(dim=1, keepdim=True), torch.nan), offsets


class GridPoints(nn.Module):
    """What contextual points are compared with: a convolution for each level, whose points are the grid's."""

    def __init__(self, in_channels: int, channels: int, anchors: int, levels: int, kernel: tuple[int, int]) -> None:
        """See `ContextualPoints`."""
        super().__init__()
        self.anchors = anchors
        padding = (kernel[0] // 2, kernel[1] // 2)
        layers = [
            nn.Conv2d(in_channels, anchors * channels, kernel, padding=padding, bias=False) for _ in range(levels)
        ]
        for layer in layers:
            nn.init.kaiming_uniform_(layer.weight, a=1)
        self.levels = nn.ModuleList(layers)

    def forward(self, x: Tensor, level: int) -> tuple[Tensor, None]:
        """Pool a map (B, C, h, w) of a level: (B * A, D, h, w), and no offsets."""
        return self.levels[level](x).unflatten(1, (self.anchors, -1)).flatten(0, 1), None


def kernel_grid(kernel: tuple[int, int]) -> Tensor:
    """Where the K points are without displacement, (K, 2): dy and dx from their location in cells, row after row."""
    rows, columns = kernel
    y, x = torch.meshgrid(torch.arange(rows) - rows // 2, torch.arange(columns) - columns // 2, indexing="ij")
    return torch.stack([y, x], dim=-1).view(-1, 2)


def set_sizes(points: int, sets: int) -> list[int]:
    """Of K points in M sets of neighbours, how many each has: floor(K / M), and the last one what is left."""
    each = points // sets
    return [each] * (sets - 1) + [points - each * (sets - 1)]


def distance_loss(
    offsets: Tensor, strides: Tensor, heights: Tensor, kernel: tuple[int, int], sets: int, form: DistanceLoss
) -> Tensor:
    """Equation 6: spreads a person's points down their body, (P,) for P locations of people.

    The K points fall into M sets (see `set_sizes`); m_i is the mean height of set i. The paper asks for sets a distance
    h / M apart:

        1 / h  sum_i (m_{i+1} - m_i - h / M)^2

    The released code ("code"), where the call is commented out, measures the means of the offsets alone, without the
    grid that they start from, and with t = floor(h / M) has

        sum_i ((t - (m_{i+1} - m_i))^2 / t + 1e-8)

    Args:
        offsets: (P, 2 K), see `ContextualPoints`.
        strides: (P,), of the locations' levels, pixels of the resized image.
        heights: (P,), h, of the people's boxes, y2 - y1, pixels of the resized image.
        kernel: rows and columns of the grid; K is their product.
        sets: M.
        form: of the loss.
    """
    dy = offsets[:, 0::2]
    if form == "paper":
        dy = dy + kernel_grid(kernel)[:, 0].to(dy)
    groups = dy.split(set_sizes(dy.shape[1], sets), dim=1)
    means = torch.stack([group.mean(dim=1) for group in groups], dim=1) * strides[:, None]
    apart = means.diff(dim=1)
    heights = heights[:, None]
    if form == "paper":
        # A box without height, which has no body to spread over, does not divide by zero.
        return ((apart - heights / sets) ** 2 / heights.clamp(min=1)).sum(dim=1)
    wanted = (heights / sets).floor()
    return ((wanted - apart) ** 2 / wanted.clamp(min=1) + 1e-8).sum(dim=1)
