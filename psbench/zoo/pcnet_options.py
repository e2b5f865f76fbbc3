"""What can be chosen of PCNet, and what its three forms choose."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from psbench.zoo.layers.c4 import Weight
from psbench.zoo.layers.contextual_points import DistanceLoss
from psbench.zoo.layers.cross_scale import Averaged, TripletLoss
from psbench.zoo.layers.faster_rcnn import Positive, Several, Share
from psbench.zoo.layers.oim import OIMLossOptions
from psbench.zoo.layers.pcnet_head import Order


def _levels(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if len(sizes) == 4 or len(sizes) > 5:
        raise ValueError("expected one size a level: 1 to 3 of them, or 5")
    return sizes


def _odd(kernel: tuple[int, int]) -> tuple[int, int]:
    if not all(side % 2 for side in kernel):
        raise ValueError("expected odd numbers of rows and columns")
    return kernel


_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
AnchorSizes = Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(_levels)]
Ratios = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]


@checked_dataclass(frozen=True, kw_only=True, config=_CONFIG)
class PCNetOptions(OIMLossOptions):
    """PCNet's options; the defaults are the paper's and, where it is silent, its code's on PRW.

    Attributes:
        backbone: a timm network with maps of stride 8, 16 and 32, see `pyramid_backbone`.
        pretrained: start from timm's weights of that name, or from the file at this path.
        caffe: the pixels (BGR, 0..255 less the mean) and the bottlenecks (stride in the first 1x1 convolution) of
            Caffe's ResNet, as the original has them; otherwise torchvision's, which timm's weights belong to.
        freeze_stem: do not train what comes before the second stage; the stem's batch norms keep their statistics.
        freeze_norms: the backbone's batch norms keep their statistics in training, as one needs with few images a batch
            and pretrained weights.
        min_size, max_size: images are resized so that the short side is min_size, or the long side max_size if that is
            smaller; pixels.
        min_sizes_train: in training, the short side is drawn from these for each image; without any it is min_size.
        max_size_train: max_size in training; none takes max_size.
        pyramid_channels: of every level.
        anchor_sizes: square roots of the anchors' areas, one a level: of P3, P4, ...; pixels of the resized image.
        anchor_ratios: height / width of the anchors.
        octave_scales: n; at each location there are anchors of 2^(k/n) times the size, k < n.
        order: what the head finds first, see `PCNetHead`: "reid_first" is PCNet's; "reid_from_regression" and
            "reid_from_classification" take F^reid from detection's maps (table 2); "parallel" takes both from the
            pyramid, "roi_align" embeds from cropped features, without contextual points and aggregation (table 3).
        contextual_points: F^reid by contextual points pooling; otherwise by a convolution.
        kernel: rows and columns of the points' grid; K is their product.
        head_convs, head_width: convolutions of detection's towers, and their channels.
        shared_tower: score and box come from one tower.
        distance_loss: "paper" (equation 6), "code" (see `distance_loss`) or "none".
        point_sets: M, sets of points that it keeps apart.
        cross_scale: f gathers the points in the "box", or "everywhere" in the image (the paper's box-free limit), or
            f = f' ("none").
        triplet: "paper" (equation 11), "code" (see `triplet_loss`) or "none".
        triplet_margin: sigma.
        gallery_aggregation: f' of a detection is the mean over the candidates that overlap it (IoU 0.6).
        averaged: which candidates enter such means, see `mean_of_overlapping`.
        roi_size: side of the RoI maps of "roi_align".
        class_weight, box_weight, reid_weight, triplet_weight, distance_weight: of the losses in their sum.
        pre_nms_top_n: most candidates of a level.
        score_thresh_test: detections at or below this score are dropped.
        nms_thresh_test: IoU above which a detection suppresses another.
        detections_per_image: most detections kept.
    """

    backbone: str = "resnet50"
    pretrained: bool | str = False
    caffe: bool = True
    freeze_stem: bool = True
    freeze_norms: bool = True
    min_size: Positive = 900
    max_size: Positive = 1500
    min_sizes_train: tuple[Positive, ...] = ()
    max_size_train: Positive | None = None
    pyramid_channels: Positive = 256
    anchor_sizes: AnchorSizes = (32, 64, 128, 256, 512)
    anchor_ratios: Ratios = (2.0,)
    octave_scales: Several = 1
    order: Order = "reid_first"
    contextual_points: bool = True
    kernel: Annotated[tuple[Positive, Positive], AfterValidator(_odd)] = (3, 3)
    head_convs: Several = 1
    head_width: Positive = 256
    shared_tower: bool = False
    distance_loss: DistanceLoss | Literal["none"] = "paper"
    point_sets: Annotated[int, Field(ge=2)] = 3
    cross_scale: Literal["box", "everywhere", "none"] = "box"
    triplet: TripletLoss | Literal["none"] = "paper"
    triplet_margin: Annotated[float, Field(ge=0)] = 0.5
    gallery_aggregation: bool = True
    averaged: Averaged = "most_overlapping"
    roi_size: Positive = 7
    class_weight: Weight = 1.0
    box_weight: Weight = 1.0
    reid_weight: Weight = 1.0
    triplet_weight: Weight = 1.0
    distance_weight: Weight = 1.0
    pre_nms_top_n: Positive = 1000
    score_thresh_test: Share = 0.05
    nms_thresh_test: Share = 0.4
    detections_per_image: Positive = 100

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if self.point_sets > self.kernel[0] * self.kernel[1]:
            raise ValueError(
                f"point_sets is {self.point_sets}, more than there are points in a kernel of {self.kernel}"
            )
        if self.caffe and self.pretrained is True:
            raise ValueError("pretrained weights of timm need torchvision's pixels and strides: set caffe to false")

    @property
    def has_points(self) -> bool:
        """Whether people are embedded from points, and not from cropped features."""
        return self.order != "roi_align"

    @property
    def has_contextual_points(self) -> bool:
        """Whether there are points that can be spread."""
        return self.contextual_points and self.has_points

    @property
    def num_anchors(self) -> int:
        """A, at each location."""
        return len(self.anchor_ratios) * self.octave_scales


@checked_dataclass(frozen=True, kw_only=True, config=_CONFIG)
class PCNetFastOptions(PCNetOptions):
    """Of the light form (table 4): a narrow tower for score and box, no averages."""

    min_size: Positive = 800
    max_size: Positive = 1333
    head_width: Positive = 64
    shared_tower: bool = True
    gallery_aggregation: bool = False


@checked_dataclass(frozen=True, kw_only=True, config=_CONFIG)
class PCNetMultianchorOptions(PCNetOptions):
    """Of the form with four anchors at each location (the dagger of tables 5 and 6)."""

    anchor_ratios: Ratios = (1.0, 2.0)
    octave_scales: Several = 2
    head_convs: Several = 4
    shared_tower: bool = True
