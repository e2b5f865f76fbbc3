"""NAE: norm-aware embedding for efficient person search (Chen et al., CVPR 2020).

image -> C4 backbone -> RPN -> proposals
  -> RoIAlign -> res5 -> norm-aware embedding: direction = who, length = person or not
                      -> box
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from psbench.zoo.layers.c4 import Encoded
from psbench.zoo.layers.faster_rcnn import SampledRoIs, box_regression_loss, sample_rois
from psbench.zoo.layers.norm_aware import NormAwareEmbedding, small_linear_bn
from psbench.zoo.layers.proposals import Judged, ProposalOptions, ProposalSearcher


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class NAEOptions(ProposalOptions):
    """NAE's options; the defaults are the paper's on CUHK-SYSU.

    Attributes:
        unused_classifier: carry the linear layer that the original's weights hold and nothing uses.
    """

    unused_classifier: bool = False


class NAE(ProposalSearcher):
    """A Faster R-CNN whose classifier is the length of the re-ID feature."""

    options_type: ClassVar[type[NAEOptions]] = NAEOptions
    options: NAEOptions
    embedding: nn.Module

    def __init__(self, num_identities: int, options: NAEOptions | None = None) -> None:
        """Build the network.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see `NAEOptions`.
        """
        super().__init__(num_identities, options or NAEOptions())
        self.box = small_linear_bn(self.box_head.channels["res5"], 8)
        self.embedding = NormAwareEmbedding(self.box_head.channels, self.options.embedding_dim)
        if self.options.unused_classifier:
            self.unused_classifier = nn.Linear(self.box_head.channels["res5"], 2)

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The training losses, see `PersonSearcher`."""
        encoded = self.encode(images, targets)
        proposals, rpn_losses = self.propose(encoded)
        rois = sample_rois(proposals, encoded.targets, self.options)
        found = self.judge(encoded, rois.boxes)
        people = rois.is_person
        return rpn_losses | {
            "loss_detection": self.detection_loss(found.logits, rois, encoded.targets),
            "loss_box_reg": self.options.box_weight * box_regression_loss(found.deltas, rois),
            "loss_reid": self.oim(found.embeddings[people], rois.person_ids[people]),
        }

    def judge(self, encoded: Encoded, boxes: list[Tensor]) -> Judged:
        """The heads on boxes (r, 4) an image; logits (R,)."""
        vectors = self.box_head(self.pool(encoded, boxes))
        embeddings, logits = self.embedding(vectors)
        return Judged(logits, logits.sigmoid(), self.box(vectors["res5"]), embeddings)

    def detection_loss(self, logits: Tensor, rois: SampledRoIs, targets: list[dict[str, Tensor]]) -> Tensor:
        """Person or not: binary cross-entropy, the mean over all RoIs.

        Args:
            logits: (R,).
            rois: what they were predicted for.
            targets: the people, in pixels of the resized images.
        """
        return F.binary_cross_entropy_with_logits(logits, rois.is_person.to(logits.dtype))
