"""Context bipartite graph matching (SeqNet, AAAI 2021): the people around a query help to recognise it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from psbench.evaluation.segments import ranges
from psbench.evaluation.similarities import Similarities, Tile
from psbench_data import InputError

if TYPE_CHECKING:
    from psbench.evaluation.search import Search


_QUERIES_AT_ONCE = 64


@dataclass(frozen=True)
class CBGM:
    """The `cbgm` argument of `evaluate`.

    The scenes of the k1 most similar detections of a gallery are looked at again: the query and its k2 - 1 most
    confident neighbours are matched with the people of the scene, maximising the sum of similarities, and the detection
    that the query is matched with gets the largest similarity of all matched pairs.

    Attributes:
        k1: 10 for CUHK-SYSU and MovieNet-CS, 30 for PRW.
        k2: 3 for CUHK-SYSU and MovieNet-CS, 4 for PRW.
    """

    k1: int = 10
    k2: int = 3

    def __post_init__(self) -> None:
        if self.k1 < 1 or self.k2 < 1:
            raise InputError(f"CBGM(k1={self.k1}, k2={self.k2}): expected at least 1 each.")


@dataclass(frozen=True, eq=False)
class Revisions:
    """Similarities that matching has changed.

    Attributes:
        queries: (r,) int64, ascending, numbers within the block that was revised.
        detections: (r,) int64, ascending for each query.
        before, after: (r,) float64.
        times: (r,) int64: how often the detection is searched with the revised similarity.
    """

    queries: np.ndarray
    detections: np.ndarray
    before: np.ndarray
    after: np.ndarray
    times: np.ndarray

    @classmethod
    def none(cls) -> Revisions:
        """Nothing was changed."""
        whole, real = np.zeros(0, np.int64), np.zeros(0)
        return cls(whole, whole, real, real, whole)

    def applied(self, queries: np.ndarray, detections: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """(n,) the similarities of pairs, those that were changed replaced."""
        place = self._places(queries, detections)
        return np.where(place >= 0, self.after[place], similarities) if len(self.after) else similarities

    def plain(self, queries: np.ndarray, detections: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """(n,) the similarities of pairs, those that were changed as they were before."""
        place = self._places(queries, detections)
        return np.where(place >= 0, self.before[place], similarities) if len(self.before) else similarities

    def changed(self, queries: np.ndarray, detections: np.ndarray) -> np.ndarray:
        """(n,) bool: the pairs that were changed."""
        return self._places(queries, detections) >= 0

    def _places(self, queries: np.ndarray, detections: np.ndarray) -> np.ndarray:
        if not len(self.queries):
            return np.full(len(queries), -1)
        width = int(max(self.detections.max(), detections.max(initial=0))) + 1
        known, wanted = self.queries * width + self.detections, queries * width + detections
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(known[place] == wanted, place, -1)


def most_similar(
    search: Search,
    similarities: Similarities,
    queries: np.ndarray,
    local: np.ndarray,
    tiles: Iterable[Tile],
) -> tuple[np.ndarray, np.ndarray]:
    """The k1 most similar detections of each query; between equals at the cut, those of the first scenes.

    Args:
        search: with `cbgm`.
        similarities: of the predictions' queries to the gallery.
        queries: (b,) which queries of the search.
        local: (b,) which rows of the tiles they are.
        tiles: the similarities, rounded.

    Returns:
        (m,) which of `queries`, ascending, and (m,) detections.
    """
    assert search.cbgm is not None
    k1, get = search.cbgm.k1, similarities.arrays.get
    margin = 2 * similarities.tolerance(search.embedded[queries])
    owner, detections, known = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    for tile in tiles:
        values = get(tile.values)
        scenes = search.gallery.scenes_of(tile.stretch)
        near: list[np.ndarray] = []
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            times = search.visits.revised(queries[start : start + _QUERIES_AT_ONCE], scenes)
            for i, of_query in enumerate(times > 0, start=start):
                among = search.gallery.of_scenes(of_query, tile.stretch)
                of_tile = values[local[i], among - tile.stretch.start]
                if len(among) > k1:
                    # Rounding must not decide who is among the k1: whoever could be is compared exactly.
                    cut = np.partition(of_tile, len(of_tile) - k1)[len(of_tile) - k1]
                    among = among[of_tile >= cut - margin[i]]
                near.append(among)
        asked = np.repeat(np.arange(len(queries)), [len(among) for among in near])
        found = np.concatenate([np.zeros(0, np.int64), *near])
        exact = get(similarities.exact(search.embedded[queries[asked]], found))
        owner, detections, known = (
            np.concatenate(pair) for pair in ((owner, asked), (detections, found), (known, exact))
        )
        order = np.lexsort((detections, -known, owner))
        place = np.arange(len(order)) - np.searchsorted(owner[order], owner[order])
        first = order[place < k1]
        owner, detections, known = owner[first], detections[first], known[first]
    return owner, detections


def revise(
    search: Search,
    similarities: Similarities,
    queries: np.ndarray,
    best: tuple[np.ndarray, np.ndarray],
) -> Revisions:
    """Match each query's company with the people of the scenes of its most similar detections.

    Args:
        search: with `cbgm` and `context`.
        similarities, queries: as in `most_similar`.
        best: what `most_similar` gave.
    """
    from scipy.optimize import linear_sum_assignment

    assert search.cbgm is not None
    assert search.context is not None
    gallery, context = search.gallery, search.context
    scene_of, counts = gallery.scenes, np.diff(gallery.offsets)
    bounds = np.searchsorted(best[0], np.arange(len(queries) + 1))
    revised: list[tuple[int, int, float]] = []
    for i, row in enumerate(search.embedded[queries]):
        scenes = np.array(sorted(set(scene_of[best[1][bounds[i] : bounds[i + 1]]].tolist())), np.int64)
        people = ranges(gallery.offsets[scenes], counts[scenes])
        first = context.offsets[row]
        company = context.embeddings[first : min(first + search.cbgm.k2, context.offsets[row + 1])]
        # Detected anew, a query can have got an embedding of its own in its company.
        same = bool((company[0] == similarities.queries[row]).all())
        # Each weight from its two vectors alone, so that equal people stay equal.
        weights = np.einsum("id,jd->ij", company.astype(np.float64), similarities.embeddings(people).astype(np.float64))
        ends = np.cumsum(counts[scenes])
        for start, end in zip(ends - counts[scenes], ends, strict=True):
            if end - start == 1 and same:
                # Alone, a person is matched with the query only where the query is the most similar.
                continue
            of_scene = weights[:, start:end]
            a, b = linear_sum_assignment(of_scene, maximize=True)
            # With fewer people in the scene than in the company, the query itself can go without a match; matched
            # with the largest weight itself, it keeps its similarity.
            value = of_scene[a, b].max()
            if a[0] == 0 and not (same and value == of_scene[0, b[0]]):
                revised.append((i, int(people[start + b[0]]), float(value)))
    if not revised:
        return Revisions.none()
    local, detections, after = (np.array(column) for column in zip(*revised, strict=True))
    often = np.zeros(len(local), np.int64)
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        part = slice(*np.searchsorted(local, [start, start + _QUERIES_AT_ONCE]))
        times = search.visits.revised(queries[start : start + _QUERIES_AT_ONCE])
        often[part] = times[local[part] - start, scene_of[detections[part]]]
    before = similarities.arrays.get(similarities.exact(search.embedded[queries[local]], detections))
    if search.rules.cbgm == "mean":
        after = (before + after) / 2
    return Revisions(local, detections, before, after, often)
