"""PCNet: points in context for efficient person search (Zhong et al., 2021). One stage, nothing is cropped from boxes.

image -> ResNet-50 -> pyramid P3..P7
  -> contextual points pooling: F^reid, each location's feature f' from points around it
  -> score and box, decoded from F^reid
  -> cross scale aggregation: f = f' + points of all levels in the box (OIM)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from psbench.zoo.inputs import check_boxes, check_inputs
from psbench.zoo.interface import Detections, JointModel, Unit, inference
from psbench.zoo.layers.caffe import box_iou
from psbench.zoo.layers.contextual_points import distance_loss
from psbench.zoo.layers.cross_scale import (
    CrossScaleAggregation,
    RoIFeatures,
    RowNorm,
    mean_of_overlapping,
    points_in_boxes,
    triplet_loss,
)
from psbench.zoo.layers.faster_rcnn import (
    DetectorOptions,
    to_original_pixels,
    to_resized_pixels,
)
from psbench.zoo.layers.oim import OIMLoss
from psbench.zoo.layers.pcnet_head import PCNetHead
from psbench.zoo.layers.pixels import CAFFE, IMAGENET, MULTIPLE, fitted_size, make_batch, resize_picture
from psbench.zoo.layers.precision import full
from psbench.zoo.layers.pyramid import STRIDES, feature_pyramid, pyramid_backbone
from psbench.zoo.layers.retina import (
    candidate_anchors,
    classification_loss,
    decode_boxes,
    make_grid,
    match_anchors,
    regression_loss,
)
from psbench.zoo.layers.suppression import keep_detections
from psbench.zoo.pcnet_options import PCNetFastOptions, PCNetMultianchorOptions, PCNetOptions
from psbench.zoo.pcnet_state import EncodedImages, People

GALLERY_IOU, QUERY_IOU = 0.6, 0.5
"""Of candidates whose features are averaged for a detection, and for a given box; fixed in the original."""


class PCNet(JointModel):
    """A RetinaNet that finds people in the features they are told apart by."""

    options_type: ClassVar[type[PCNetOptions]] = PCNetOptions
    options: PCNetOptions
    training_only = ("oim.",)

    def __init__(self, num_identities: int, options: PCNetOptions | None = None) -> None:
        """Build the network.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see `PCNetOptions`.
        """
        super().__init__()
        self.options = o = options or self.options_type()
        levels = len(o.anchor_sizes)
        self.pixels = CAFFE if o.caffe else IMAGENET
        self.backbone = pyramid_backbone(o.backbone, levels, pretrained=o.pretrained, caffe=o.caffe)
        if o.freeze_stem:
            self.backbone.freeze_stem(caffe=o.caffe)
        self.backbone.freeze_norms = o.freeze_norms
        self.fpn = feature_pyramid(self.backbone.channels, o.pyramid_channels, levels)
        self.head = PCNetHead(
            in_channels=o.pyramid_channels,
            order=o.order,
            contextual_points=o.contextual_points,
            kernel=o.kernel,
            dim=o.embedding_dim,
            anchors=o.num_anchors,
            levels=levels,
            convolutions=o.head_convs,
            width=o.head_width,
            shared_tower=o.shared_tower,
        )
        self.embedding = nn.ModuleDict({"norm": RowNorm(o.embedding_dim)})
        if o.order == "roi_align":
            self.embedding["rois"] = RoIFeatures(o.pyramid_channels, o.embedding_dim, levels, o.roi_size)
        elif o.cross_scale != "none":
            self.embedding["cross_scale"] = CrossScaleAggregation(
                # The original's numbers.
                o.embedding_dim,
                levels,
                limit=50.0 if o.num_anchors == 1 else 30.0,
            )
        if o.triplet != "none" and o.has_points:
            self.embedding["point_norm"] = RowNorm(o.embedding_dim)
        self.oim = OIMLoss.of(num_identities, o)
        self.keeping = DetectorOptions(
            score_thresh_test=o.score_thresh_test, detections_per_image=o.detections_per_image
        )
        self.train()

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The training losses, see `PersonSearcher`: one row for each anchor that is a person."""
        o = self.options
        check_inputs(images, targets, num_identities=self.oim.num_identities)
        encoded = self.encode(images, training=self.training)
        targets = [t | {"boxes": self.resized_boxes(encoded, i, t["boxes"])} for i, t in enumerate(targets)]
        with torch.autocast(images[0].device.type, enabled=False):
            people = match_anchors(encoded.grid.anchors, targets)
            at, found = (people.image, people.anchor), encoded.found
            points, counts = found.reid[at], people.image.bincount(minlength=len(images)).tolist()
            of_images = enumerate(zip(points.split(counts), people.boxes.split(counts), strict=True))
            f = self.unit(torch.cat([self.aggregate(encoded, i, x, b) for i, (x, b) in of_images]))
            losses = {
                "loss_retina_cls": o.class_weight * classification_loss(found.logits, people),
                "loss_retina_reg": o.box_weight * regression_loss(found.deltas[at], people),
                "loss_retina_reid": o.reid_weight * self.oim(f, people.person_ids),
            }
            if o.triplet != "none" and o.has_points:
                point = F.normalize(self.embedding["point_norm"](points))
                rows = triplet_loss(f, point, people.person_ids, margin=o.triplet_margin, form=o.triplet)
                losses["loss_triplet"] = o.triplet_weight * rows.sum() / max(len(rows), 1)
            if o.distance_loss != "none" and o.has_contextual_points:
                heights = people.boxes[:, 3] - people.boxes[:, 1]
                strides = encoded.grid.strides[people.anchor]
                rows = distance_loss(found.offsets[at], strides, heights, o.kernel, o.point_sets, o.distance_loss)
                losses["loss_distance"] = o.distance_weight * rows.sum() / max(len(rows), 1)
        return losses

    @inference
    def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[Detections]:
        """The people of each image, see `PersonSearcher`; no embedding is weighted by its score."""
        check_inputs(images)
        known = [image.new_zeros(0, 4, dtype=self.dtype) for image in images] if include is None else include
        check_boxes(known, images)
        encoded = self.encode(images)
        with torch.autocast(images[0].device.type, enabled=False):
            return [self.image_detections(encoded, i, boxes.to(self.dtype)) for i, boxes in enumerate(known)]

    def image_detections(self, encoded: EncodedImages, i: int, known: Tensor) -> Detections:
        """The people of image i, known boxes (k, 4) first."""
        people = self.find(encoded, i, known)
        found = to_original_pixels(people.boxes[len(known) :], encoded.sizes[i], encoded.original_sizes[i])
        return Detections(
            boxes=torch.cat([known, found]),
            scores=people.scores,
            embeddings=self.unit(self.aggregate(encoded, i, people.points, people.boxes)),
        )

    def find(self, encoded: EncodedImages, i: int, known: Tensor) -> People:
        """Known boxes (k, 4) of image i as they are given, and the people that are detected there."""
        o, k, grid = self.options, len(known), encoded.grid
        scores = encoded.found.logits[i].sigmoid()
        counts = [o.num_anchors * count for count in grid.counts]
        candidates = candidate_anchors(scores, counts, threshold=o.score_thresh_test, top=o.pre_nms_top_n)
        boxes = decode_boxes(encoded.found.deltas[i, candidates], grid.anchors[candidates], encoded.sizes[i])
        given = self.resized_boxes(encoded, i, known)
        both = torch.cat([given, boxes])
        sure = torch.cat([scores.new_ones(k), scores[candidates]])
        # Up to where their last pixels end.
        ends = both + both.new_tensor([0, 0, 1, 1])
        kept = keep_detections(ends, sure, self.keeping, nms_thresh=o.nms_thresh_test, min_side=0, known=k)

        new = kept[k:] - k
        points = encoded.found.reid[i, candidates]
        if o.gallery_aggregation:
            points = mean_of_overlapping(points, box_iou(boxes[new], boxes), GALLERY_IOU, o.averaged)
        else:
            points = points[new]
        points = torch.cat([self.point_features(encoded, i, given), points])
        return People(boxes=both[kept], scores=sure[kept], points=points, anchors=candidates[new])

    @inference
    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """Unit embeddings of given boxes, see `PersonSearcher`."""
        check_inputs(images)
        check_boxes(boxes, images)
        encoded = self.encode(images)
        with torch.autocast(images[0].device.type, enabled=False):
            given = [self.resized_boxes(encoded, i, of_image) for i, of_image in enumerate(boxes)]
            points = [self.point_features(encoded, i, of_image) for i, of_image in enumerate(given)]
            pairs = enumerate(zip(points, given, strict=True))
            return [self.unit(self.aggregate(encoded, i, x, of_image)) for i, (x, of_image) in pairs]

    def walk(self, image: Tensor) -> Iterator[Unit]:
        """See `ZooModel`."""
        encoded = self.encode([image])
        yield "image"
        points = image.new_zeros(1, self.options.embedding_dim)
        self.unit(self.aggregate(encoded, 0, points, image.new_zeros(1, 4)))
        yield "person"

    def encode(self, images: list[Tensor], *, training: bool = False) -> EncodedImages:
        """Images in [0, 1], RGB, to what the head says of them."""
        o = self.options
        original = [(int(image.shape[1]), int(image.shape[2])) for image in images]
        longest = o.max_size_train or o.max_size if training else o.max_size
        sizes = [fitted_size(size, self.short_side(training), longest) for size in original]
        pictures = [
            self.pixels(resize_picture(image, size).to(self.dtype)) for image, size in zip(images, sizes, strict=True)
        ]
        batch = make_batch(pictures, bucket=self.size_bucket if training else 1)
        maps = list(self.fpn({str(i): x for i, x in enumerate(self.backbone(batch))}).values())
        map_sizes = [(int(x.shape[2]), int(x.shape[3])) for x in maps]
        found = self.head(maps)
        grid = make_grid(map_sizes, o.anchor_sizes, o.anchor_ratios, o.octave_scales, found.logits)
        return EncodedImages(maps, found, grid, sizes, original)

    def short_side(self, training: bool) -> int:
        """To which an image is resized; drawn in training."""
        sizes = self.options.min_sizes_train
        return sizes[int(torch.randint(len(sizes), ()))] if training and sizes else self.options.min_size

    def resized_boxes(self, encoded: EncodedImages, i: int, boxes: Tensor) -> Tensor:
        """Boxes (n, 4) of image i as they are given, in pixels of the resized image, which they are clipped to."""
        height, width = encoded.original_sizes[i]
        last = boxes.new_tensor([width - 1, height - 1, width - 1, height - 1])
        clipped = torch.minimum(boxes.clamp(min=0), last).to(self.dtype)
        return to_resized_pixels(clipped, encoded.sizes[i], encoded.original_sizes[i])

    def point_features(self, encoded: EncodedImages, i: int, boxes: Tensor) -> Tensor:
        """f' of given boxes (n, 4) of image i: the mean over all anchors whose own boxes overlap them, (n, D)."""
        anchors, found = encoded.grid.anchors, encoded.found
        every = decode_boxes(found.deltas[i], anchors, encoded.sizes[i])
        return mean_of_overlapping(found.reid[i], box_iou(boxes, every), QUERY_IOU, self.options.averaged)

    def aggregate(self, encoded: EncodedImages, i: int, points: Tensor, boxes: Tensor) -> Tensor:
        """f (n, D) of f' (n, D) and the people's boxes (n, 4) in image i."""
        if "rois" in self.embedding:
            return self.embedding["rois"]([x[i : i + 1] for x in encoded.maps], STRIDES, boxes)
        if "cross_scale" not in self.embedding:
            return points
        return self.embedding["cross_scale"](points, *self.candidates(encoded, i, boxes))

    def candidates(self, encoded: EncodedImages, i: int, boxes: Tensor) -> tuple[Tensor, list[int], Tensor]:
        """Features (L, D) of all locations of image i, how many each level has, and which count for a box, (n, L)."""
        height, width = encoded.sizes[i]
        region = boxes if self.options.cross_scale == "box" else boxes.new_tensor([[-1, -1, width, height]])
        inside = points_in_boxes(encoded.grid.centres, region).expand(len(boxes), -1)
        # Of several anchors at a location, their mean.
        each = encoded.found.reid[i].unflatten(0, (-1, self.options.num_anchors)).mean(dim=1)
        return each, encoded.grid.counts, inside

    def unit(self, f: Tensor) -> Tensor:
        """Embeddings (n, D) of f (n, D)."""
        return F.normalize(full(self.embedding["norm"](f)))

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in."""
        return self.head.score.weight.dtype

    def preprocessing(self) -> dict[str, Any]:
        """See `ZooModel`."""
        sizes = {"min_size": self.options.min_size, "max_size": self.options.max_size, "padded_to": MULTIPLE}
        pixels = {"channels": self.pixels.channels, "range": self.pixels.range}
        return pixels | {"mean": list(self.pixels.mean), "std": list(self.pixels.std)} | sizes


class PCNetFast(PCNet):
    """PCNet's light form."""

    options_type = PCNetFastOptions


class PCNetMultianchor(PCNet):
    """PCNet with several anchors at each location."""

    options_type = PCNetMultianchorOptions
