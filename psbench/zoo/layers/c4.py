"""What the two-stage systems share: one map of the whole image (C4), proposals on it, and RoIs pooled from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign

from psbench.zoo.interface import Detections, ZooModel
from psbench.zoo.layers.backbone import split_resnet
from psbench.zoo.layers.faster_rcnn import (
    DetectorOptions,
    ImageSize,
    Positive,
    Share,
    decode_boxes,
    keep_detections,
    make_rpn,
    make_transform,
    to_original_pixels,
    to_resized_pixels,
)
from psbench.zoo.layers.oim import OIMLoss

Weight = Annotated[float, Field(ge=0)]
"""Of a loss in the sum."""


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class C4Options(DetectorOptions):
    """Options of every two-stage system; the defaults are those of NAE and SeqNet on CUHK-SYSU.

    Attributes:
        backbone: a timm ResNet.
        pretrained: start from timm's weights of that name, or from the file at this path.
        freeze_stem: do not train the first convolution and its batch norm.
        embedding_dim: D.
        oim_queue_size, oim_momentum, oim_scale: see `OIMLoss`.
        weight_by_score: multiply a detection's embedding by its score (confidence weighted similarity, NAE).
    """

    backbone: str = "resnet50.tv_in1k"
    pretrained: bool | str = False
    freeze_stem: bool = True
    embedding_dim: Positive = 256
    oim_queue_size: Positive = 5000
    oim_momentum: Share = 0.5
    oim_scale: Annotated[float, Field(gt=0)] = 30.0
    weight_by_score: bool = True


@dataclass(frozen=True, eq=False)
class Encoded:
    """A batch of images inside a network.

    Attributes:
        batch: the images resized, normalised and padded to a common size.
        original_sizes: as they were given.
        features: (B, C4, H / 16, W / 16), the map of the padded images.
        targets: in pixels of the resized images, in training.
    """

    batch: ImageList
    original_sizes: list[ImageSize]
    features: Tensor
    targets: list[dict[str, Tensor]]

    @property
    def sizes(self) -> list[ImageSize]:
        """Of the resized images, without their padding."""
        return self.batch.image_sizes

    def resized(self, boxes: list[Tensor] | None) -> list[Tensor]:
        """Boxes (n, 4) an image in pixels of the resized images; none at all where None is given."""
        if boxes is None:
            return [self.features.new_zeros(0, 4) for _ in self.sizes]
        return [to_resized_pixels(b, *of) for b, *of in zip(boxes, self.sizes, self.original_sizes, strict=True)]


class C4Searcher(ZooModel):
    """The trunk of a two-stage system; a system adds what it does with RoIs.

    Attributes:
        head: res5, over pooled RoI maps.
    """

    training_only = ("oim.",)

    def __init__(self, num_identities: int, options: C4Options) -> None:
        """Build backbone, RPN and OIM tables.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see the system's.
        """
        super().__init__()
        self.options = o = options
        self.transform = make_transform(o)
        self.backbone, self.box_head = split_resnet(o.backbone, pretrained=o.pretrained)
        if o.freeze_stem:
            self.backbone.freeze_stem()
        self.rpn = make_rpn(o, self.backbone.channels)
        self.roi_align = MultiScaleRoIAlign(["c4"], output_size=o.roi_size, sampling_ratio=2)
        self.oim = OIMLoss(
            num_identities, o.embedding_dim, queue_size=o.oim_queue_size, momentum=o.oim_momentum, scale=o.oim_scale
        )

    def encode(self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None) -> Encoded:
        """Images, and with them targets, as they are given, to the map that everything else is taken from."""
        sizes = [(int(image.shape[-2]), int(image.shape[-1])) for image in images]
        batch, resized = self.transform(images, targets)
        return Encoded(batch, sizes, self.backbone(batch.tensors), resized or [])

    def propose(self, encoded: Encoded) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals (r, 4) an image, and in training the RPN's losses under torchvision's names."""
        return self.rpn(encoded.batch, {"c4": encoded.features}, encoded.targets or None)

    def pool(self, encoded: Encoded, boxes: list[Tensor]) -> Tensor:
        """RoIAlign: (R, C4, s, s), image after image."""
        return self.roi_align({"c4": encoded.features}, boxes, encoded.sizes)

    def select(
        self,
        encoded: Encoded,
        rois: list[Tensor],
        deltas: Tensor,
        scores: list[Tensor],
        embeddings: Tensor,
        known: list[Tensor],
        *,
        nms_thresh: float,
        weighted: bool,
    ) -> list[Detections]:
        """The detections that remain of RoIs.

        Args:
            encoded: the images.
            rois: (r, 4) an image, the known boxes first.
            deltas: (R, 4), how the others move.
            scores: (r,) an image, 1 for known boxes.
            embeddings: (R, D).
            known: (k, 4) an image, which stay as they are.
            nms_thresh: IoU above which a detection suppresses another.
            weighted: whether embeddings are multiplied by their scores.
        """
        of_image = embeddings.split([len(r) for r in rois])
        detections = []
        for i, moved in enumerate(decode_boxes(deltas, rois, encoded.sizes)):
            boxes = torch.cat([known[i], moved[len(known[i]) :]])
            kept = keep_detections(boxes, scores[i], self.options, nms_thresh=nms_thresh)
            detections.append(
                Detections(
                    boxes=to_original_pixels(boxes[kept], encoded.sizes[i], encoded.original_sizes[i]),
                    scores=scores[i][kept],
                    embeddings=of_image[i][kept] * (scores[i][kept, None] if weighted else 1.0),
                )
            )
        return detections
