"""GLCNet as its authors' code has been since 2026: scene, group and body parts, here on ResNet-50.

image -> C4 backbone -> SeqNet: RPN, stage 1, stage 2's RoIs -> res4, res5 ---+
                                     |  -> three layer4 -> 1 + 2 + 3 parts ---+
                     -> scene context: attention over the whole map ----------+-> norm-aware embedding, 832
         people's res5 -> group context: their mean --------------------------+
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from psbench.zoo.glcnet import GLCNet, GLCNetOptions
from psbench.zoo.layers.c4 import Encoded
from psbench.zoo.layers.context import SceneAttention
from psbench.zoo.layers.norm_aware import small_linear_bn
from psbench.zoo.layers.parts import PARTS, PartHeads
from psbench_data import InputError


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class GLCNet2026Options(GLCNetOptions):
    """Options of GLCNet of 2026; the defaults are its code's on CUHK-SYSU with ResNet-50.

    Attributes:
        parts: embed six horizontal parts of each person.
        stale_context: a query in whose image nothing is detected gets the contexts of the image before, as in the
            original; by default those of its own.
    """

    backbone: str = "resnet50.tv2_in1k"
    group: bool = True
    parts: bool = True
    stale_context: bool = False
    # Thirds need a map of at least three rows after layer4.
    roi_size: Annotated[int, Field(ge=5)] = 14
    min_box_side: Annotated[float, Field(ge=0)] = 0.1

    @property
    def dims(self) -> dict[str, int]:
        """As GLCNet's, the parts before the contexts."""
        contexts = super().dims
        own = {name: contexts.pop(name) for name in ("res4", "res5")}
        return own | (dict.fromkeys(PARTS, 32) if self.parts else {}) | contexts


class GLCNet2026(GLCNet):
    """GLCNet with scene attention, the group, and parts matched one by one."""

    options_type = GLCNet2026Options
    options: GLCNet2026Options
    scene_extractor = SceneAttention
    eps = 1e-3
    min_norm = 1e-4

    def __init__(self, num_identities: int, options: GLCNet2026Options | None = None) -> None:
        """Build the network.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see `GLCNet2026Options`.
        """
        super().__init__(num_identities, options)
        if self.options.parts:
            self.parts = PartHeads(self.reid_head)
        self.box = small_linear_bn(self.reid_head.channels["res5"], 8, eps=self.eps)
        self._before: dict[str, Tensor] = {}

    def describe(self, rois: Tensor) -> dict[str, Tensor]:
        """As GLCNet's, and of each part one (R, C5)."""
        return super().describe(rois) | (self.parts(rois) if self.options.parts else {})

    def contexts(self, encoded: Encoded, res5: Tensor, is_person: Tensor, counts: list[int]) -> dict[str, Tensor]:
        """As GLCNet's; on request those of the image before, where nothing was detected."""
        contexts = super().contexts(encoded, res5, is_person, counts)
        if self.training or not self.options.stale_context:
            return contexts
        for i, found in enumerate(is_person.split(counts)):
            if found.any():
                self._before = {name: context[i] for name, context in contexts.items()}
            elif len(found):
                if not self._before:
                    raise InputError(
                        "nothing was detected in the first image, and stale_context asks for the image before. "
                        "Lower score_thresh_test, or leave stale_context off."
                    )
                for name, context in contexts.items():
                    context[i] = self._before[name]
        return contexts
