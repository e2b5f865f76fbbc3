"""OIM: joint detection and identification (Xiao et al., CVPR 2017) on today's Faster R-CNN.

image -> C4 backbone -> RPN -> proposals
  -> RoIAlign -> res5 -> person or not, box
                      -> unit embedding

The network of 2017 is another one, `oim_caffe`.
"""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from psbench.zoo.layers.c4 import Encoded
from psbench.zoo.layers.faster_rcnn import box_regression_loss, sample_rois
from psbench.zoo.layers.norm_aware import small_linear_bn
from psbench.zoo.layers.precision import full
from psbench.zoo.layers.proposals import Judged, ProposalOptions, ProposalSearcher


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class OIMOptions(ProposalOptions):
    """OIM's options; sizes, sampling and weights are NAE's on CUHK-SYSU, so that the two differ by the heads alone."""

    weight_by_score: bool = False


class OIM(ProposalSearcher):
    """A Faster R-CNN with a third head for the embedding."""

    options_type = OIMOptions
    options: OIMOptions

    def __init__(self, num_identities: int, options: OIMOptions | None = None) -> None:
        """Build the network.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see `OIMOptions`.
        """
        super().__init__(num_identities, options or OIMOptions())
        c5 = self.box_head.channels["res5"]
        self.score = nn.Linear(c5, 2)
        self.box = small_linear_bn(c5, 8)
        self.embedding = small_linear_bn(c5, self.options.embedding_dim)

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The training losses, see `PersonSearcher`."""
        encoded = self.encode(images, targets)
        proposals, rpn_losses = self.propose(encoded)
        rois = sample_rois(proposals, encoded.targets, self.options)
        found = self.judge(encoded, rois.boxes)
        people = rois.is_person
        return {
            "loss_rpn_cls": rpn_losses["loss_objectness"],
            "loss_rpn_reg": rpn_losses["loss_rpn_box_reg"],
            "loss_cls": F.cross_entropy(found.logits, people.long()),
            "loss_box_reg": self.options.box_weight * box_regression_loss(found.deltas, rois),
            "loss_reid": self.oim(found.embeddings[people], rois.person_ids[people]),
        }

    def judge(self, encoded: Encoded, boxes: list[Tensor]) -> Judged:
        """The heads on boxes (r, 4) an image; logits (R, 2), of background and person."""
        x = self.box_head(self.pool(encoded, boxes))["res5"]
        logits = full(self.score(x))
        embeddings = F.normalize(full(self.embedding(x)))
        return Judged(logits, logits.softmax(dim=1)[:, 1], self.box(x), embeddings)
