"""Which detections stay: the certain and large ones, but for those that a more certain one overlaps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import nms

from psbench.zoo.layers.faster_rcnn import DetectorOptions


def keep_detections(
    boxes: Tensor,
    scores: Tensor,
    options: DetectorOptions,
    *,
    nms_thresh: float,
    min_side: float | None = None,
    known: int = 0,
) -> Tensor:
    """Indices of the detections of one image that stay, see `keep_of_images`: boxes (n, 4), scores (n,)."""
    [kept] = keep_of_images([boxes], [scores], options, nms_thresh=nms_thresh, min_side=min_side, known=[known])
    return kept


def keep_of_images(
    boxes: Sequence[Tensor],
    scores: Sequence[Tensor],
    options: DetectorOptions,
    *,
    nms_thresh: float,
    min_side: float | None = None,
    known: Sequence[int] | None = None,
) -> list[Tensor]:
    """Indices of the detections of each image that stay, the most certain first.

    Drops scores up to score_thresh_test and boxes with a side under min_side (or min_box_side), then suppresses
    overlaps, and keeps detections_per_image. All images are treated together, so that a GPU is waited for three times
    however many there are.

    Args:
        boxes: (n, 4) an image.
        scores: (n,) an image.
        options: give thresholds and the most that is kept.
        nms_thresh: IoU above which a detection suppresses another.
        min_side: pixels.
        known: of each image, how many of its first boxes stay whatever they are, before all others, and suppress them;
            0 without.
    """
    min_side = options.min_box_side if min_side is None else min_side
    counts, known = [len(b) for b in boxes], known or [0] * len(boxes)
    device = boxes[0].device
    image = torch.tensor([i for i, count in enumerate(counts) for _ in range(count)], dtype=torch.long).to(device)
    given = torch.tensor([n < of_image for count, of_image in zip(counts, known, strict=True) for n in range(count)])
    given = given.to(device, torch.bool)
    every = torch.cat(list(boxes))
    # No score is as high as 2.
    sure = torch.where(given, 2, torch.cat(list(scores)))
    large = (every[:, 2:] - every[:, :2] >= min_side).all(dim=1)
    candidates = (given | ((sure > options.score_thresh_test) & large)).nonzero().flatten()
    kept = candidates[_suppressed(every[candidates], sure[candidates], image[candidates], len(counts), nms_thresh)]
    found = kept[~given[kept]]
    of_image = image[found]
    per_image = found[of_image.argsort(stable=True)].split(of_image.bincount(minlength=len(counts)).tolist())
    first = 0
    indices = []
    for chosen, count, of_known in zip(per_image, counts, known, strict=True):
        room = max(options.detections_per_image - of_known, 0)
        indices.append(torch.cat([torch.arange(of_known, device=device), chosen[:room] - first]))
        first += count
    return indices


def _suppressed(boxes: Tensor, scores: Tensor, image: Tensor, images: int, nms_thresh: float) -> Tensor:
    """Indices of what remains, the most certain first: boxes of different images do not see one another."""
    if images > 1 and len(boxes):
        # Each image in a place of its own, in digits enough that its boxes keep theirs.
        extent = boxes.max() - boxes.min() + 1
        boxes = boxes.double() + (image * extent.double())[:, None]
    return nms(boxes, scores.to(boxes.dtype), nms_thresh)
