"""OIM: joint detection and identification feature learning (Xiao et al., CVPR 2017), the network of its time.

image -> Caffe ResNet-50 to the middle of res4 -> RPN -> proposals
  -> RoIPool -> rest of res4, res5 -> mean -> person or not, box, unit feature x (OIM)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass
from torch import Tensor, nn
from torchvision.ops import RoIPool

from psbench.zoo.inputs import check_boxes, check_inputs
from psbench.zoo.interface import Detections, JointModel, Unit, inference
from psbench.zoo.layers.caffe import DELTA_STD, STRIDE, CaffeRPN, decode_boxes, resize_image, sample_rois
from psbench.zoo.layers.caffe_resnet import CaffeBackbone, CaffeHead
from psbench.zoo.layers.faster_rcnn import (
    DetectorOptions,
    ImageSize,
    Positive,
    Share,
    box_regression_loss,
    person_deltas,
)
from psbench.zoo.layers.oim import OIMLoss, OIMLossOptions
from psbench.zoo.layers.precision import full
from psbench.zoo.layers.suppression import keep_detections

BGR_MEAN = (102.9801, 115.9465, 122.7717)
"""Of ImageNet's pixels, blue first, in 0..255."""


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class OIMCaffeOptions(OIMLossOptions, DetectorOptions):
    """Options of the 2017 network; the defaults are the paper's on CUHK-SYSU.

    Attributes:
        width: channels of the ResNet's stem; 64 is a ResNet-50, less a small one for trials.
        freeze_stem: do not train the first convolution.
    """

    min_size: Positive = 600
    max_size: Positive = 1000
    anchor_sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = (128, 256, 512)
    score_thresh_test: Share = 0.05
    min_box_side: Annotated[float, Field(ge=0)] = 0.0
    width: Positive = 64
    freeze_stem: bool = True
    oim_scale: Annotated[float, Field(gt=0)] = 10.0


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """An image inside the network.

    Attributes:
        features: (1, C, H / 16, W / 16).
        size: of the resized image.
        original_size: as it was given.
        scale: of the resized image to the original.
    """

    features: Tensor
    size: ImageSize
    original_size: ImageSize
    scale: float


