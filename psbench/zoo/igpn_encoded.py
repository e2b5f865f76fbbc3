"""The two sides of a search by IGPN, each as it is kept while the other one changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from psbench.zoo.layers.correlation import QuerySide, SceneSide
from psbench.zoo.layers.faster_rcnn import ImageSize


@dataclass(frozen=True, eq=False)
class EncodedQueries:
    """What is kept of n queries, whatever scenes they search.

    Attributes:
        sim, reg: for the two branches of the RPN.
        features: (n, C5), f^q.
    """

    sim: QuerySide
    reg: QuerySide
    features: Tensor

    def __len__(self) -> int:
        return len(self.features)

    def select(self, rows: Tensor | Sequence[int] | slice) -> EncodedQueries:
        """Some of them, by their numbers."""
        return EncodedQueries(tuple(t[rows] for t in self.sim), tuple(t[rows] for t in self.reg), self.features[rows])

    def to(self, device: torch.device | str) -> EncodedQueries:
        """The same on a device."""
        sim, reg = (tuple(t.to(device) for t in side) for side in (self.sim, self.reg))
        return EncodedQueries(sim, reg, self.features.to(device))

    @staticmethod
    def cat(parts: Sequence[EncodedQueries]) -> EncodedQueries:
        """The queries of all parts, one at least, in order."""
        return EncodedQueries(
            sim=tuple(map(torch.cat, zip(*(part.sim for part in parts), strict=True))),
            reg=tuple(map(torch.cat, zip(*(part.reg for part in parts), strict=True))),
            features=torch.cat([part.features for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class EncodedScene:
    """What is kept of one scene, whatever queries search it.

    Attributes:
        features: (1, C4, H, W), x.
        sim, reg: for the two branches of the RPN.
        size, padded_size: of the resized image without and with its padding.
        original_size: as it was given.
    """

    features: Tensor
    sim: SceneSide
    reg: SceneSide
    size: ImageSize
    padded_size: ImageSize
    original_size: ImageSize
