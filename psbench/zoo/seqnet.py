"""SeqNet: end-to-end person search in sequence (Li and Miao, AAAI 2021).

image -> C4 backbone -> RPN -> proposals
  -> stage 1: RoIAlign -> res5 -> person or not, box       (better boxes)
  -> stage 2: RoIAlign on these boxes -> res5 -> norm-aware embedding, box
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign

from psbench.zoo.interface import Detections, ZooModel
from psbench.zoo.layers.backbone import split_resnet
from psbench.zoo.layers.faster_rcnn import (
    DetectorOptions,
    Positive,
    Share,
    box_regression_loss,
    decode_boxes,
    keep_detections,
    make_rpn,
    make_transform,
    person_deltas,
    sample_rois,
    to_original_pixels,
    to_resized_pixels,
)
from psbench.zoo.layers.norm_aware import NormAwareEmbedding, small_linear_bn
from psbench.zoo.layers.oim import OIMLoss

STAGE2_NMS = 0.5
"""IoU above which a final detection suppresses another; fixed in the original, and looser than stage 1's."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class SeqNetOptions(DetectorOptions):
    """SeqNet's options; the defaults are the paper's on CUHK-SYSU.

    Attributes:
        backbone: a timm ResNet.
        pretrained: start from timm's weights of that name, or from the file at this path.
        freeze_stem: do not train the first convolution and its batch norm.
        embedding_dim: D.
        oim_queue_size, oim_momentum, oim_scale: see `OIMLoss`.
        proposal_box_weight: weight of stage 1's box regression in the sum of losses.
        weight_by_score: multiply a detection's embedding by its score (the paper's confidence weighted similarity).
    """

    backbone: str = "resnet50.tv_in1k"
    pretrained: bool | str = False
    freeze_stem: bool = True
    embedding_dim: Positive = 256
    oim_queue_size: Positive = 5000
    oim_momentum: Share = 0.5
    oim_scale: Annotated[float, Field(gt=0)] = 30.0
    proposal_box_weight: Annotated[float, Field(ge=0)] = 10.0
    weight_by_score: bool = True


