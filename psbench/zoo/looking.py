"""What PCNet looks at in an image: the points it pools, how active its maps are, what each person's feature gathers."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from psbench.sight import Level, Sight
from psbench.zoo.inputs import check_inputs
from psbench.zoo.interface import ZooModel, inference
from psbench.zoo.layers.contextual_points import kernel_grid, set_sizes
from psbench.zoo.layers.cross_scale import CrossScaleAggregation
from psbench.zoo.layers.pyramid import STRIDES
from psbench.zoo.pcnet import PCNet
from psbench.zoo.pcnet_state import EncodedImages, People
from psbench_data import InputError

FIRST_LEVEL = 3
"""Of the pyramid, as papers count them: P3 has stride 2^3."""


def require_points(model: ZooModel, name: str) -> PCNet:
    """The model, if it pools points that it chooses.

    Args:
        model: any of the zoo.
        name: that it is told of by.

    Raises:
        InputError: it does not.
    """
    if isinstance(model, PCNet) and model.options.has_contextual_points:
        return model
    why = (
        "pcnet, pcnet_fast and pcnet_multianchor do"
        if not isinstance(model, PCNet)
        else "this one has order=roi_align"
        if not model.options.has_points
        else "this one has contextual_points=false"
    )
    raise InputError(f"{name}: has no contextual points to look at ({why}). Give a PCNet that pools points.")


@inference
def look(model: PCNet, image: Tensor, *, threshold: float = 0.5) -> Sight:
    """Detect the people of an image and keep what each one's feature is made of.

    Args:
        model: with contextual points, see `require_points`.
        image: (3, H, W) in [0, 1], RGB, on the model's device.
        threshold: detections below this score are left out.

    Raises:
        InputError: the image cannot be right, see `check_inputs`.
    """
    check_inputs([image])
    detection: list[Tensor] = []
    with model.head.class_tower.register_forward_hook(lambda *called: detection.append(called[2])):
        encoded = model.encode([image])
    people = model.find(encoded, 0, image.new_zeros(0, 4, dtype=model.dtype))
    chosen = people.scores >= threshold
    people = People(*(x[chosen] for x in (people.boxes, people.scores, people.points, people.anchors)))

    grid, (height, width) = encoded.grid, encoded.original_sizes[0]
    ratio = people.boxes.new_tensor([width / encoded.sizes[0][1], height / encoded.sizes[0][0]])
    spots = people.anchors // model.options.num_anchors
    centres, strides = grid.centres[spots], grid.strides[people.anchors]
    points = sampled_points(encoded.found.offsets[0, people.anchors], centres, strides, model.options.kernel)
    sizes = set_sizes(points.shape[1], model.options.point_sets)
    starts = torch.tensor(grid.counts, device=spots.device).cumsum(0)
    return Sight(
        boxes=(people.boxes * ratio.repeat(2)).float().cpu().numpy(),
        scores=people.scores.float().cpu().numpy(),
        levels=torch.bucketize(spots, starts, right=True).cpu().numpy(),
        locations=(centres * ratio).float().cpu().numpy(),
        points=(points * ratio).float().cpu().numpy(),
        sets=torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)).numpy(),
        pyramid=_levels(model, encoded, detection, ratio),
        attention=_attention(model, encoded, people),
    )


def sampled_points(offsets: Tensor, centres: Tensor, strides: Tensor, kernel: tuple[int, int]) -> Tensor:
    """Where locations' points lie, (n, K, 2), x and y in the pixels that the strides are in.

    Args:
        offsets: (n, 2 K), see `ContextualPoints`.
        centres: (n, 2), x and y of the locations.
        strides: (n,), of their levels.
        kernel: rows and columns of the grid that the points start from.
    """
    moved = offsets.unflatten(1, (-1, 2)) + kernel_grid(kernel).to(offsets)
    return centres[:, None] + strides[:, None, None] * moved.flip(2)


def _levels(model: PCNet, encoded: EncodedImages, detection: list[Tensor], ratio: Tensor) -> list[Level]:
    grid, anchors = encoded.grid, model.options.num_anchors
    lengths = encoded.found.reid[0].norm(dim=1).unflatten(0, (-1, anchors)).mean(dim=1)
    levels = []
    for i, (reid, places) in enumerate(zip(lengths.split(grid.counts), grid.centres.split(grid.counts), strict=True)):
        step = STRIDES[i] * ratio
        levels.append(
            Level(
                name=f"P{FIRST_LEVEL + i}",
                places=_seen(places * ratio, encoded, i).float().cpu().numpy(),
                step=(float(step[0]), float(step[1])),
                reid=_seen(reid, encoded, i).float().cpu().numpy(),
                # Of several anchors' maps, as of their features, the mean.
                detection=_seen(detection[i].norm(dim=1).mean(dim=0).flatten(), encoded, i).float().cpu().numpy(),
            )
        )
    return levels


def _attention(model: PCNet, encoded: EncodedImages, people: People) -> list[np.ndarray] | None:
    if "cross_scale" not in model.embedding:
        return None
    layer = model.embedding["cross_scale"]
    assert isinstance(layer, CrossScaleAggregation)
    weights = layer.attention(people.points, *model.candidates(encoded, 0, people.boxes))
    of_levels = weights.split(encoded.grid.counts, dim=1)
    return [_seen(x.T, encoded, i).permute(2, 0, 1).float().cpu().numpy() for i, x in enumerate(of_levels)]


def _seen(x: Tensor, encoded: EncodedImages, level: int) -> Tensor:
    """A level's locations (h w, ...) as a map (h', w', ...), without those that see nothing but padding."""
    rows, columns = (math.ceil(side / STRIDES[level]) for side in encoded.sizes[0])
    return x.unflatten(0, encoded.grid.map_sizes[level])[:rows, :columns]
