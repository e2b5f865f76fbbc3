"""The parts of Faster R-CNN (Ren et al., NeurIPS 2015) that the two-stage systems share, built from torchvision's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass
from torch import Tensor, nn
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import boxes as box_ops

from psbench.zoo.layers.precision import full

Positive = Annotated[int, Field(ge=1)]
Several = Annotated[int, Field(ge=1, le=64)]
"""A number of layers or of anchors: what is built one by one has to come to an end, whatever a file says."""
Share = Annotated[float, Field(ge=0, le=1)]
BackgroundIoU = Annotated[float, Field(ge=0, le=0.5)]
ImageSize = tuple[int, int]
"""Height and width, pixels."""


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class DetectorOptions:
    """Options of the two-stage systems; the defaults are SeqNet's on CUHK-SYSU and PRW.

    Attributes:
        min_size, max_size: images are resized so that the short side is min_size, or the long side max_size if that is
            smaller; pixels.
        anchor_sizes: square roots of the anchors' areas, pixels of the resized image.
        anchor_ratios: height / width of the anchors.
        rpn_pre_nms_top_n_train, rpn_pre_nms_top_n_test: anchors kept before NMS, an image.
        rpn_post_nms_top_n_train, rpn_post_nms_top_n_test: proposals kept after it.
        rpn_batch_size_per_image: anchors in the RPN's loss.
        rpn_box_loss: of its box regression; torchvision's was plain L1 until 0.4, which the originals were written for,
            and has been smooth L1 (beta 1/9) since.
        roi_size: side of the pooled RoI maps.
        roi_batch_size_per_image: RoIs in the heads' losses.
        roi_bg_iou_thresh: an RoI whose IoU with every person is lower is background; from there to 0.5 it is neither.
        score_thresh_test: detections at or below this score are dropped.
        nms_thresh_test: IoU above which a detection suppresses another.
        detections_per_image: most detections kept.
        min_box_side: detections with a shorter side are dropped; pixels of the resized image.
    """

    min_size: Positive = 900
    max_size: Positive = 1500
    anchor_sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = (32, 64, 128, 256, 512)
    anchor_ratios: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (0.5, 1.0, 2.0)
    rpn_pre_nms_top_n_train: Positive = 12000
    rpn_pre_nms_top_n_test: Positive = 6000
    rpn_post_nms_top_n_train: Positive = 2000
    rpn_post_nms_top_n_test: Positive = 300
    rpn_batch_size_per_image: Positive = 256
    rpn_box_loss: Literal["smooth_l1", "l1"] = "smooth_l1"
    roi_size: Positive = 14
    # Batch norm needs two.
    roi_batch_size_per_image: Annotated[int, Field(ge=2)] = 128
    roi_bg_iou_thresh: BackgroundIoU = 0.5
    score_thresh_test: Share = 0.5
    nms_thresh_test: Share = 0.4
    detections_per_image: Positive = 300
    min_box_side: Annotated[float, Field(ge=0)] = 0.01

    @property
    def anchors_per_location(self) -> int:
        """How many there are around each cell of the map."""
        return len(self.anchor_sizes) * len(self.anchor_ratios)


def make_transform(options: DetectorOptions) -> GeneralizedRCNNTransform:
    """ImageNet normalisation, bilinear resize, zero padding of a batch to a multiple of 32."""
    return GeneralizedRCNNTransform(
        options.min_size, options.max_size, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]
    )


class FullRPNHead(RPNHead):
    """The RPN's head; what it says of anchors has full precision also where its convolutions have not."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Maps (B, C, h, w) to objectness (B, A, h, w) and deltas (B, 4 A, h, w)."""
        objectness, deltas = super().forward(x)
        return [full(o) for o in objectness], [full(d) for d in deltas]


class RPN(RegionProposalNetwork):
    """torchvision's region proposal network, with anchors, boxes and losses in full precision under autocast."""

    box_loss_beta: float
    """Where smooth L1 turns from a parabola into a line; with 0 it is plain L1."""

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals (r, 4) an image, and with targets the losses `loss_objectness` and `loss_rpn_box_reg`."""
        # torchvision's decides by its mode, which stands for nothing else, which numbers of proposals it takes and
        # whether there are losses.
        mode: bool = self.training
        self.train(targets is not None)
        try:
            # The type of the anchors is that of the map: pixel numbers above 256 are rounded in bfloat16.
            return super().forward(images, {name: full(x) for name, x in features.items()}, targets)
        finally:
            self.train(mode)

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Binary cross-entropy of the sampled anchors, and the box error of the people's, divided by their number."""
        positive, negative = (torch.cat(chosen) > 0 for chosen in self.fg_bg_sampler(labels))
        sampled = torch.cat([positive.nonzero(), negative.nonzero()]).flatten()
        target, truth = torch.cat(regression_targets)[positive], torch.cat(labels)[sampled]
        error = F.smooth_l1_loss(pred_bbox_deltas[positive], target, beta=self.box_loss_beta, reduction="sum")
        logits = objectness.flatten()[sampled]
        return F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype)), error / len(sampled)

    @classmethod
    def of(
        cls,
        options: DetectorOptions,
        head: nn.Module,
        *,
        positive_iou: float = 0.7,
        negative_iou: float = 0.3,
        positive_share: float = 0.5,
        nms_thresh: float = 0.7,
    ) -> Self:
        """With a head for one map.

        Args:
            options: anchors, numbers of anchors and proposals, loss.
            head: see `FullRPNHead`.
            positive_iou, negative_iou: an anchor whose IoU with somebody is at least the one is a person, with
                everybody below the other background.
            positive_share: of the anchors in the loss, how many are people at most.
            nms_thresh: IoU above which a proposal suppresses another.
        """
        o = options
        rpn = cls(
            AnchorGenerator((o.anchor_sizes,), (o.anchor_ratios,)),
            head,
            fg_iou_thresh=positive_iou,
            bg_iou_thresh=negative_iou,
            batch_size_per_image=o.rpn_batch_size_per_image,
            positive_fraction=positive_share,
            pre_nms_top_n={"training": o.rpn_pre_nms_top_n_train, "testing": o.rpn_pre_nms_top_n_test},
            post_nms_top_n={"training": o.rpn_post_nms_top_n_train, "testing": o.rpn_post_nms_top_n_test},
            nms_thresh=nms_thresh,
        )
        rpn.box_loss_beta = 0.0 if o.rpn_box_loss == "l1" else 1 / 9
        return rpn


