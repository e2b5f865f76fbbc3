"""Norm-aware embedding (Chen et al., CVPR 2020): direction says who, length says whether it is a person."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NormAwareEmbedding(nn.Module):
    """Project several feature vectors of an RoI, join them, and split the result into direction and length.

    Each vector goes through a linear layer and batch norm; the joined vector's direction is the re-ID embedding and
    its length, through a one-channel batch norm, the logit of being a person.
    """

    def __init__(self, in_channels: Mapping[str, int], dims: Mapping[str, int] | int = 256) -> None:
        """Make one projector a vector.

        Args:
            in_channels: lengths of the vectors, by name; in this order their projections are joined.
            dims: lengths of their projections, by name; or D, which is divided evenly between them, the last ones
                getting one coordinate more where it does not divide.
        """
        super().__init__()
        if isinstance(dims, int):
            dims = {name: (dims + i) // len(in_channels) for i, name in enumerate(in_channels)}
        self.projectors = nn.ModuleDict({name: small_linear_bn(n, dims[name]) for name, n in in_channels.items()})
        self.rescaler = nn.BatchNorm1d(1)

    def forward(self, vectors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Embed R RoIs.

        Args:
            vectors: one (R, C) each projector, by name.

        Returns:
            Unit embeddings (R, D), and logits (R,) of being a person.
        """
        joined = torch.cat([project(vectors[name]) for name, project in self.projectors.items()], dim=1)
        norm = joined.norm(dim=1, keepdim=True)
        return F.normalize(joined), self.rescaler(norm).squeeze(1)


def small_linear_bn(in_channels: int, out_channels: int) -> nn.Sequential:
    """A linear layer and batch norm whose output starts near zero: both weights from N(0, 0.01), biases zero."""
    linear, norm = nn.Linear(in_channels, out_channels), nn.BatchNorm1d(out_channels)
    for layer in (linear, norm):
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(linear, norm)
