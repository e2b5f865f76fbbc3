"""Online Instance Matching (Xiao et al., CVPR 2017): identities as a look-up table, strangers as a queue."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class OIMLoss(nn.Module):
    """Classify embeddings against a running feature of every identity and the last features of unlabelled people.

    With table V (K x D), queue U (Q x D), unit embeddings x and scale s = 1 / temperature, a person of identity t costs
    -log p_t, p = softmax(s [V; U] x), equation 2 and 3 of the paper. Unlabelled people cost nothing themselves; they
    enter the queue and serve as negatives. V and U carry no gradient: after the loss is computed from their old values,
    v_t becomes the normalised mixture of v_t and x, and each unlabelled x replaces the queue's oldest row.

    Attributes:
        table: (K, D) float32, the look-up table V.
        queue: (Q, D) float32, the circular queue U.
        queue_position: int64 scalar, the next row to be written.
    """

    table: Tensor
    queue: Tensor
    queue_position: Tensor

    def __init__(
        self, num_identities: int, dim: int, *, queue_size: int = 5000, momentum: float = 0.5, scale: float = 30.0
    ) -> None:
        """Start from empty (zero) tables.

        Args:
            num_identities: K, the labelled identities of the training split.
            dim: D.
            queue_size: Q; 5000 for CUHK-SYSU, 500 for PRW.
            momentum: what remains of v_t at an update.
            scale: s; 10 in the OIM paper, 30 in the systems built on NAE.
        """
        super().__init__()
        self.momentum = momentum
        self.scale = scale
        self.register_buffer("table", torch.zeros(num_identities, dim))
        self.register_buffer("queue", torch.zeros(queue_size, dim))
        self.register_buffer("queue_position", torch.zeros((), dtype=torch.int64))

    def forward(self, embeddings: Tensor, person_ids: Tensor) -> Tensor:
        """The mean loss over labelled people; updates the tables.

        Args:
            embeddings: (R, D), L2-normalised, of foreground RoIs.
            person_ids: (R,) int64, 0..K-1, or negative for people without identity.

        Returns:
            A scalar. Without any labelled person it is zero and still connected to the graph: current PyTorch's mean
            over no terms would be NaN and end a run.
        """
        # Half precision has too few digits for momentum updates and for a softmax over thousands of classes.
        with torch.autocast(embeddings.device.type, enabled=False):
            x = embeddings.to(self.table.dtype)
            logits = self.scale * x @ torch.cat([self.table, self.queue]).T
            labelled = person_ids >= 0
            total = F.cross_entropy(logits[labelled], person_ids[labelled], reduction="sum")
            loss = total / labelled.sum().clamp(min=1)
            self._update(x.detach(), person_ids)
        return loss

    @torch.no_grad()
    def _update(self, x: Tensor, person_ids: Tensor) -> None:
        labelled = person_ids >= 0
        x_labelled, ids = x[labelled], person_ids[labelled]
        # In the order of the RoIs, an identity that occurs twice is updated twice: first all first occurrences, ...
        occurrence = (ids[:, None] == ids[None, :]).tril(-1).sum(1)
        for turn in range(int(occurrence.max()) + 1 if len(ids) else 0):
            now = occurrence == turn
            mixed = self.momentum * self.table[ids[now]] + (1 - self.momentum) * x_labelled[now]
            self.table[ids[now]] = F.normalize(mixed)
        strangers = x[~labelled][-len(self.queue) :]
        skipped = int((~labelled).sum()) - len(strangers)
        rows = (self.queue_position + skipped + torch.arange(len(strangers), device=x.device)) % len(self.queue)
        self.queue[rows] = strangers
        self.queue_position += skipped + len(strangers)
        self.queue_position %= len(self.queue)