class SeqNet(ZooModel):
    """A Faster R-CNN as a stronger proposal network (stage 1), NAE on its boxes (stage 2)."""

    training_only = ("oim.",)

    def __init__(self, num_identities: int, options: SeqNetOptions | None = None) -> None:
        """Build the network.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see `SeqNetOptions`.
        """
        super().__init__()
        self.options = o = options or SeqNetOptions()
        self.transform = make_transform(o)
        self.backbone, self.box_head = split_resnet(o.backbone, pretrained=o.pretrained)
        self.reid_head = self.box_head.copy()
        if o.freeze_stem:
            self.backbone.freeze_stem()
        c4, c5 = self.box_head.channels
        self.rpn = make_rpn(o, c4)
        self.roi_align = MultiScaleRoIAlign(["c4"], output_size=o.roi_size, sampling_ratio=2)
        self.proposal_score = nn.Linear(c5, 2)
        self.proposal_box = nn.Linear(c5, 8)
        self.box = small_linear_bn(c5, 8)
        self.embedding = NormAwareEmbedding([c4, c5], o.embedding_dim)
        self.oim = OIMLoss(
            num_identities, o.embedding_dim, queue_size=o.oim_queue_size, momentum=o.oim_momentum, scale=o.oim_scale
        )

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The training losses, see `PersonSearcher`."""
        batch, resized_targets = self.transform(images, targets)
        features = self.backbone(batch.tensors)
        proposals, rpn_losses = self.rpn(batch, {"c4": features}, resized_targets)

        rois = sample_rois(proposals, resized_targets, self.options)
        _, x = self.box_head(self._pool(features, rois.boxes, batch))
        score, deltas = self.proposal_score(x), self.proposal_box(x)
        losses = {
            "loss_rpn_cls": rpn_losses["loss_objectness"],
            "loss_rpn_reg": rpn_losses["loss_rpn_box_reg"],
            "loss_proposal_cls": F.cross_entropy(score, rois.is_person.long()),
            "loss_proposal_reg": self.options.proposal_box_weight * box_regression_loss(deltas, rois),
        }

        # Stage 2 learns from stage 1's boxes as they come out: neither filtered nor suppressed.
        boxes = decode_boxes(person_deltas(deltas).detach(), rois.boxes, batch.image_sizes)
        rois = sample_rois(boxes, resized_targets, self.options)
        vectors = self.reid_head(self._pool(features, rois.boxes, batch))
        embeddings, logits = self.embedding(vectors)
        people = rois.is_person
        return losses | {
            "loss_box_cls": F.binary_cross_entropy_with_logits(logits, people.to(logits.dtype)),
            "loss_box_reg": box_regression_loss(self.box(vectors[1]), rois),
            "loss_box_reid": self.oim(embeddings[people], rois.person_ids[people]),
        }

    @torch.no_grad()
    def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[Detections]:
        """The people of each image, see `PersonSearcher`.

        The final score is stage 1's (the paper's first classification score); the embedding belongs to stage 1's box.

        Args:
            images: as everywhere.
            include: (n, 4) known boxes an image, pixels; they come out first, as they are and with score 1, suppress
                what overlaps them, and no embedding is weighted: the context that CBGM needs.
        """
        original_sizes = [(int(image.shape[-2]), int(image.shape[-1])) for image in images]
        batch, _ = self.transform(images)
        features = self.backbone(batch.tensors)
        proposals, _ = self.rpn(batch, {"c4": features})

        _, x = self.box_head(self._pool(features, proposals, batch))
        moved = decode_boxes(person_deltas(self.proposal_box(x)), proposals, batch.image_sizes)
        person = self.proposal_score(x).softmax(dim=1)[:, 1].split([len(p) for p in proposals])
        boxes, scores = [], []
        for image_boxes, image_scores in zip(moved, person, strict=True):
            kept = keep_detections(image_boxes, image_scores, self.options, nms_thresh=self.options.nms_thresh_test)
            boxes.append(image_boxes[kept])
            scores.append(image_scores[kept])

        known = self._resized(images, include, batch) if include else [b.new_zeros(0, 4) for b in boxes]
        boxes = [torch.cat(pair) for pair in zip(known, boxes, strict=True)]
        scores = [torch.cat([s.new_ones(len(k)), s]) for k, s in zip(known, scores, strict=True)]
        vectors = self.reid_head(self._pool(features, boxes, batch))
        embeddings = self.embedding(vectors)[0].split([len(b) for b in boxes])
        final_boxes = decode_boxes(person_deltas(self.box(vectors[1])), boxes, batch.image_sizes)
        detections = []
        for i, original in enumerate(original_sizes):
            final = torch.cat([known[i], final_boxes[i][len(known[i]) :]])
            kept = keep_detections(final, scores[i], self.options, nms_thresh=STAGE2_NMS)
            weight = scores[i][kept, None] if self.options.weight_by_score and include is None else 1.0
            detections.append(
                Detections(
                    boxes=to_original_pixels(final[kept], batch.image_sizes[i], original),
                    scores=scores[i][kept],
                    embeddings=embeddings[i][kept] * weight,
                )
            )
        return detections

    @torch.no_grad()
    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """Unit embeddings of given boxes, see `PersonSearcher`."""
        batch, _ = self.transform(images)
        resized = self._resized(images, boxes, batch)
        vectors = self.reid_head(self._pool(self.backbone(batch.tensors), resized, batch))
        return list(self.embedding(vectors)[0].split([len(b) for b in boxes]))

    def _resized(self, images: list[Tensor], boxes: list[Tensor], batch: ImageList) -> list[Tensor]:
        return [
            to_resized_pixels(b, size, (int(image.shape[-2]), int(image.shape[-1])))
            for b, size, image in zip(boxes, batch.image_sizes, images, strict=True)
        ]

    def _pool(self, features: Tensor, boxes: list[Tensor], batch: ImageList) -> Tensor:
        return self.roi_align({"c4": features}, boxes, batch.image_sizes)