def make_rpn(options: DetectorOptions, channels: int) -> RPN:
    """The region proposal network over one map of `channels` channels."""
    return RPN.of(options, FullRPNHead(channels, options.anchors_per_location))


@dataclass(frozen=True, eq=False)
class SampledRoIs:
    """The RoIs of a batch that a head is trained on, image after image.

    Attributes:
        boxes: one (r, 4) an image, pixels of the resized images.
        is_person: (R,) bool.
        person_ids: (R,) int64: 0..K-1, -1 for a person without identity; -1 also for background.
        deltas: (R, 4), from each box to its person's box, in the units of `BOX_CODER`.
    """

    boxes: list[Tensor]
    is_person: Tensor
    person_ids: Tensor
    deltas: Tensor


BOX_CODER = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))


def sample_rois(proposals: list[Tensor], targets: list[dict[str, Tensor]], options: DetectorOptions) -> SampledRoIs:
    """Choose the RoIs that a head learns from: at most half people, the true boxes among the candidates.

    An RoI is a person if its IoU with one is at least 0.5, and background below roi_bg_iou_thresh.

    Args:
        proposals: (r, 4) an image.
        targets: `boxes` (n, 4) and `person_ids` (n,) an image.
        options: gives roi_batch_size_per_image and roi_bg_iou_thresh.
    """
    matcher = Matcher(0.5, options.roi_bg_iou_thresh, allow_low_quality_matches=False)
    sampler = BalancedPositiveNegativeSampler(options.roi_batch_size_per_image, 0.5)
    boxes, matches, labels = [], [], []
    for image_proposals, target in zip(proposals, targets, strict=True):
        candidates = torch.cat([image_proposals, target["boxes"]])
        if len(target["boxes"]):
            match = matcher(box_ops.box_iou(target["boxes"], candidates))
        else:
            match = torch.full((len(candidates),), Matcher.BELOW_LOW_THRESHOLD, device=candidates.device)
        # 1 and 0, and -1 for those in between, which the sampler leaves out.
        label = (match >= 0).long() - (match == Matcher.BETWEEN_THRESHOLDS).long()
        positive, negative = sampler([label])
        chosen = torch.where(positive[0] | negative[0])[0]
        boxes.append(candidates[chosen])
        matches.append(match[chosen])
        labels.append(label[chosen])
    is_person = torch.cat(labels) == 1
    person_ids, deltas = [], []
    for chosen_boxes, match, target in zip(boxes, matches, targets, strict=True):
        if len(target["boxes"]):
            index = match.clamp(min=0)
            person_ids.append(target["person_ids"][index])
            deltas.append(BOX_CODER.encode_single(target["boxes"][index], chosen_boxes))
        else:
            person_ids.append(match.new_full((len(match),), -1))
            deltas.append(torch.zeros_like(chosen_boxes))
    ids = torch.where(is_person, torch.cat(person_ids), -1)
    return SampledRoIs(boxes, is_person, ids, torch.cat(deltas))


def box_regression_loss(deltas: Tensor, rois: SampledRoIs) -> Tensor:
    """Smooth L1 over the people's RoIs, divided by the number of all RoIs.

    Args:
        deltas: (R, 8), predictions for background (unused) and person; or (R, 4), for the person alone.
        rois: what they were predicted for.
    """
    people = rois.is_person
    error = F.smooth_l1_loss(full(person_deltas(deltas))[people], rois.deltas[people], reduction="sum")
    return error / max(len(people), 1)


def person_deltas(deltas: Tensor) -> Tensor:
    """The person's columns of (R, 8) class-specific deltas, or of (R, 4) that know no other class: (R, 4)."""
    return deltas[:, -4:]


def decode_boxes(deltas: Tensor, boxes: list[Tensor], image_sizes: list[ImageSize]) -> list[Tensor]:
    """Move boxes by person deltas (R, 4) and clip them to their images: one (r, 4) an image. NaN moves none."""
    before = torch.cat(boxes)
    moved = BOX_CODER.decode_single(full(deltas), before)
    # RoIAlign on a CPU reads wherever a coordinate points, and ends the process before the loss could tell of it.
    moved = torch.where(moved.isnan(), before, moved)
    per_image = moved.split([len(b) for b in boxes])
    return [box_ops.clip_boxes_to_image(b, size) for b, size in zip(per_image, image_sizes, strict=True)]


def to_original_pixels(boxes: Tensor, resized: ImageSize, original: ImageSize) -> Tensor:
    """Boxes (n, 4) of the resized image in pixels of the image as it was given."""
    return boxes * _ratios(boxes, resized, original)


def to_resized_pixels(boxes: Tensor, resized: ImageSize, original: ImageSize) -> Tensor:
    """Boxes (n, 4) of the image as it was given in pixels of the resized image."""
    return boxes * _ratios(boxes, original, resized)


def _ratios(boxes: Tensor, source: ImageSize, target: ImageSize) -> Tensor:
    height, width = target[0] / source[0], target[1] / source[1]
    return boxes.new_tensor([width, height, width, height])
