"""Where the right detections stand in the rankings of their queries: all that scores depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from psbench.evaluation.cbgm import Revisions
from psbench.evaluation.counting import Counter, Reached, reached
from psbench.evaluation.matching import revisions
from psbench.evaluation.search import Asked, Search
from psbench.evaluation.segments import segment_argmax, weight_from
from psbench.evaluation.similarities import Similarities, Tile, Tiles


@dataclass(frozen=True, eq=False)
class Ranks:
    """The right detections of a search, one for each target that was found.

    Attributes:
        targets: (F,) int64, ascending.
        detections: (F,) int64.
        similarities: (F,) float64.
        at_least: (F,) int64: the detections in the query's ranking that are as similar or more, itself among them.
        right_at_least: (F,) int64: the right ones of these.
        again_at_least: (F,) int64: those of these that are right ones searched a second time, and then wrong, by a
            released evaluator's defect; it happens to rank them behind themselves.
    """

    targets: np.ndarray
    detections: np.ndarray
    similarities: np.ndarray
    at_least: np.ndarray
    right_at_least: np.ndarray
    again_at_least: np.ndarray


def rank(
    searches: Sequence[Search], similarities: Similarities, *, progress: bool = False, only: np.ndarray | None = None
) -> list[Ranks]:
    """Rank all queries of several searches among the same detections; each similarity is computed once.

    Args:
        searches: over the gallery of `similarities`.
        similarities: of the predictions' queries to the gallery.
        progress: whether to show a bar when it takes long.
        only: (N,) bool: count these detections only in `at_least`.
    """
    from tqdm import tqdm

    sought = [_sought(search) for search in searches]
    rows = np.unique(np.concatenate([np.zeros(0, np.int64), *sought]))
    rows = rows[rows >= 0]
    found: list[list[Ranks]] = [[] for _ in searches]
    with tqdm(total=len(rows), desc="search", unit="query", disable=not progress, delay=2) as bar:
        for start in range(0, len(rows), similarities.block):
            block = rows[start : start + similarities.block]
            tiles = Tiles(similarities, block)
            asked = [_asked(search, wanted, block) for search, wanted in zip(searches, sought, strict=True)]
            parts = [
                _Part(of, similarities, revised, only)
                for of, revised in zip(asked, revisions(asked, similarities, tiles), strict=True)
            ]
            lowest = np.full(len(block), np.inf, np.float32)
            for part in parts:
                part.counter.lower(lowest)
            for tile in tiles:
                for among in reached(similarities.arrays, tile, lowest):
                    for part in parts:
                        part.count(among, tile)
            for part, pieces in zip(parts, found, strict=True):
                pieces.append(part.ranks())
            bar.update(len(block))
    return [_joined(pieces) for pieces in found]


def right_detections(
    asked: Asked, similarities: Similarities, revised: Revisions
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The right detections of some queries: in each scene with the person, the most similar that overlaps its box.

    Returns:
        (F,) which of the queries, ascending; (F,) targets; (F,) detections; (F,) float64 similarities, rising for each.
    """
    search = asked.search
    number = np.full(len(search.embedded), -1)
    number[asked.queries] = np.arange(len(asked.queries))
    target, detection = search.candidates
    owner = number[search.targets.queries[target]]
    mine = owner >= 0
    target, detection, owner = target[mine], detection[mine], owner[mine]
    similarity = similarities.arrays.get(similarities.exact(asked.embedded[owner], detection))
    similarity = revised.applied(owner, detection, similarity)
    best = segment_argmax(similarity, target)
    best = best[np.lexsort((similarity[best], owner[best]))]
    return owner[best], target[best], detection[best], similarity[best]


class _Part:
    """Some queries of a search, which are rows of a block of tiles, and the counts of their right detections."""

    def __init__(self, asked: Asked, similarities: Similarities, revised: Revisions, only: np.ndarray | None) -> None:
        owner, self._target, self._detection, similarity = right_detections(asked, similarities, revised)
        own = np.where(revised.changed(owner, self._detection), -1, self._detection)
        self.counter = Counter(asked, similarities, owner, similarity, own, only)
        self._revised = revised
        self._at_least = np.zeros(len(owner), np.int64)

    def count(self, among: Reached, tile: Tile) -> None:
        mine, counts = self.counter.count(among, tile)
        self._at_least[mine] += counts

    def ranks(self) -> Ranks:
        counter, revised, at_least = self.counter, self._revised, self._at_least
        probes = counter.owner, counter.right
        if len(revised.queries):
            # What was revised has been counted at its old place.
            kept = slice(None) if counter.only is None else counter.only[revised.detections]
            group = revised.queries[kept]
            once = np.ones(len(group), np.int64)
            at_least = at_least + weight_from((group, revised.after[kept], once), probes)
            at_least = at_least - weight_from((group, revised.before[kept], once), probes)
        right = weight_from((*probes, np.ones(len(at_least), np.int64)), probes)
        plain = revised.plain(counter.owner, self._detection, counter.right)
        search, queries = counter.asked.search, counter.asked.queries[counter.owner]
        twice = search.visits.again(queries, search.gallery.scenes[self._detection])
        again = weight_from((counter.owner, plain, twice), probes)
        return Ranks(self._target, self._detection, counter.right, at_least, right, again)


def _asked(search: Search, sought: np.ndarray, block: np.ndarray) -> Asked:
    """The queries of a search that a block of the predictions' query embeddings is of."""
    queries = np.flatnonzero(np.isin(sought, block))
    # In the order of the block, so that neighbours there are neighbours here.
    queries = queries[np.argsort(sought[queries], kind="stable")]
    return Asked(search, queries, np.searchsorted(block, sought[queries]))


def _sought(search: Search) -> np.ndarray:
    """(Q,) int64: the query embeddings that anything could be right for; -1 for others, which need no ranking."""
    sought = np.zeros(len(search.embedded), bool)
    sought[search.targets.queries[search.candidates[0]]] = True
    return np.where(sought & search.counted, search.embedded, -1)


def _joined(pieces: list[Ranks]) -> Ranks:
    nothing = np.zeros(0, np.int64)
    empty = Ranks(nothing, nothing, np.zeros(0), nothing, nothing, nothing)
    columns = [np.concatenate([getattr(piece, f.name) for piece in [empty, *pieces]]) for f in fields(Ranks)]
    order = np.argsort(columns[0], kind="stable")
    return Ranks(*(column[order] for column in columns))
