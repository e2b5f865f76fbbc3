"""NAE+: norm-aware embedding at every location of an RoI (Chen et al., CVPR 2020).

image -> C4 backbone -> RPN -> proposals
  -> RoIAlign -> res4 (14x14), res5 (7x7) -> an embedding a location: direction = who, length = on a person or not
                                          -> their mean, weighted by being on a person
                                   res5   -> average -> box
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from psbench.zoo.layers.c4 import Encoded
from psbench.zoo.layers.faster_rcnn import SampledRoIs
from psbench.zoo.layers.pixel_wise import PixelWiseEmbedding, grid_labels
from psbench.zoo.layers.proposals import Judged
from psbench.zoo.nae import NAE, NAEOptions
from psbench_data import InputError


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class NAEPlusOptions(NAEOptions):
    """NAE+'s options; the defaults are the paper's on CUHK-SYSU.

    Attributes:
        fuse_maps: embed from res4 and res5; otherwise from res5 alone.
        relative_scores: divide the scores of an image by the largest, so that its best box has 1.
        focal_loss: focal instead of plain cross-entropy in the detection loss (alpha 0.25, gamma 2).
        grid_labels: which locations of an RoI are on a person, see `psbench.zoo.layers.pixel_wise.grid_labels`.
    """

    fuse_maps: bool = True
    relative_scores: bool = True
    focal_loss: bool = False
    grid_labels: Literal["overlap", "as_the_original"] = "overlap"


class NAEPlus(NAE):
    """NAE whose embedding is an average over locations, so that background inside a box weighs little."""

    options_type = NAEPlusOptions
    options: NAEPlusOptions

    def __init__(self, num_identities: int, options: NAEPlusOptions | None = None) -> None:
        """Build the network.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see `NAEPlusOptions`.
        """
        super().__init__(num_identities, options or NAEPlusOptions())
        names = ("res4", "res5") if self.options.fuse_maps else ("res5",)
        self.embedding = PixelWiseEmbedding({n: self.box_head.channels[n] for n in names}, self.options.embedding_dim)

    @classmethod
    def from_nae(cls, nae: NAE, **options: Any) -> NAEPlus:
        """A NAE+ that starts from a trained NAE: linear layers become 1x1 convolutions, all else is taken over.

        Args:
            nae: trained on the same data, so that its identity tables stay valid.
            **options: what differs from NAE's options.

        Raises:
            InputError: `fuse_maps` is off, which NAE has no weights for.
        """
        plus = NAEPlusOptions(**dataclasses.asdict(nae.options) | {"pretrained": False} | options)
        if not plus.fuse_maps:
            raise InputError("nae_plus: NAE embeds from res4 and res5; with fuse_maps=False there is nothing to take.")
        model = cls(len(nae.oim.table), plus)
        own = model.state_dict()
        model.load_state_dict({name: value.reshape(own[name].shape) for name, value in nae.state_dict().items()})
        return model

    def judge(self, encoded: Encoded, boxes: list[Tensor]) -> Judged:
        """The heads on boxes (r, 4) an image; logits (R, h, w)."""
        maps = self.box_head.maps(self.pool(encoded, boxes))
        embeddings, logits = self.embedding(maps)
        scores = logits.sigmoid().mean(dim=(1, 2))
        return Judged(logits, scores, self.box(maps["res5"].mean(dim=(2, 3))), embeddings)

    def detection_loss(self, logits: Tensor, rois: SampledRoIs, targets: list[dict[str, Tensor]]) -> Tensor:
        """On a person or not: cross-entropy, the mean over all locations of all RoIs.

        Args:
            logits: (R, h, w).
            rois: what they were predicted for.
            targets: the people, in pixels of the resized images.
        """
        size = (logits.shape[1], logits.shape[2])
        original = self.options.grid_labels == "as_the_original"
        labels = [
            grid_labels(boxes, target["boxes"], size, as_the_original=original)
            for boxes, target in zip(rois.boxes, targets, strict=True)
        ]
        loss = sigmoid_focal_loss if self.options.focal_loss else F.binary_cross_entropy_with_logits
        return loss(logits, torch.cat(labels).to(logits.dtype), reduction="mean")

    def final_scores(self, scores: Tensor) -> Tensor:
        """Scores (r,) of an image's proposals, divided by the largest."""
        return scores / scores.max() if self.options.relative_scores and len(scores) else scores
