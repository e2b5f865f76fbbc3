"""Horizontal parts of a person (after MGN, Wang et al., ACM MM 2018), as GLCNet takes them since 2024."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from psbench.zoo.layers.backbone import Res5Head

GRANULARITIES = (("whole",), ("upper", "lower"), ("top", "middle", "bottom"))
"""The parts that one head sees, from head to foot."""
PARTS = tuple(part for parts in GRANULARITIES for part in parts)


class PartHeads(nn.Module):
    """A head of its own for each granularity, whose map is cut into as many bands as that has parts.

    Attributes:
        heads: whole, halves, thirds.
    """

    def __init__(self, head: Res5Head) -> None:
        """Make the heads as copies of one."""
        super().__init__()
        self.heads = nn.ModuleList(head.copy() for _ in GRANULARITIES)

    def forward(self, rois: Tensor) -> dict[str, Tensor]:
        """(R, C4, s, s) to the maximum of each part, (R, C5) by its name.

        The bands are equally high; rows that remain at the foot belong to none (7 rows: 3 + 3, 2 + 2 + 2).
        """
        vectors: dict[str, Tensor] = {}
        for head, parts in zip(self.heads, GRANULARITIES, strict=True):
            x, n = cast(Res5Head, head).maps(rois)["res5"], len(parts)
            height = x.shape[2] // n
            bands = x[:, :, : n * height].unflatten(2, (n, height)).amax(dim=(3, 4))
            vectors |= dict(zip(parts, bands.unbind(dim=2), strict=True))
        return vectors