class OIMCaffe(JointModel):
    """A Faster R-CNN whose head also gives a feature for re-identification; it sees one image at a time."""

    options_type = OIMCaffeOptions
    training_only = ("oim.",)

    def __init__(self, num_identities: int, options: OIMCaffeOptions | None = None) -> None:
        """Build the network.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see `OIMCaffeOptions`.
        """
        super().__init__()
        self.options = o = options or OIMCaffeOptions()
        self.backbone, self.head = CaffeBackbone(o.width), CaffeHead(o.width)
        self.backbone.conv1.requires_grad_(not o.freeze_stem)
        self.rpn = CaffeRPN(o, self.backbone.channels, 8 * o.width)
        self.roi_pool = RoIPool(o.roi_size, spatial_scale=1 / STRIDE)
        self.score = nn.Linear(self.head.channels, 2)
        self.box = nn.Linear(self.head.channels, 8)
        self.embedding = nn.Linear(self.head.channels, o.embedding_dim)
        nn.init.normal_(self.score.weight, std=0.001)
        nn.init.normal_(self.box.weight, std=0.001)
        nn.init.kaiming_normal_(self.embedding.weight)
        for layer in (self.score, self.box, self.embedding):
            nn.init.zeros_(layer.bias)
        self.oim = OIMLoss.of(num_identities, o)

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The training losses, see `PersonSearcher`: of each kind the mean over images.

        Images pass one after the other, each with its own batch statistics and its own update of the tables: a batch
        of two equals the original's two iterations whose gradients are accumulated.
        """
        check_inputs(images, targets, num_identities=self.oim.num_identities)
        losses = [self.image_losses(image, target) for image, target in zip(images, targets, strict=True)]
        return {name: torch.stack([of_image[name] for of_image in losses]).mean() for name in losses[0]}

    def image_losses(self, image: Tensor, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """The training losses of one image."""
        encoded = self.encode(image)
        truth = target["boxes"].to(self.dtype) * encoded.scale
        logits, deltas, anchors = self.rpn(encoded.features)
        rpn_score, rpn_box = self.rpn.losses(logits, deltas, anchors, encoded.size, truth)
        proposals = self.rpn.propose(logits, deltas, anchors, encoded.size, encoded.scale)

        rois = sample_rois(proposals, truth, target["person_ids"], self.options)
        score, deltas, x = self.roi_outputs(encoded, rois.boxes[0])
        people = rois.is_person
        return {
            "rpn_loss_cls": rpn_score,
            "rpn_loss_bbox": rpn_box,
            "loss_cls": F.cross_entropy(score, people.long(), reduction="sum") / max(len(people), 1),
            "loss_bbox": box_regression_loss(deltas, rois),
            "loss_oim": self.oim(x[people], rois.person_ids[people]),
        }

    @inference
    def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[Detections]:
        """The people of each image, see `PersonSearcher`.

        An embedding is that of the proposal, not of the box that the proposal is moved to, and never weighted.

        Args:
            images: as everywhere.
            include: (n, 4) known boxes an image, pixels; they come out first, as they are and with score 1, and
                suppress what overlaps them: the context that CBGM needs.
        """
        check_inputs(images)
        known = [image.new_zeros(0, 4, dtype=self.dtype) for image in images] if include is None else include
        check_boxes(known, images)
        return [self.image_detections(image, boxes.to(self.dtype)) for image, boxes in zip(images, known, strict=True)]

    def image_detections(self, image: Tensor, known: Tensor) -> Detections:
        """The people of one image, known boxes (k, 4) first."""
        encoded = self.encode(image)
        logits, deltas, anchors = self.rpn(encoded.features)
        proposals = self.rpn.propose(logits, deltas, anchors, encoded.size, encoded.scale)
        score, deltas, x = self.roi_outputs(encoded, torch.cat([known * encoded.scale, proposals]))
        deltas = person_deltas(deltas)[len(known) :] * deltas.new_tensor(DELTA_STD)
        boxes = torch.cat([known, decode_boxes(deltas, proposals / encoded.scale, encoded.original_size)])
        scores = score.softmax(dim=1)[:, 1]
        scores[: len(known)] = 1
        kept = keep_detections(boxes, scores, self.options, nms_thresh=self.options.nms_thresh_test, known=len(known))
        return Detections(boxes[kept], scores[kept], x[kept])

    @inference
    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """Unit embeddings of given boxes, see `PersonSearcher`."""
        check_inputs(images)
        check_boxes(boxes, images)
        embeddings = []
        for image, of_image in zip(images, boxes, strict=True):
            encoded = self.encode(image)
            embeddings.append(self.roi_outputs(encoded, of_image.to(self.dtype) * encoded.scale)[2])
        return embeddings

    def walk(self, image: Tensor) -> Iterator[Unit]:
        """See `ZooModel`."""
        encoded = self.encode(image)
        self.rpn(encoded.features)
        yield "image"
        self.roi_outputs(encoded, image.new_zeros(1, 4))
        yield "RoI"

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return self.score.weight.dtype

    def preprocessing(self) -> dict[str, Any]:
        """See `ZooModel`."""
        sizes = {"min_size": self.options.min_size, "max_size": self.options.max_size, "padded_to": 1}
        return {"channels": "BGR", "range": 255, "mean": list(BGR_MEAN), "std": [1.0, 1.0, 1.0], **sizes}

    def encode(self, image: Tensor) -> EncodedImage:
        """An image (3, H, W) in [0, 1], RGB, to the map that everything else is taken from."""
        x, scale = self.prepare(image.to(self.dtype))
        height, width = image.shape[-2:]
        return EncodedImage(self.backbone(x), (x.shape[-2], x.shape[-1]), (height, width), scale)

    def prepare(self, image: Tensor) -> tuple[Tensor, float]:
        """The network's input (1, 3, h, w), BGR in 0..255 less the mean, bilinearly resized; and its scale."""
        short, long = sorted(image.shape[-2:])
        scale = min(self.options.min_size / short, self.options.max_size / long)
        x = 255 * image.flip(0) - image.new_tensor(BGR_MEAN).view(3, 1, 1)
        # In float32 also for a network in float64: the original's images are made outside the network.
        return resize_image(x.float(), scale)[None].to(image.dtype), scale

    def roi_outputs(self, encoded: EncodedImage, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the head says of boxes (r, 4): logits (r, 2), deltas (r, 8) in units of `DELTA_STD`, features (r, D)."""
        pooled = self.head(self.roi_pool(full(encoded.features), [boxes]))
        return full(self.score(pooled)), full(self.box(pooled)), F.normalize(full(self.embedding(pooled)))
