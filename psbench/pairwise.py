"""Pairwise predictions: what a method that looks at a scene with one query in mind found there, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from psbench.blocks import ranges
from psbench.intake import Intake
from psbench_data import InputError

if TYPE_CHECKING:
    from psbench_data import Protocol

PROPOSALS = MappingProxyType(
    {
        "large": MappingProxyType({50: 50, 100: 100, 500: 500, 1000: 1000, 2000: 2000, 4000: 4000, 6112: 6000}),
        "small": MappingProxyType({50: 10, 100: 10, 500: 25, 1000: 25, 2000: 25, 4000: 50, 6112: 1200}),
    }
)
"""How many proposals a query IGPN's paper keeps (figure 5, tables 3 and 4), by the number of scenes: those of
CUHK-SYSU's galleries, and PRW's 6,112. With PCB, "small" is 20 for 100 scenes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PairwisePredictions:
    """Boxes and similarities for pairs of a query and a scene; made by `from_arrays` or `load`.

    For methods whose output depends on the query (query-guided ones, such as IGPN). The pairs of query q are
    `query_offsets[q]` to `query_offsets[q + 1]`, the boxes of pair p are `offsets[p]` to `offsets[p + 1]`. A pair that
    is not listed was not searched; one that is listed without boxes was, in vain.

    Attributes:
        scene_names: S names.
        pair_queries: (P,) int32 in [0, Q), ascending.
        pair_scenes: (P,) int32 in [0, S), which of scene_names; no scene twice for a query.
        offsets: (P + 1,) int64.
        boxes: (N, 4) float32, xyxy, pixels of the original images.
        similarities: (N,) float32, finite, the higher the more alike: by them boxes are ranked.
        proposal_similarities: (N,) float32, finite: by them `keep` chooses; None if `similarities` serve both.
        num_queries: Q.
        query_scenes: Q names, or None: then the queries are those of the protocol, in its order.
        query_boxes: (Q, 4) float32, or None together with query_scenes.
        method, dataset, fingerprint: what made them, and on which data; empty where unknown.
        synthetic: whether that data was written by `psbench-data synthesize`.
    """

    scene_names: list[str]
    pair_queries: np.ndarray
    pair_scenes: np.ndarray
    offsets: np.ndarray
    boxes: np.ndarray
    similarities: np.ndarray
    proposal_similarities: np.ndarray | None = None
    num_queries: int
    query_scenes: list[str] | None = None
    query_boxes: np.ndarray | None = None
    method: str = ""
    dataset: str = ""
    fingerprint: str = ""
    synthetic: bool = False

    @classmethod
    def from_arrays(
        cls,
        scene_names: Sequence[str] | np.ndarray,
        *,
        queries: Any,
        scenes: Any,
        counts: Any,
        boxes: Any,
        similarities: Any,
        proposal_similarities: Any = None,
        num_queries: int | None = None,
        query_scenes: Sequence[str] | np.ndarray | None = None,
        query_boxes: Any = None,
        method: str = "",
        dataset: str = "",
        fingerprint: str = "",
        synthetic: bool = False,
    ) -> PairwisePredictions:
        """Put a method's output together; numpy arrays, tensors and lists are taken.

        The pairs may come in any order: they are brought into that of the queries, and those of one query stay in the
        order given. Arrays that need no change are kept and not copied: leave them alone afterwards.

        Args:
            scene_names: S test scenes, each once.
            queries: (P,) which query each pair is of: 0 to Q - 1, in the order of `protocol.queries`, or of
                query_scenes and query_boxes if they are given.
            scenes: (P,) which of scene_names each pair is of: 0 to S - 1.
            counts: (P,) boxes of each pair. List a pair without boxes too: one that is not listed was not searched.
            boxes: (N, 4), xyxy, pixels of the original images, pair after pair.
            similarities: (N,), any finite numbers, the higher the more alike: by which boxes are ranked.
            proposal_similarities: (N,), the same of the stage that proposes: by which `keep` chooses, before another
                network ranks what is left (IGPN, then a re-ID network). None if there is only one stage.
            num_queries: Q; by default as many as query_scenes has, or else the highest of `queries` and one.
            query_scenes, query_boxes: Q scene names and (Q, 4) boxes that tell which query each number stands for.
            method, dataset, fingerprint, synthetic: see the class.

        Raises:
            InputError: listing everything that cannot be right.
        """
        from psbench.pairwise_checks import find_faults

        intake = Intake("PairwisePredictions.from_arrays")
        columns: dict[str, Any] = {
            "scene_names": intake.names("scene_names", scene_names),
            "pair_queries": intake.whole("queries", queries),
            "pair_scenes": intake.whole("scenes", scenes),
            "offsets": intake.offsets("counts", counts),
            "boxes": intake.floats("boxes", boxes),
            "similarities": intake.floats("similarities", similarities),
            "proposal_similarities": None
            if proposal_similarities is None
            else intake.floats("proposal_similarities", proposal_similarities),
            **intake.queries(query_scenes, query_boxes),
        }
        if num_queries is not None and (not isinstance(num_queries, int | np.integer) or num_queries < 0):
            intake.add(f"num_queries is {num_queries!r}, expected a whole number from 0.")
        elif num_queries is not None:
            columns["num_queries"] = int(num_queries)
        elif query_scenes is not None:
            columns["num_queries"] = None if columns["query_scenes"] is None else len(columns["query_scenes"])
        elif columns["pair_queries"] is not None:
            columns["num_queries"] = int(columns["pair_queries"].max(initial=-1)) + 1
        predictions = cls(
            **{"num_queries": None} | columns,
            method=intake.text("method", method),
            dataset=intake.text("dataset", dataset),
            fingerprint=intake.text("fingerprint", fingerprint),
            synthetic=synthetic,
        )
        find_faults(
            predictions,
            intake,
            at_pair=lambda pair: f"{intake.where}: pair {pair}",
            at_scene=lambda scene: f"{intake.where}: scene {scene}",
            at_query=lambda query: f"{intake.where}: query {query}",
        )
        intake.raise_faults()
        return predictions.by_query()

    @cached_property
    def query_offsets(self) -> np.ndarray:
        """(Q + 1,) int64: where the pairs of each query begin and end."""
        return np.searchsorted(self.pair_queries, np.arange(self.num_queries + 1, dtype=np.int32)).astype(np.int64)

    @property
    def counts(self) -> np.ndarray:
        """(P,) int64: boxes of each pair."""
        return np.diff(self.offsets)

    def keep(self, n: int, *, among: np.ndarray | None = None) -> PairwisePredictions:
        """For every query the n best proposals of its whole gallery, not n of each scene; the others are gone.

        The best are those with the highest proposal_similarities, or similarities if there are none; between equals
        those that come first, in the order in which their pairs were given. All pairs stay listed, so that a person
        whose proposal is gone counts as missed: otherwise keeping fewer would be free.

        Args:
            n: at least 1; a query with fewer proposals keeps all of them.
            among: (P,) bool, the pairs that make up the galleries, see `in_galleries`; all if None. Proposals of others
                are gone.

        Raises:
            InputError: n is less than 1.
        """
        if not isinstance(n, int | np.integer) or n < 1:
            raise InputError(f"PairwisePredictions.keep({n!r}): expected a whole number of proposals, at least 1.")
        return self.only(self.best(int(n), among=among))

    def best(self, n: int, *, among: np.ndarray | None = None) -> np.ndarray:
        """(N,) bool: the proposals that `keep` keeps."""
        values = self.similarities if self.proposal_similarities is None else self.proposal_similarities
        rows = np.arange(len(values)) if among is None else np.flatnonzero(np.repeat(among, self.counts))
        chosen = np.zeros(len(values), bool)
        for start, stop in pairwise(np.searchsorted(rows, self.offsets[self.query_offsets])):
            of_query = rows[start:stop]
            chosen[of_query[_best(values[of_query], n)]] = True
        return chosen

    def only(self, chosen: np.ndarray) -> PairwisePredictions:
        """All pairs with some of their proposals, (N,) bool."""
        rows = np.flatnonzero(chosen)
        return self._with_boxes(rows, np.searchsorted(rows, self.offsets))

    def in_galleries(self, protocol: Protocol) -> np.ndarray:
        """(P,) bool: the pairs that a protocol searches.

        Raises:
            InputError: naming every query of the protocol that is not here.
        """
        from psbench.evaluation.gallery import query_rows

        positions = [protocol.scenes.positions.get(name, -1) for name in self.scene_names]
        scenes = np.array(positions, np.int64)[self.pair_scenes]
        inside = np.zeros(len(scenes), bool)
        for query, row in enumerate(query_rows(self, protocol)):
            pairs = slice(*self.query_offsets[row : row + 2])
            # An unknown scene, -1, is in no gallery.
            inside[pairs] |= np.append(protocol.searched(query), False)[scenes[pairs]]
        return inside

    def within(self, protocol: Protocol) -> PairwisePredictions:
        """What a protocol alone would have searched: its queries, in its order and each once, in their galleries.

        Raises:
            InputError: naming every query of the protocol that is not here.
        """
        from psbench.evaluation.gallery import query_rows

        rows = query_rows(self, protocol)
        chosen = rows[np.sort(np.unique(rows, return_index=True)[1])]
        found = self._of_pairs(np.flatnonzero(self.in_galleries(protocol))).of_queries(chosen)
        if self.query_scenes is None or self.query_boxes is None:
            return found
        scenes = [self.query_scenes[query] for query in chosen]
        return replace(found, query_scenes=scenes, query_boxes=self.query_boxes[chosen])

    def of_queries(self, chosen: np.ndarray) -> PairwisePredictions:
        """The predictions of some queries, (q,) numbers in [0, Q), in this order; one can occur twice."""
        if np.array_equal(chosen, np.arange(self.num_queries)):
            return self
        counts = np.diff(self.query_offsets)[chosen]
        return replace(
            self._of_pairs(ranges(self.query_offsets[chosen], counts)),
            pair_queries=np.repeat(np.arange(len(chosen), dtype=np.int32), counts),
            num_queries=len(chosen),
            query_scenes=None,
            query_boxes=None,
        )

    def save(self, folder: str | Path) -> Path:
        """Write a predictions folder (see `psbench.pairwise_folder`), whole or not at all.

        Raises:
            InputError: there is something at `folder` already.
        """
        from psbench.pairwise_folder import write

        return write(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> PairwisePredictions:
        """Read a predictions folder, written by `save` or by anybody who keeps to its format.

        Raises:
            InputError: listing everything that is wrong with it.
        """
        from psbench.pairwise_folder import read

        return read(Path(folder))

    def by_query(self) -> PairwisePredictions:
        """The same with the pairs in the order of their queries, and those of a query in the order they have."""
        queries = self.pair_queries.astype(np.int32)
        ordered = replace(self, pair_queries=queries, pair_scenes=self.pair_scenes.astype(np.int32))
        if (queries[1:] >= queries[:-1]).all():
            return ordered
        # In 16 bits, which hold any test set's queries, numpy sorts in linear time.
        return ordered._of_pairs(np.argsort(queries.astype(np.min_scalar_type(self.num_queries)), kind="stable"))

    def _of_pairs(self, pairs: np.ndarray) -> PairwisePredictions:
        counts = self.counts[pairs]
        some = replace(self, pair_queries=self.pair_queries[pairs], pair_scenes=self.pair_scenes[pairs])
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        return some._with_boxes(ranges(self.offsets[pairs], counts), offsets)

    def _with_boxes(self, rows: np.ndarray, offsets: np.ndarray) -> PairwisePredictions:
        proposal = self.proposal_similarities
        return replace(
            self,
            offsets=offsets,
            boxes=self.boxes[rows],
            similarities=self.similarities[rows],
            proposal_similarities=None if proposal is None else proposal[rows],
        )


def _best(values: np.ndarray, n: int) -> np.ndarray:
    """Where the n highest values stand, ascending; between equals the first."""
    if len(values) <= n:
        return np.arange(len(values))
    last = np.partition(values, len(values) - n)[len(values) - n]
    chosen = values > last
    chosen[np.flatnonzero(values == last)[: n - np.count_nonzero(chosen)]] = True
    return np.flatnonzero(chosen)
