"""What the two-stage systems share: one map of the whole image (C4), proposals on it, and RoIs pooled from it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import RoIAlign

from psbench.zoo.inputs import check_boxes, check_inputs
from psbench.zoo.interface import Detections, JointModel, Unit, ZooModel
from psbench.zoo.layers.backbone import C4Backbone, split_backbone
from psbench.zoo.layers.faster_rcnn import (
    DetectorOptions,
    ImageSize,
    decode_boxes,
    make_rpn,
    make_transform,
    to_original_pixels,
    to_resized_pixels,
)
from psbench.zoo.layers.oim import OIMLoss, OIMLossOptions
from psbench.zoo.layers.suppression import keep_of_images
from psbench_data import InputError

STRIDE = 16
"""Of the map."""
Weight = Annotated[float, Field(ge=0)]
"""Of a loss in the sum."""


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class TrunkOptions(DetectorOptions):
    """Options of everything that has a C4 map.

    Attributes:
        backbone: a timm network with maps of stride 16 and 32: a ResNet, ConvNeXt, Swin, ..., see `split_backbone`.
        pretrained: start from timm's weights of that name, or from the file at this path.
        freeze_stem: do not train what comes before the first stage; of a ResNet the first convolution and batch norm.
    """

    backbone: str = "resnet50.tv_in1k"
    pretrained: bool | str = False
    freeze_stem: bool = True


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class C4Options(OIMLossOptions, TrunkOptions):
    """Options of every joint system on a C4 map; the defaults are those of NAE and SeqNet on CUHK-SYSU.

    Attributes:
        weight_by_score: multiply a detection's embedding by its score (confidence weighted similarity, NAE).
    """

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
        """Given boxes (n, 4) an image in pixels of the resized images; none at all where None is given.

        Raises:
            InputError: see `check_boxes`.
        """
        if boxes is None:
            return [self.batch.tensors.new_zeros(0, 4) for _ in self.sizes]
        check_boxes(boxes, self.features)
        dtype = self.batch.tensors.dtype
        return [
            to_resized_pixels(b.to(dtype), *of) for b, *of in zip(boxes, self.sizes, self.original_sizes, strict=True)
        ]


class C4Trunk(ZooModel):
    """What a system does with whole images: they become one map.

    Attributes:
        id_bound: a person id from there on is a fault in a target; None where it is not.
    """

    options: Any
    id_bound: int | None

    def __init__(self, num_identities: int, options: TrunkOptions, backbone: C4Backbone) -> None:
        """Take the part of the backbone that sees images.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see the system's.
            backbone: up to stride 16.
        """
        super().__init__()
        self.options = options
        self.id_bound = num_identities
        self.transform = make_transform(options)
        self.backbone = backbone
        if options.freeze_stem:
            self.backbone.freeze_stem()

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return next(self.backbone.parameters()).dtype

    def encode(self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None) -> Encoded:
        """Images, and with them targets, as they are given, to the map that everything else is taken from.

        Raises:
            InputError: see `check_inputs`.
        """
        self.check(images, targets)
        return self.encode_checked(images, targets)

    def check(self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None) -> None:
        """Refuse what `encode` cannot take.

        Raises:
            InputError: see `check_inputs`; or an image is so narrow that, resized, nothing is left of it.
        """
        check_inputs(images, targets, num_identities=self.id_bound)
        o = self.options
        narrow = [
            f"image {i} of {height}x{width} pixels is too narrow: its long side is resized to {o.max_size} pixels at "
            f"most, and its short one would be less than {STRIDE}."
            for i, (height, width) in enumerate(_sizes(images))
            if min(height, width) * min(o.min_size / min(height, width), o.max_size / max(height, width)) < STRIDE
        ]
        if narrow:
            raise InputError(narrow)

    def encode_checked(self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None) -> Encoded:
        """As `encode`, of what `check` has seen."""
        sizes = _sizes(images)
        images = [image.to(self.dtype) for image in images]
        if targets is not None:
            targets = [target | {"boxes": target["boxes"].to(self.dtype)} for target in targets]
        batch, resized = self.transform(images, targets)
        if self.training:
            height, width = batch.tensors.shape[-2:]
            more = F.pad(batch.tensors, (0, -width % self.size_bucket, 0, -height % self.size_bucket))
            batch = ImageList(more, batch.image_sizes)
        return Encoded(batch, sizes, self.backbone(batch.tensors), resized or [])

    def preprocessing(self) -> dict[str, Any]:
        """See `ZooModel`."""
        return {
            "channels": "RGB",
            "range": 1,
            "mean": self.transform.image_mean,
            "std": self.transform.image_std,
            "min_size": self.options.min_size,
            "max_size": self.options.max_size,
            "padded_to": self.transform.size_divisible,
        }


class C4Searcher(C4Trunk, JointModel):
    """The trunk of a two-stage joint system; a system adds what it does with RoIs.

    Attributes:
        box_head: res5, over pooled RoI maps.
    """

    training_only = ("oim.",)

    def __init__(self, num_identities: int, options: C4Options) -> None:
        """Build backbone, RPN and OIM tables.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see the system's.
        """
        backbone, box_head = split_backbone(options.backbone, pretrained=options.pretrained)
        super().__init__(num_identities, options, backbone)
        self.box_head = box_head
        self.rpn = make_rpn(options, backbone.channels)
        self.roi_align = RoIAlign(options.roi_size, spatial_scale=1 / STRIDE, sampling_ratio=2)
        self.oim = OIMLoss.of(num_identities, options)
        self.id_bound = self.oim.num_identities

    def walk(self, image: Tensor) -> Iterator[Unit]:
        """See `ZooModel`."""
        encoded = self.encode([image])
        self.rpn.head([encoded.features])
        yield "image"
        yield from self.walk_heads(encoded, [image.new_zeros(1, 4)])

    @abstractmethod
    def walk_heads(self, encoded: Encoded, roi: list[Tensor]) -> Iterator[Unit]:
        """The part of `walk` that follows the RPN: what is done with one RoI (1, 4)."""

    def propose(self, encoded: Encoded) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Proposals (r, 4) an image, and in training the RPN's losses under torchvision's names."""
        return self.rpn(encoded.batch, {"c4": encoded.features}, encoded.targets or None)

    def pool(self, encoded: Encoded, boxes: list[Tensor]) -> Tensor:
        """RoIAlign: (R, C4, s, s), image after image."""
        return self.roi_align(encoded.features, boxes)

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
            scores: (n,) an image, of those that are not known; the known ones get 1.
            embeddings: (R, D).
            known: (k, 4) an image, which stay as they are.
            nms_thresh: IoU above which a detection suppresses another.
            weighted: whether embeddings are multiplied by their scores.
        """
        moved = decode_boxes(deltas, rois, encoded.sizes)
        boxes = [torch.cat([k, m[len(k) :]]) for k, m in zip(known, moved, strict=True)]
        sure = [torch.cat([s.new_ones(len(k)), s]) for k, s in zip(known, scores, strict=True)]
        counts = [len(k) for k in known]
        kept = keep_of_images(boxes, sure, self.options, nms_thresh=nms_thresh, known=counts)
        of_images = embeddings.split([len(r) for r in rois])
        return [
            Detections(
                boxes=to_original_pixels(boxes[i][chosen], encoded.sizes[i], encoded.original_sizes[i]),
                scores=sure[i][chosen],
                embeddings=of_images[i][chosen] * (sure[i][chosen, None] if weighted else 1.0),
            )
            for i, chosen in enumerate(kept)
        ]


def after_known(known: list[Tensor], found: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Known boxes (k, 4) an image and after them those found, (n, 4); and (R,) bool, which were found."""
    boxes = [torch.cat(pair) for pair in zip(known, found, strict=True)]
    is_found = [torch.arange(len(b), device=b.device) >= len(k) for b, k in zip(boxes, known, strict=True)]
    return boxes, torch.cat(is_found)


def _sizes(images: list[Tensor]) -> list[ImageSize]:
    return [(int(image.shape[-2]), int(image.shape[-1])) for image in images]
