"""Online Instance Matching (Xiao et al., CVPR 2017): identities as a look-up table, strangers as a queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass
from torch import Tensor, nn

from psbench.zoo.layers.precision import full
from psbench_data import InputError

BeyondTable = Literal["refuse", "queue"]
Tables = Literal["shared", "per_rank"]
Rounding = Literal["none", "float16", "bfloat16"]


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class OIMLossOptions:
    """What every system with an OIM loss lets be chosen of it; the defaults are those of NAE and SeqNet on CUHK-SYSU.

    Attributes:
        embedding_dim: D.
        oim_queue_size, oim_momentum, oim_scale, oim_normalise_rows, oim_queue_dims, oim_ids_beyond_table, oim_tables,
            oim_round_tables: see `OIMLoss`.
    """

    embedding_dim: Annotated[int, Field(ge=1)] = 256
    oim_queue_size: Annotated[int, Field(ge=1)] = 5000
    oim_momentum: Annotated[float, Field(ge=0, le=1)] = 0.5
    oim_scale: Annotated[float, Field(gt=0)] = 30.0
    oim_normalise_rows: bool = True
    oim_queue_dims: Annotated[int, Field(ge=1)] | None = None
    oim_ids_beyond_table: BeyondTable = "refuse"
    oim_tables: Tables = "shared"
    oim_round_tables: Rounding = "none"


class OIMLoss(nn.Module):
    """Classify embeddings against a running feature of every identity and the last features of unlabelled people.

    With table V (K x D), queue U (Q x D), unit embeddings x and scale s = 1 / temperature, a person of identity t costs
    -log p_t, p = softmax(s [V; U] x), equation 2 and 3 of the paper. Unlabelled people cost nothing themselves; they
    enter the queue and serve as negatives. V and U carry no gradient: after the loss is computed from their old values,
    v_t becomes the normalised mixture of v_t and x, and each unlabelled x replaces the queue's oldest row.

    In a run of several processes every process applies the updates of all of them, in the order of (rank, RoI), so that
    the tables stay equal; each therefore has to call the loss equally often. The mean of the processes' losses, and so
    of their gradients, is the loss of one process with all their people.

    Attributes:
        table: (K, D) float32, the look-up table V.
        queue: (Q, D) float32, the circular queue U.
        queue_position: int64 scalar, the next row to be written.
    """

    table: Tensor
    queue: Tensor
    queue_position: Tensor

    def __init__(
        self,
        num_identities: int,
        dim: int,
        *,
        queue_size: int = 5000,
        momentum: float = 0.5,
        scale: float = 30.0,
        normalise_rows: bool = True,
        queue_dims: int | None = None,
        ids_beyond_table: BeyondTable = "refuse",
        tables: Tables = "shared",
        round_tables: Rounding = "none",
    ) -> None:
        """Start from empty (zero) tables.

        Args:
            num_identities: K, the labelled identities of the training split.
            dim: D.
            queue_size: Q; 5000 for CUHK-SYSU, 500 for PRW.
            momentum: what remains of v_t at an update.
            scale: s; 10 in the OIM paper, 30 in the systems built on NAE.
            normalise_rows: scale v_t to unit length after an update; a port of the OIM release does not.
            queue_dims: write only so many leading coordinates into the queue and leave the others as they are; 64 in
                that port. None writes whole embeddings.
            ids_beyond_table: what to do with identities from K. "queue" is what NAE and SeqNet do on PRW, whose raw
                numbers have gaps: the person enters the queue and is trained towards row id - K of it.
            tables: with "per_rank" each process applies its own updates only, and takes the mean over its own people,
                as the originals do. (DistributedDataParallel then puts the first process's tables in the place of the
                others' before each step, theirs too.)
            round_tables: keep only the digits of this type after each update, as GLCNet of 2026 does under half
                precision: small steps of the momentum are lost.
        """
        super().__init__()
        self.momentum = momentum
        self.scale = scale
        self.normalise_rows = normalise_rows
        self.queue_dims = queue_dims
        self.ids_beyond_table = ids_beyond_table
        self.tables = tables
        self.round_tables = round_tables
        self.register_buffer("table", torch.zeros(num_identities, dim))
        self.register_buffer("queue", torch.zeros(queue_size, dim))
        self.register_buffer("queue_position", torch.zeros((), dtype=torch.int64))

    @classmethod
    def of(cls, num_identities: int, options: OIMLossOptions) -> OIMLoss:
        """The loss that a system's options ask for."""
        chosen = {f.name: getattr(options, f.name) for f in fields(OIMLossOptions) if f.name.startswith("oim_")}
        return cls(
            num_identities,
            options.embedding_dim,
            **{name.removeprefix("oim_"): value for name, value in chosen.items()},
        )

    @property
    def num_identities(self) -> int | None:
        """K, where a person id from there on is a fault; None where it is learnt as the originals do."""
        return len(self.table) if self.ids_beyond_table == "refuse" else None

    def forward(self, embeddings: Tensor, person_ids: Tensor) -> Tensor:
        """The mean loss over labelled people; in training mode updates the tables.

        Args:
            embeddings: (R, D), L2-normalised, of foreground RoIs.
            person_ids: (R,) int64, 0..K-1, or negative for people without identity.

        Returns:
            A scalar: the mean, or in several processes this one's part of it, whose mean over them is the mean over all
            people. Without any labelled person it is zero and still connected to the graph: current PyTorch's mean over
            no terms would be NaN and end a run.

        Raises:
            InputError: an identity, of any process, is not in the table.
        """
        # Half precision has too few digits for momentum updates and for a softmax over thousands of classes.
        with torch.autocast(embeddings.device.type, enabled=False):
            x = full(embeddings)
            every_x, every_id, processes = x.detach(), person_ids, 1
            if self.tables == "shared" and dist.is_available() and dist.is_initialized():
                every_x, every_id = gather_rows(every_x, every_id)
                processes = dist.get_world_size()
            self._require_known(every_id)
            logits = self.scale * x @ torch.cat([self.table, self.queue]).to(x.dtype).T
            labelled = person_ids >= 0
            total = F.cross_entropy(logits[labelled], person_ids[labelled], reduction="sum")
            loss = total * processes / (every_id >= 0).sum().clamp(min=1)
            if self.training:
                self._update(every_x.to(self.table.dtype), every_id)
        return loss

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> OIMLoss:
        # `model.half()` must not take digits from the tables: momentum updates are smaller than half precision tells.
        tables = {name: getattr(self, name) for name in ("table", "queue")}
        super()._apply(fn, recurse)
        for name, before in tables.items():
            if getattr(self, name).dtype in (torch.float16, torch.bfloat16):
                setattr(self, name, before.to(getattr(self, name).device))
        return self

    def _require_known(self, person_ids: Tensor) -> None:
        K, Q = len(self.table), len(self.queue)
        end = K + Q if self.ids_beyond_table == "queue" else K
        unknown = person_ids[person_ids >= end]
        if len(unknown):
            raise InputError(
                f"OIM: person ids {unknown.unique().tolist()} with num_identities={K} and a queue of {Q}: expected "
                f"0..{end - 1}, or a negative number for a person without identity. Number the identities without gaps."
            )

    @torch.no_grad()
    def _update(self, x: Tensor, person_ids: Tensor) -> None:
        in_table = (person_ids >= 0) & (person_ids < len(self.table))
        x_labelled, ids = x[in_table], person_ids[in_table]
        # In the order of the RoIs, an identity that occurs twice is updated twice: first all first occurrences, ...
        occurrence = (ids[:, None] == ids[None, :]).tril(-1).sum(1)
        for turn in range(int(occurrence.max()) + 1 if len(ids) else 0):
            now = occurrence == turn
            mixed = self.momentum * self.table[ids[now]] + (1 - self.momentum) * x_labelled[now]
            self.table[ids[now]] = F.normalize(mixed) if self.normalise_rows else mixed
        strangers = x[~in_table][-len(self.queue) :]
        skipped = int((~in_table).sum()) - len(strangers)
        rows = (self.queue_position + skipped + torch.arange(len(strangers), device=x.device)) % len(self.queue)
        self.queue[rows, : self.queue_dims] = strangers[:, : self.queue_dims]
        self.queue_position += skipped + len(strangers)
        self.queue_position %= len(self.queue)
        if self.round_tables != "none":
            for table in (self.table, self.queue):
                table.copy_(table.to(getattr(torch, self.round_tables)))


def gather_rows(x: Tensor, person_ids: Tensor) -> tuple[Tensor, Tensor]:
    """The rows (R, D) and ids (R,) of all processes, rank after rank; R may differ between them."""
    counts = _gather(torch.tensor([len(x)], device=x.device)).tolist()
    if not max(counts):
        return x, person_ids
    # A collective needs equal shapes.
    padding = max(counts) - len(x)
    every_x, every_id = _gather(F.pad(x, (0, 0, 0, padding))), _gather(F.pad(person_ids, (0, padding)))
    real = (torch.arange(max(counts)) < torch.tensor(counts)[:, None]).flatten().to(x.device)
    return every_x[real], every_id[real]


def _gather(tensor: Tensor) -> Tensor:
    """Equally shaped tensors of all processes, joined along the first dimension."""
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)
