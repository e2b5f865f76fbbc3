"""What a network costs: parameters, and multiply-adds of one image, counted part by part without computing anything."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchvision  # noqa: F401, for torch.ops.torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from psbench.zoo.interface import Unit, ZooModel


@dataclass(frozen=True)
class Part:
    """A part of a network, a module of the model by its name.

    Attributes:
        name: of the module.
        per: what it runs once for: the image, a query, a query in the image, a proposal, or a proposal that was found
            to be a person.
        gmac: 10^9 multiply-adds each time, those of convolutions and matrix products; a FLOP count is twice as large.
        parameters: of the module.
    """

    name: str
    per: Unit
    gmac: float
    parameters: int


@dataclass(frozen=True)
class Cost:
    """What detecting the people of one image costs, or searching it for one query.

    Attributes:
        parts: in the order in which they run.
        height, width: of the image, pixels.
        rois, people: how often the parts run that run once a RoI, or once a person.
        parameters: of the whole model.
    """

    parts: tuple[Part, ...]
    height: int
    width: int
    rois: int
    people: int
    parameters: int

    @property
    def gmac(self) -> float:
        """10^9 multiply-adds in total."""
        once = self.per("image") + self.per("query") + self.per("pair")
        return once + self.rois * self.per("RoI") + self.people * self.per("person")

    def per(self, unit: Unit) -> float:
        """10^9 multiply-adds of all parts that run once for each of these."""
        return sum(part.gmac for part in self.parts if part.per == unit)

    def __str__(self) -> str:
        """A table, one line a part."""
        lines = [f"{'part':<20} {'per':<8} {'GMAC':>12} {'parameters':>14}"]
        lines += [f"{p.name:<20} {p.per:<8} {p.gmac:>12.5f} {p.parameters:>14,}" for p in self.parts]
        what = f"{self.height}x{self.width}, {self.rois} RoIs, {self.people} people"
        return "\n".join([*lines, f"{'total':<20} {'':<8} {self.gmac:>12.2f} {self.parameters:>14,}   {what}"])


@torch.no_grad()
def cost(model: ZooModel, height: int, width: int, *, rois: int = 300, people: int = 10) -> Cost:
    """Count what detecting the people of one image takes; of a pairwise model, what searching it for one query takes.

    Nothing is computed: the network runs on tensors that have shapes and no values. Non-maximum suppression, pooling
    and element-wise layers are not counted; they are less than a thousandth of the whole.

    Args:
        model: any of the zoo; it stays as it is.
        height, width: of the image, pixels, before the model resizes and pads it.
        rois: RoIs that the heads see, by default the 300 proposals of the papers.
        people: of these, how many the first of two stages finds to be people; 5 to 20 in practice.

    Example:
        >>> from psbench import zoo
        >>> from psbench.zoo.cost import cost
        >>> round(cost(zoo.create("seqnet", num_identities=1), 900, 1500, people=0).gmac, 1)
        385.8
    """
    shadow = copy.deepcopy(model).to("meta").eval().requires_grad_(False)
    parts: list[Part] = []
    with FlopCounterMode(display=False, custom_mapping=_DEFORMABLE) as counter:
        spent = _watch(shadow, counter)
        for unit in shadow.walk(torch.empty(3, height, width, device="meta")):
            parts += [
                Part(name, unit, macs / 1e9, _parameters(shadow.get_submodule(name)))
                for name, macs in spent.items()
                if macs
            ]
            spent.clear()
    return Cost(tuple(parts), height, width, rois, people, _parameters(model))


def _deformable(x: Sequence[int], weight: Sequence[int], *_: Any, out_shape: Sequence[int], **__: Any) -> int:
    """FLOP of a deformable convolution: those of a convolution, as sampling between cells is not counted."""
    return 2 * math.prod(weight) * out_shape[0] * math.prod(out_shape[2:])


_DEFORMABLE = {torch.ops.torchvision.deform_conv2d: _deformable}


def _watch(model: nn.Module, counter: FlopCounterMode) -> dict[str, int]:
    """Multiply-adds by the name of the direct child in which they are spent, filled as the model runs."""
    spent: dict[str, int] = {}
    entered: list[int] = []

    def enter(*_: Any) -> None:
        entered.append(counter.get_total_flops())

    def leave(child: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            start = entered.pop()
            # Of layers within layers the outermost counts. It need not be the child itself: a model may call a part
            # of one (`rpn.head`), or a method of it.
            if not entered:
                spent[child] = spent.get(child, 0) + (counter.get_total_flops() - start) // 2

        return hook

    for name, module in model.named_modules():
        if name:
            module.register_forward_pre_hook(enter)
            module.register_forward_hook(leave(name.split(".")[0]))
    return spent


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
