"""What `oim`, `nae` and `nae_plus` share: every proposal of the RPN is judged, moved and embedded, all in one pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch.nn.functional as F
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked_dataclass
from torch import Tensor

from psbench.zoo.interface import Detections, Unit, inference
from psbench.zoo.layers.c4 import C4Options, C4Searcher, Encoded, Weight, after_known
from psbench.zoo.layers.faster_rcnn import BackgroundIoU, person_deltas


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class ProposalOptions(C4Options):
    """Options of the systems with one pass over the proposals; the defaults are NAE's on CUHK-SYSU.

    Attributes:
        box_weight: weight of the box regression in the sum of losses.
    """

    roi_bg_iou_thresh: BackgroundIoU = 0.1
    box_weight: Weight = 10.0


@dataclass(frozen=True, eq=False)
class Judged:
    """What the heads make of R RoIs.

    Attributes:
        logits: of being a person, in the classifier's own shape.
        scores: (R,) in [0, 1].
        deltas: (R, 8), how the boxes of background (unused) and person move.
        embeddings: (R, D), as queries have them.
    """

    logits: Tensor
    scores: Tensor
    deltas: Tensor
    embeddings: Tensor


class ProposalSearcher(C4Searcher):
    """A system whose detections are the RPN's proposals, moved once; it adds the heads and the losses."""

    options: ProposalOptions

    @abstractmethod
    def judge(self, encoded: Encoded, boxes: list[Tensor]) -> Judged:
        """The heads on boxes (r, 4) an image, pixels of the resized images."""

    def walk_heads(self, encoded: Encoded, roi: list[Tensor]) -> Iterator[Unit]:
        """See `C4Searcher`."""
        self.judge(encoded, roi)
        yield "RoI"

    def final_scores(self, scores: Tensor) -> Tensor:
        """The scores of the proposals of one image (r,), seen together."""
        return scores

    @inference
    def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[Detections]:
        """The people of each image, see `PersonSearcher`.

        Score and embedding are those of the proposal, the box is the proposal after its regression.

        Args:
            images: as everywhere.
            include: (n, 4) known boxes an image, pixels; they come out first, as they are and with score 1, and
                suppress what overlaps them. All embeddings are then as `embed` gives them: the context that CBGM needs.
        """
        encoded = self.encode(images)
        proposals, _ = self.propose(encoded)
        known = encoded.resized(include)
        boxes, is_proposal = after_known(known, proposals)
        found = self.judge(encoded, boxes)
        of_image = found.scores[is_proposal].split([len(p) for p in proposals])
        return self.select(
            encoded,
            boxes,
            person_deltas(found.deltas),
            [self.final_scores(scores) for scores in of_image],
            # Queries may be of any length (those of NAE+ are); what they are compared with has length one.
            found.embeddings if include is not None else F.normalize(found.embeddings),
            known,
            nms_thresh=self.options.nms_thresh_test,
            weighted=self.options.weight_by_score and include is None,
        )

    @inference
    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """Embeddings of given boxes, see `PersonSearcher`."""
        encoded = self.encode(images)
        found = self.judge(encoded, encoded.resized(boxes))
        return list(found.embeddings.split([len(b) for b in boxes]))
