"""The ranking of single queries, written out, for pages and pictures; scores are counted without it, see `ranks`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from psbench.blocks import ranges
from psbench.evaluation.evaluation import Evaluation
from psbench.evaluation.judging import prepared, prepared_pairs
from psbench.evaluation.matching import revisions
from psbench.evaluation.pairs import in_galleries, pairwise_ranks
from psbench.evaluation.ranks import Ranks, right_detections
from psbench.evaluation.rules import Rules, rules_of
from psbench.evaluation.search import Asked, Search
from psbench.evaluation.similarities import Similarities, Tiles
from psbench.evaluation.visits import Targets, targets_of
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench_data import Protocol


@dataclass(frozen=True, eq=False)
class Hits:
    """The most similar detections of a query, most similar first; among equals, wrong ones first.

    Attributes:
        scenes: (n,) int64, indices into the test scenes.
        boxes: (n, 4) float32, xyxy, pixels.
        similarities: (n,) float64.
        targets: (n,) int64, which of the listing's targets each right one finds; -1 for wrong ones.
    """

    scenes: np.ndarray
    boxes: np.ndarray
    similarities: np.ndarray
    targets: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """(n,) bool."""
        return self.targets >= 0


@dataclass(frozen=True, eq=False)
class DetectionListing:
    """Rankings of detections, which all queries share.

    Attributes:
        search: what is asked.
        similarities: of the predictions' queries to the search's gallery.
        reach: what no similarity exceeds by more than rounding, but for those that CBGM revised.
    """

    search: Search
    similarities: Similarities
    reach: float

    @property
    def targets(self) -> Targets:
        """The boxes to be found."""
        return self.search.targets

    @property
    def counted(self) -> np.ndarray:
        """(Q,) bool: the queries that have a ranking that counts."""
        return self.search.counted

    def hits(self, query: int, top: int) -> Hits:
        """The `top` most similar detections of a query that counts."""
        search, similarities, gallery = self.search, self.similarities, self.search.gallery
        queries = np.array([query])
        row = search.embedded[queries]
        asked = Asked(search, queries, np.array([0]))
        [revised] = revisions([asked], similarities, Tiles(similarities, row))
        _, targets, right, _ = right_detections(asked, similarities, revised)
        searched = np.flatnonzero((search.visits.times(queries)[0] > 0)[gallery.scenes])
        exact = similarities.arrays.get(similarities.exact(np.repeat(row, len(searched)), searched))
        similarity = revised.applied(np.zeros(len(searched), np.int64), searched, exact)
        return _hits(gallery.scenes[searched], gallery.boxes[searched], similarity, searched, right, targets, top)


@dataclass(frozen=True, eq=False)
class PairListing:
    """Rankings of pairwise predictions: every query has boxes of its own.

    Attributes:
        predictions: those of `prepared_pairs`.
        protocol, rules: what is asked.
    """

    predictions: PairwisePredictions
    protocol: Protocol
    rules: Rules

    @cached_property
    def targets(self) -> Targets:
        """The boxes to be found."""
        return targets_of(self.protocol, self.rules)

    @property
    def counted(self) -> np.ndarray:
        """(Q,) bool: the queries that have a ranking that counts."""
        return self.targets.matches > 0

    @cached_property
    def ranks(self) -> Ranks:
        """Where the right boxes stand."""
        return pairwise_ranks(self.predictions, self.protocol, self.rules, self.targets)

    @cached_property
    def searched(self) -> np.ndarray:
        """(P,) bool: the pairs whose scene is in the gallery of their query."""
        return in_galleries(self.predictions, self.protocol, self.rules)

    def hits(self, query: int, top: int) -> Hits:
        """The `top` most similar boxes of a query that counts."""
        own = self.predictions
        pairs = np.arange(own.query_offsets[query], own.query_offsets[query + 1])
        pairs = pairs[self.searched[pairs]]
        rows = ranges(own.offsets[pairs], own.counts[pairs])
        positions = self.protocol.scenes.positions
        scene = np.array([positions[own.scene_names[s]] for s in own.pair_scenes[pairs]], np.int64)
        mine = self.targets.queries[self.ranks.targets] == query
        right, targets = self.ranks.detections[mine], self.ranks.targets[mine]
        scenes = np.repeat(scene, own.counts[pairs])
        return _hits(scenes, own.boxes[rows], own.similarities[rows].astype(np.float64), rows, right, targets, top)


Listing = DetectionListing | PairListing


def listing_of(predictions: Predictions | PairwisePredictions, protocol: Protocol, evaluation: Evaluation) -> Listing:
    """The rankings that an evaluation, of these predictions under this protocol, counted."""
    rules = rules_of(evaluation.preset)
    if isinstance(predictions, PairwisePredictions):
        return PairListing(prepared_pairs(predictions, protocol, rules, evaluation.keep), protocol, rules)
    assert evaluation.det_threshold is not None, "an evaluation of detections has a threshold"
    [search], similarities = prepared(predictions, [protocol], rules, evaluation.det_threshold, cbgm=evaluation.cbgm)
    longest = np.prod(predictions.longest)
    return DetectionListing(search, similarities, reach=1.0 if rules.normalise else float(longest))


def _hits(
    scenes: np.ndarray,
    boxes: np.ndarray,
    similarities: np.ndarray,
    numbers: np.ndarray,
    right: np.ndarray,
    targets: np.ndarray,
    top: int,
) -> Hits:
    """The `top` best of some detections, given with their ascending numbers, and the numbers of the right ones."""
    target = np.full(len(numbers), -1)
    target[np.searchsorted(numbers, right)] = targets
    order = np.lexsort((target >= 0, -similarities))[:top]
    return Hits(scenes[order].astype(np.int64), boxes[order], similarities[order], target[order])
