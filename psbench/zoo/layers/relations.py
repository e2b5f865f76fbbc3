"""Relations of IGPN: of each proposal to the query, of a scene's proposals to each other, of the query to the scene.

Vectors of a scene's proposals are (..., N, d). Scenes with fewer proposals than others in a batch are filled up, and
`valid` (..., N) says which proposals there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Judged:
    """What is made of the proposals of scenes.

    Attributes:
        similarity: (..., N, 2), logits of being somebody else and of being the target.
        deltas: (..., N, 4), how the boxes move.
        search: (..., 2), logits of the target's absence and presence in the scene; None without a global branch.
        valid: (..., N) bool, which proposals there are; None if all.
    """

    similarity: Tensor
    deltas: Tensor
    search: Tensor | None
    valid: Tensor | None


class RelationFeatures(nn.Module):
    """r^1: two linear layers over the squared difference of proposal and query (section 3.3.1)."""

    def __init__(self, dim: int, width: int) -> None:
        """Build the layers.

        Args:
            dim: d, of the vectors that go in and come out.
            width: between the layers.
        """
        super().__init__()
        self.fc1 = nn.Linear(dim, width)
        self.fc2 = nn.Linear(width, dim)

    def forward(self, proposals: Tensor, query: Tensor) -> Tensor:
        """f^p (..., N, d) and f^q (..., 1, d) to r^1 (..., N, d)."""
        return self.fc2(self.fc1((proposals - query).square()).relu())


class LocalRelations(nn.Module):
    """The local relation block: r^2 gathers the r^1 of proposals that look alike (equations 3 to 5).

    Before training it changes nothing, as is usual of non-local blocks.
    """

    def __init__(self, dim: int, width: int, *, norm: bool = False) -> None:
        """Build the layers.

        Args:
            dim: d, of the vectors that go in and come out.
            width: of the embeddings mu, nu and g.
            norm: whether what is added to r^1 is normalised before.
        """
        super().__init__()
        self.mu = nn.Linear(dim, width)
        self.nu = nn.Linear(dim, width)
        self.g = nn.Linear(dim, width)
        self.out = nn.Linear(width, dim)
        self.norm = nn.LayerNorm(dim) if norm else None
        last = self.out if self.norm is None else self.norm
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, proposals: Tensor, relations: Tensor, valid: Tensor | None = None) -> Tensor:
        """f^p (..., N, d) and r^1 (..., N, d) to r^2 (..., N, d)."""
        gathered = self.out(self.affinity(proposals, valid) @ self.g(relations))
        return relations + (gathered if self.norm is None else self.norm(gathered))

    def affinity(self, proposals: Tensor, valid: Tensor | None = None) -> Tensor:
        """R / Z (equations 3 and 5): how much each proposal takes of each, (..., N, N), rows of sum one."""
        logits = self.mu(proposals) @ self.nu(proposals).transpose(-1, -2)
        if valid is not None:
            # Not infinity: the softmax of a scene without proposals would have no gradient.
            logits = logits.masked_fill(~valid[..., None, :], torch.finfo(logits.dtype).min)
        return logits.softmax(dim=-1)


class RelationHeads(nn.Module):
    """What is read from r^2: similarity and box of each proposal, and whether the query is in the scene.

    Attributes:
        similarity: to two logits, of somebody else and of the query.
        box: to how the proposal moves.
        search: the global relation branch, to two logits, of absent and present; None without.
    """

    def __init__(self, dim: int, *, search: bool = True) -> None:
        """Build the heads.

        Args:
            dim: d.
            search: whether there is a global relation branch.
        """
        super().__init__()
        self.similarity = nn.Linear(dim, 2)
        self.box = nn.Linear(dim, 4)
        self.search = nn.Linear(dim, 2) if search else None

    def forward(self, relations: Tensor, valid: Tensor | None = None) -> Judged:
        """What r^2 (..., N, d) says."""
        search = None if self.search is None else self.search(mean_of(relations, valid))
        return Judged(self.similarity(relations), self.box(relations), search, valid)


def mean_of(relations: Tensor, valid: Tensor | None = None) -> Tensor:
    """r^g: the mean over a scene's proposals, (..., N, d) to (..., d); zero without any."""
    if valid is None:
        return relations.sum(dim=-2) / max(relations.shape[-2], 1)
    total = relations.masked_fill(~valid[..., None], 0).sum(dim=-2)
    return total / valid.sum(dim=-1, keepdim=True).clamp(min=1)
