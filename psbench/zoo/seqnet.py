"""SeqNet: end-to-end person search in sequence (Li and Miao, AAAI 2021).

image -> C4 backbone -> RPN -> proposals
  -> stage 1: RoIAlign -> res5 -> person or not, box       (better boxes)
  -> stage 2: RoIAlign on these boxes -> res5 -> norm-aware embedding, box
"""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from psbench.zoo.interface import Detections, Unit, inference
from psbench.zoo.layers.c4 import C4Options, C4Searcher, Encoded, Weight, after_known
from psbench.zoo.layers.faster_rcnn import (
    box_regression_loss,
    decode_boxes,
    person_deltas,
    sample_rois,
)
from psbench.zoo.layers.norm_aware import NormAwareEmbedding, small_linear_bn
from psbench.zoo.layers.precision import full
from psbench.zoo.layers.suppression import keep_of_images

STAGE1_MIN_SIDE = 0.01
"""Pixels; boxes with a shorter side do not reach stage 2. Fixed in the original."""
STAGE2_NMS = 0.5
"""IoU above which a final detection suppresses another; fixed in the original, and looser than stage 1's."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class SeqNetOptions(C4Options):
    """SeqNet's options; the defaults are the paper's on CUHK-SYSU.

    Attributes:
        proposal_box_weight: weight of stage 1's box regression in the sum of losses.
        first_classification_score: a detection's score is stage 1's, as in the paper; otherwise stage 2's.
    """

    proposal_box_weight: Weight = 10.0
    first_classification_score: bool = True


class SeqNet(C4Searcher):
    """A Faster R-CNN as a stronger proposal network (stage 1), NAE on its boxes (stage 2)."""

    options_type = SeqNetOptions
    options: SeqNetOptions

    def __init__(self, num_identities: int, options: SeqNetOptions | None = None) -> None:
        """Build the network.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see `SeqNetOptions`.
        """
        super().__init__(num_identities, options or SeqNetOptions())
        c5 = self.box_head.channels["res5"]
        self.reid_head = self.box_head.copy()
        self.proposal_score = nn.Linear(c5, 2)
        self.proposal_box = nn.Linear(c5, 8)
        self.box = small_linear_bn(c5, 8)
        self.embedding = NormAwareEmbedding(self.box_head.channels, self.options.embedding_dim)

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The training losses, see `PersonSearcher`."""
        encoded = self.encode(images, targets)
        proposals, rpn_losses = self.propose(encoded)

        rois = sample_rois(proposals, encoded.targets, self.options)
        x = self.box_head(self.pool(encoded, rois.boxes))["res5"]
        score, deltas = full(self.proposal_score(x)), self.proposal_box(x)
        losses = {
            "loss_rpn_cls": rpn_losses["loss_objectness"],
            "loss_rpn_reg": rpn_losses["loss_rpn_box_reg"],
            "loss_proposal_cls": F.cross_entropy(score, rois.is_person.long()),
            "loss_proposal_reg": self.options.proposal_box_weight * box_regression_loss(deltas, rois),
        }

        # Stage 2 learns from stage 1's boxes as they come out: neither filtered nor suppressed.
        boxes = decode_boxes(person_deltas(deltas).detach(), rois.boxes, encoded.sizes)
        rois = sample_rois(boxes, encoded.targets, self.options)
        vectors = self.features(encoded, rois.boxes, rois.is_person)
        embeddings, logits = self.embedding(vectors)
        people = rois.is_person
        return losses | {
            "loss_box_cls": F.binary_cross_entropy_with_logits(logits, people.to(logits.dtype)),
            "loss_box_reg": box_regression_loss(self.box(vectors["res5"]), rois),
            "loss_box_reid": self.oim(embeddings[people], rois.person_ids[people]),
        }

    @inference
    def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[Detections]:
        """The people of each image, see `PersonSearcher`.

        The final score is stage 1's (the paper's first classification score); the embedding belongs to stage 1's box.

        Args:
            images: as everywhere.
            include: (n, 4) known boxes an image, pixels; they come out first, as they are and with score 1, suppress
                what overlaps them, and no embedding is weighted: the context that CBGM needs.
        """
        encoded = self.encode(images)
        found, person = self.people(encoded)
        known = encoded.resized(include)
        boxes, is_found = after_known(known, found)
        vectors = self.features(encoded, boxes, is_found)
        embeddings, logits = self.embedding(vectors)
        if not self.options.first_classification_score:
            person = list(logits[is_found].sigmoid().split([len(f) for f in found]))
        return self.select(
            encoded,
            boxes,
            person_deltas(self.box(vectors["res5"])),
            person,
            embeddings,
            known,
            nms_thresh=STAGE2_NMS,
            weighted=self.options.weight_by_score and include is None,
        )

    @inference
    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """Unit embeddings of given boxes, see `PersonSearcher`."""
        encoded = self.encode(images)
        embeddings, _ = self.embedding(self.features(encoded, encoded.resized(boxes)))
        return list(embeddings.split([len(b) for b in boxes]))

    def people(self, encoded: Encoded) -> tuple[list[Tensor], list[Tensor]]:
        """Stage 1's detections: boxes (n, 4) and scores (n,) an image."""
        proposals, _ = self.propose(encoded)
        x = self.box_head(self.pool(encoded, proposals))["res5"]
        moved = decode_boxes(person_deltas(self.proposal_box(x)), proposals, encoded.sizes)
        scores = full(self.proposal_score(x)).softmax(dim=1)[:, 1].split([len(p) for p in proposals])
        kept = keep_of_images(
            moved, scores, self.options, nms_thresh=self.options.nms_thresh_test, min_side=STAGE1_MIN_SIDE
        )
        boxes, found = ([of_image[k] for of_image, k in zip(all_, kept, strict=True)] for all_ in (moved, scores))
        return boxes, found

    def walk_heads(self, encoded: Encoded, roi: list[Tensor]) -> Iterator[Unit]:
        """See `C4Searcher`."""
        yield from self.walk_stages(encoded, roi, {})

    def walk_stages(self, encoded: Encoded, roi: list[Tensor], contexts: dict[str, Tensor]) -> Iterator[Unit]:
        """Both stages on one RoI; contexts (1, C) by name are embedded with it."""
        pooled = self.pool(encoded, roi)
        x = self.box_head(pooled)["res5"]
        self.proposal_score(x)
        self.proposal_box(x)
        yield "RoI"
        vectors = self.describe(pooled)
        self.box(vectors["res5"])
        self.embedding(vectors | contexts)
        yield "person"

    def features(self, encoded: Encoded, boxes: list[Tensor], is_person: Tensor | None = None) -> dict[str, Tensor]:
        """What boxes are embedded from: one (R, C) each projector.

        Args:
            encoded: the images.
            boxes: (r, 4) an image.
            is_person: (R,) bool, which of them the detector found, in training which are people; all by default.
                SeqNet embeds each box by itself; a system with context looks at the others.
        """
        return self.describe(self.pool(encoded, boxes))

    def describe(self, rois: Tensor) -> dict[str, Tensor]:
        """What is taken from the RoIs themselves: (R, C4, s, s) to one (R, C) by name."""
        return self.reid_head(rois)
