"""Norm-aware embedding (Chen et al., CVPR 2020): direction says who, length says whether it is a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from psbench.zoo.layers.precision import full


class NormAwareEmbedding(nn.Module):
    """Project several feature vectors of an RoI, join them, and split the result into direction and length.

    Each vector goes through a linear layer and batch norm; the joined vector's direction is the re-ID embedding and
    its length, through a one-channel batch norm, the logit of being a person.
    """

    def __init__(
        self,
        in_channels: Mapping[str, int],
        dims: Mapping[str, int] | int = 256,
        *,
        eps: float = 1e-5,
        min_norm: float = 1e-12,
    ) -> None:
        """Make one projector a vector.

        Args:
            in_channels: lengths of the vectors, by name; in this order their projections are joined.
            dims: lengths of their projections, by name; or D, which is divided evenly between them, the last ones
                getting one coordinate more where it does not divide.
            eps: of all batch norms here.
            min_norm: a joined vector is divided by its length, or by this where it is shorter.
        """
        super().__init__()
        if isinstance(dims, int):
            dims = divided(dims, in_channels)
        self.projectors = nn.ModuleDict(
            {name: small_linear_bn(n, dims[name], eps=eps) for name, n in in_channels.items()}
        )
        self.rescaler = nn.BatchNorm1d(1, eps=eps)
        self.min_norm = min_norm

    def forward(self, vectors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Embed R RoIs.

        Args:
            vectors: one (R, C) each projector, by name.

        Returns:
            Unit embeddings (R, D), and logits (R,) of being a person.
        """
        joined = full(torch.cat([project(vectors[name]) for name, project in self.projectors.items()], dim=1))
        norm = joined.norm(dim=1, keepdim=True)
        return F.normalize(joined, eps=self.min_norm), self.rescaler(norm).squeeze(1)


def small_linear_bn(in_channels: int, out_channels: int, *, eps: float = 1e-5) -> nn.Sequential:
    """A linear layer and batch norm whose output starts `near_zero`."""
    return near_zero(nn.Linear(in_channels, out_channels), nn.BatchNorm1d(out_channels, eps=eps))


def divided(dim: int, names: Iterable[str]) -> dict[str, int]:
    """D coordinates for several projections, as evenly as can be; the last ones get one more."""
    names = list(names)
    return {name: (dim + i) // len(names) for i, name in enumerate(names)}


def near_zero(linear: nn.Linear | nn.Conv2d, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Sequential:
    """A linear layer or convolution and its batch norm, both weights from N(0, 0.01), biases zero."""
    layers = nn.Sequential(linear, norm)
    for name, parameter in layers.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.normal_(parameter, std=0.01)
    return layers
