"""The second half of a Siamese RPN: from scenes' responses to queries to proposals and losses (IGPN, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from psbench.zoo.layers.faster_rcnn import RPN


class ResponseHead(nn.Module):
    """What the responses say of every anchor: it has no weights of its own."""

    def __init__(self, anchors: int) -> None:
        """Take the number k of anchors at each location."""
        super().__init__()
        self.anchors = anchors

    def forward(self, responses: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """A_sim and A_reg, (B, 2 k + 4 k, h, w), to logits (B, k, h, w) of being the target, and deltas (B, 4 k, h, w).

        Of two classes the softmax is the sigmoid of the difference, and the cross-entropy the binary one.
        """
        (response,) = responses
        sim, reg = response.split([2 * self.anchors, 4 * self.anchors], dim=1)
        other, target = sim.unflatten(1, (self.anchors, 2)).unbind(dim=2)
        return [target - other], [reg]


class SiameseRPN(RPN):
    """An RPN that looks for one person: of targets made by `only`."""

    def propose(
        self, images: ImageList, sim: Tensor, reg: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals (r, 4) a pair from its responses A_sim and A_reg, and with targets the losses of `RPN`."""
        return self(images, {"response": torch.cat([sim, reg], dim=1)}, targets)

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """For each anchor 1 (target), 0 (negative) or -1 (neither), and the box it belongs to."""
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for label, boxes, target in zip(labels, anchors, targets, strict=True):
            if len(target["ignored"]):
                on_them = box_iou(target["ignored"], boxes).amax(dim=0) >= self.proposal_matcher.low_threshold
                label[on_them & (label == 0)] = -1
        return labels, matched


def only(target: dict[str, Tensor], *, ignore_others: bool) -> dict[str, Tensor]:
    """A target of whose people the one with its `query_id` is left; the others are background, or ignored.

    Args:
        target: `boxes` (n, 4), `person_ids` (n,) and `query_id` ().
        ignore_others: whether no loss looks at the others.

    Returns:
        `boxes` and `person_ids` of that person, none where it is not there, and `ignored` (m, 4), boxes of others.
    """
    boxes, ids = target["boxes"], target["person_ids"]
    own = ids == target["query_id"]
    return {"boxes": boxes[own], "person_ids": ids[own], "ignored": boxes[~own if ignore_others else own & ~own]}
