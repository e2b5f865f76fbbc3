"""What the weights of released checkpoints are called there, and here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Official:
    """How a checkpoint is read.

    Attributes:
        names: beginnings of official names, each with ours; the first that fits counts.
        unused: beginnings of the names of weights that the original carries and never uses.
        twice: (left, right) beginnings: what the original registered under two names; the left one is left out.
        options: from the weights, under our names, to the options that they ask for.
    """

    names: tuple[tuple[str, str], ...]
    unused: tuple[str, ...] = ()
    twice: tuple[tuple[str, str], ...] = ()
    options: Callable[[Mapping[str, Tensor]], dict[str, Any]] = lambda weights: {}

    def ours(self, official: str) -> str:
        """Our name of a weight."""
        for prefix, ours in self.names:
            if official.startswith(prefix):
                return ours + official.removeprefix(prefix)
        return official


_RPN = (
    # Files written with torchvision before 0.13, whose RPN head was one convolution.
    ("rpn.head.conv.weight", "rpn.head.conv.0.0.weight"),
    ("rpn.head.conv.bias", "rpn.head.conv.0.0.bias"),
)
_OIM = (("roi_heads.reid_loss.lut", "oim.table"), ("roi_heads.reid_loss.cq", "oim.queue"))
_NORM_AWARE = (
    ("roi_heads.embedding_head.projectors.feat_res4.", "embedding.projectors.res4."),
    ("roi_heads.embedding_head.projectors.feat_res5.", "embedding.projectors.res5."),
    ("roi_heads.embedding_head.rescaler.", "embedding.rescaler."),
    ("roi_heads.box_predictor.bbox_pred.", "box."),
)
_STAGE1 = (
    ("roi_heads.faster_rcnn_predictor.cls_score.", "proposal_score."),
    ("roi_heads.faster_rcnn_predictor.bbox_pred.", "proposal_box."),
)

OFFICIAL = {
    "seqnet": Official(names=(*_RPN, *_OIM, *_NORM_AWARE, *_STAGE1, ("roi_heads.", ""))),
}
"""The models whose released checkpoints are read."""
