"""Networks that run in stages, with the choice of what is kept of a stage until the backward pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint


class Staged(nn.Module):
    """A network whose last layers are stages, over images or over RoIs: nearly all of a model's work is in these.

    Attributes:
        recompute: where gradients are wanted, keep only what enters a stage, and run it again in the backward pass:
            less memory, more time, the same results.
    """

    recompute: bool = False

    @abstractmethod
    def stages(self) -> list[nn.Module]:
        """In the order in which they run; each makes one map of one map."""

    def through_stages(self, x: Tensor) -> Tensor:
        """The last stage's map of the first one's input."""
        for made in self.each_map(x):
            x = made
        return x

    def each_map(self, x: Tensor) -> Iterator[Tensor]:
        """Every stage's map of the first one's input."""
        for stage in self.stages():
            x = _run_again(stage, x) if self.recompute and torch.is_grad_enabled() else stage(x)
            yield x


def _run_again(stage: nn.Module, x: Tensor) -> Tensor:
    """A stage's output; what its gradients need is computed a second time when they are asked for."""
    started = False

    def run(x: Tensor) -> Tensor:
        nonlocal started
        if not started:
            started = True
            return stage(x)
        # The statistics that batch norm follows have moved by this input already.
        copies = {name: buffer.clone() for name, buffer in stage.named_buffers()}
        return functional_call(stage, copies, (x,))

    return checkpoint(run, x, use_reentrant=False)
