"""What can be chosen of IGPN. The paper leaves much open: docs/models/igpn.md says what was chosen, and why."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from psbench.zoo.layers.c4 import STRIDE, TrunkOptions
from psbench.zoo.layers.correlation import GridSize, kernel_grid
from psbench.zoo.layers.faster_rcnn import Positive, Share
from psbench.zoo.layers.patches import Padding


def _cells(size: tuple[int, int]) -> tuple[int, int]:
    if any(side % (2 * STRIDE) for side in size):
        raise ValueError(f"expected a height and a width that are multiples of {2 * STRIDE} pixels")
    return size


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class IGPNOptions(TrunkOptions):
    """IGPN's options; the defaults are the paper's and, where it is silent, explained in docs/models/igpn.md.

    Attributes:
        freeze_norms: the backbone's batch norms keep their statistics, weights and biases in training.
        query_size: height and width of query patches, pixels.
        query_padding: what brings a query to the patch's shape, see `query_patch`.
        pool_kernels, pool_feature: the query's map is max-pooled (2x2) before kernels, or f^q, are made of it.
        correlation: improved ("iccl") or vanilla ("vccl") cross-correlation layers.
        shared_kernel: ICCL's kernels have a part B that is the same for every query.
        correlation_width: c', channels of the kernels.
        kernel_padding: the 3x3 convolutions that make kernels keep the size of the query's map ("same": 7x3 kernels),
            or lose its border ("valid": 5x1).
        phi_size: rows and columns of phi(x)'s convolution.
        phi_relu: a ReLU follows phi(x).
        response_scale: where a learned factor on each branch's response starts; none leaves the response as it is.
        rpn_positive_iou, rpn_negative_iou: an anchor whose IoU with the target is at least the one is positive, below
            the other negative.
        rpn_positive_share: of the anchors in the RPN's loss, how many are positive at most.
        rpn_low_quality_matches: the anchor with the highest IoU is positive, however low that is.
        rpn_negatives: "others", so that other people are negative, too; or "background", where anchors on them (IoU
            from rpn_negative_iou) stay out of the loss.
        rpn_nms_thresh: IoU above which a proposal suppresses another.
        relation_width: between the two linear layers of r^1.
        local_relations: whether there is a local relation block.
        local_width: of its embeddings.
        local_norm: a layer norm follows W_r.
        global_branch: whether there is a global relation branch.
        pair_mixture: shares of cross-scene positive, self-scene positive and negative pairs in training, in proportion.
        roi_batch_size_per_image: twice as many as there are proposals and true boxes take part without sampling.
    """

    freeze_stem: bool = False
    freeze_norms: bool = True
    min_size: Positive = 600
    max_size: Positive = 1000
    query_size: Annotated[tuple[Positive, Positive], AfterValidator(_cells)] = (224, 96)
    query_padding: Padding = "zeros"
    pool_kernels: bool = True
    pool_feature: bool = True
    correlation: Literal["iccl", "vccl"] = "iccl"
    shared_kernel: bool = True
    correlation_width: Positive = 512
    kernel_padding: Literal["same", "valid"] = "same"
    phi_size: Literal[1, 3] = 3
    phi_relu: bool = False
    response_scale: float | None = None
    anchor_sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = (64, 128, 256)
    anchor_ratios: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (1.0, 2.0, 3.0)
    rpn_positive_iou: Share = 0.6
    rpn_negative_iou: Share = 0.3
    rpn_positive_share: Share = 0.25
    rpn_low_quality_matches: bool = True
    rpn_negatives: Literal["others", "background"] = "others"
    rpn_nms_thresh: Share = 0.7
    rpn_post_nms_top_n_train: Positive = 32
    rpn_post_nms_top_n_test: Positive = 32
    rpn_batch_size_per_image: Positive = 64
    roi_size: Positive = 7
    roi_batch_size_per_image: Annotated[int, Field(ge=2)] = 66
    relation_width: Positive = 1024
    local_relations: bool = True
    local_width: Positive = 1024
    local_norm: bool = False
    global_branch: bool = True
    score_thresh_test: Share = 0.0
    nms_thresh_test: Share = 0.5
    detections_per_image: Positive = 32
    pair_mixture: tuple[Share, Share, Share] = (1 / 3, 1 / 3, 1 / 3)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if self.rpn_negative_iou > self.rpn_positive_iou:
            raise ValueError(
                f"rpn_negative_iou is {self.rpn_negative_iou}, higher than rpn_positive_iou, {self.rpn_positive_iou}"
            )
        if min(kernel_grid(self.grid, self.kernel_margin)) < 1:
            raise ValueError(
                f"of query patches of {self.query_size} pixels no kernel is left: set kernel_padding to same, or "
                "query_size to more"
            )

    @property
    def grid(self) -> GridSize:
        """Rows and columns of the map that kernels are made of."""
        stride = STRIDE * (2 if self.pool_kernels else 1)
        return self.query_size[0] // stride, self.query_size[1] // stride

    @property
    def kernel_margin(self) -> int:
        """Padding of the convolutions that make kernels."""
        return 1 if self.kernel_padding == "same" else 0
