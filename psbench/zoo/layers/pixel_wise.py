"""Norm-aware embedding at every location of an RoI (NAE+; Chen et al., CVPR 2020), and its labels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

from psbench.zoo.layers.norm_aware import divided, near_zero
from psbench.zoo.layers.precision import full


class PixelWiseEmbedding(nn.Module):
    """`NormAwareEmbedding` with 1x1 convolutions over RoI maps, averaged by how sure each location is of a person."""

    def __init__(self, in_channels: Mapping[str, int], dim: int = 256) -> None:
        """Make one projector a map.

        Args:
            in_channels: channels of the maps, by name, the coarsest last; in this order their projections are joined.
            dim: D, divided between them as evenly as can be.
        """
        super().__init__()
        dims = divided(dim, in_channels)
        self.projectors = nn.ModuleDict(
            {
                name: near_zero(nn.Conv2d(n, dims[name], 1), nn.BatchNorm2d(dims[name]))
                for name, n in in_channels.items()
            }
        )
        self.rescaler = nn.BatchNorm2d(1)

    def forward(self, maps: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Embed R RoIs.

        With e_ij the unit vector at location ij and l_ij its logit, the embedding is the mean of e_ij sigmoid(l_ij).

        Args:
            maps: one (R, C, h, w) each projector, by name; the others are resized to the coarsest.

        Returns:
            Embeddings (R, D), no longer than 1, and logits (R, h, w) of being on a person.
        """
        projected = [project(maps[name]) for name, project in self.projectors.items()]
        size = projected[-1].shape[-2:]
        joined = full(torch.cat([F.interpolate(x, size=size, mode="bilinear") for x in projected], dim=1))
        logits = self.rescaler(joined.norm(dim=1, keepdim=True))
        embeddings = (F.normalize(joined) * logits.sigmoid()).mean(dim=(2, 3))
        return embeddings, logits.squeeze(1)


def grid_labels(rois: Tensor, people: Tensor, size: tuple[int, int], *, as_the_original: bool = False) -> Tensor:
    """How much of each cell of RoIs is covered by the person that the RoI overlaps most.

    The mask of an RoI has its width and height in pixels, rounded up, and is 1 where the person's box, rounded outward
    and its last pixel included, covers it; resized bilinearly to the grid. An RoI that overlaps nobody has zeros.

    Args:
        rois: (r, 4), xyxy, of one image.
        people: (n, 4), its true boxes.
        size: height and width of the grid, cells.
        as_the_original: with two defects of NAE's code: RoIs whose IoU with everybody is under 0.5 are labelled by the
            image's first person, and where that person ends left of the RoI or above it, by less than the RoI's size,
            the negative end counts from the RoI's other side.

    Returns:
        (r, h, w) float, in [0, 1].
    """
    if not len(people):
        return rois.new_zeros(len(rois), *size)
    iou, index = box_iou(people, rois).max(dim=0)
    if as_the_original:
        index = torch.where(iou >= 0.5, index, 0)
    person = people[index]
    rows, columns = (
        _covered(rois[:, [k, k + 2]], person[:, [k, k + 2]], cells, from_the_end=as_the_original)
        for k, cells in zip((1, 0), size, strict=True)
    )
    labels = rows[:, :, None] * columns[:, None, :]
    return labels if as_the_original else torch.where((iou > 0)[:, None, None], labels, 0)


def _covered(roi: Tensor, person: Tensor, cells: int, *, from_the_end: bool) -> Tensor:
    """The same along one axis, where (r, 2) are beginnings and ends: (r, cells)."""
    length = (roi[:, 1] - roi[:, 0]).ceil()
    start = (person[:, 0] - roi[:, 0]).floor().clamp(min=0)
    stop = (person[:, 1] - roi[:, 0]).ceil() + 1
    if from_the_end:
        stop = torch.where(stop < 0, stop + length, stop)

    # Linear interpolation between the two pixels around each cell's centre, as `interpolate` samples them.
    centre = (torch.arange(cells, device=roi.device) + 0.5) * (length / cells)[:, None] - 0.5
    left = centre.clamp(min=0).floor()
    share = centre.clamp(min=0) - left
    right = torch.minimum(left + 1, length[:, None] - 1)
    first, second = ((start[:, None] <= pixel) & (pixel < stop[:, None]) for pixel in (left, right))
    return (1 - share) * first + share * second
