"""What a protocol asks of predictions: what is searched for each query, and which detections could be right."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from psbench.blocks import ranges
from psbench.evaluation.cbgm import CBGM
from psbench.evaluation.gallery import GalleryDetections
from psbench.evaluation.rules import Rules
from psbench.evaluation.segments import pair_iou
from psbench.evaluation.visits import Targets, Visits, targets_of
from psbench.predictions import QueryContext
from psbench_data import Protocol
from psbench_data.protocol import match_iou_threshold


@dataclass(frozen=True, eq=False)
class Search:
    """One protocol's search among the detections of a gallery.

    Attributes:
        protocol, rules: what is asked.
        gallery: the detections that take part, in the order of the test scenes.
        embedded: (Q,) int64: which of the predictions' query embeddings is each query's; -1 leaves a query out.
        cbgm, context: how similarities are revised, if they are; the context is that of the predictions' queries.
    """

    protocol: Protocol
    rules: Rules
    gallery: GalleryDetections
    embedded: np.ndarray
    cbgm: CBGM | None = None
    context: QueryContext | None = None

    @cached_property
    def visits(self) -> Visits:
        """How often each scene is searched for each query."""
        return Visits(self.protocol, self.rules)

    @cached_property
    def targets(self) -> Targets:
        """The boxes to be found."""
        return targets_of(self.protocol, self.rules)

    @cached_property
    def counted(self) -> np.ndarray:
        """(Q,) bool: the queries that have something to be found, and an embedding to find it with."""
        return (self.targets.matches > 0) & (self.embedded >= 0)

    @cached_property
    def near(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The detections that touch a target: (n,) targets, ascending, detections, and their IoU, more than 0."""
        targets, offsets = self.targets, self.gallery.offsets
        counts = np.diff(offsets)[targets.scenes] * self.counted[targets.queries]
        target = np.repeat(np.arange(len(counts)), counts)
        detection = ranges(offsets[targets.scenes], counts)
        found, true = self.gallery.boxes[detection], targets.boxes[target]
        touch = [found[:, i] < true[:, i + 2] for i in (0, 1)] + [true[:, i] < found[:, i + 2] for i in (0, 1)]
        touching = np.flatnonzero(np.logical_and.reduce(touch))
        dtype = np.float32 if self.rules.true_boxes == "annotation" else np.float64
        return target[touching], detection[touching], pair_iou(found[touching], true[touching], dtype)

    @cached_property
    def candidates(self) -> tuple[np.ndarray, np.ndarray]:
        """The detections that could be right: (n,) targets, ascending, and detections that overlap them enough."""
        target, detection, iou = self.near
        enough = iou >= match_iou_threshold(self.targets.boxes[target])
        return target[enough], detection[enough]


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries of a search that the tiles of a block are of.

    Attributes:
        search: whose queries.
        queries: (b,) which of them.
        local: (b,) which rows of the tiles they are.
    """

    search: Search
    queries: np.ndarray
    local: np.ndarray

    @property
    def embedded(self) -> np.ndarray:
        """(b,) which of the predictions' query embeddings they are."""
        return self.search.embedded[self.queries]
