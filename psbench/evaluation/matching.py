"""CBGM: matching the people around each query with those of the scenes of its most similar detections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from psbench.blocks import ranges
from psbench.evaluation.cbgm import Revisions
from psbench.evaluation.gallery import GalleryDetections
from psbench.evaluation.search import Asked, Search
from psbench.evaluation.similarities import Similarities, Tile

_AT_ONCE = 2**19


@dataclass(frozen=True, eq=False)
class _Similar:
    """Detections that are similar to queries.

    Attributes:
        owner: (m,) int64, which of the asked queries, ascending.
        detections: (m,) int64.
        similarities: (m,) float64.
    """

    owner: np.ndarray
    detections: np.ndarray
    similarities: np.ndarray

    def one_a_scene(self, gallery: GalleryDetections) -> _Similar:
        """One detection of each query and scene, by rising scene."""
        pairs = self.owner * len(gallery.offsets) + gallery.scenes[self.detections]
        return self[np.unique(pairs, return_index=True)[1]]

    def best(self, k1: int) -> _Similar:
        """The k1 most similar of each query; between equals at the cut, those of the first scenes."""
        order = np.lexsort((self.detections, -self.similarities, self.owner))
        owner = self.owner[order]
        return self[order[np.arange(len(order)) - np.searchsorted(owner, owner) < k1]]

    def __getitem__(self, chosen: np.ndarray) -> _Similar:
        return _Similar(self.owner[chosen], self.detections[chosen], self.similarities[chosen])

    @classmethod
    def joined(cls, parts: Sequence[_Similar]) -> _Similar:
        columns = zip(*((p.owner, p.detections, p.similarities) for p in parts), strict=True)
        return cls(*map(np.concatenate, columns))


def revisions(asked: Sequence[Asked], similarities: Similarities, tiles: Iterable[Tile]) -> list[Revisions]:
    """What CBGM, where it is asked for, makes of the similarities of some queries.

    Args:
        asked: of searches in one gallery and with one company a query; a scene is matched once for all of them.
        similarities: of the predictions' queries to the gallery.
        tiles: those of a block of queries, rounded.
    """
    if not asked or asked[0].search.cbgm is None:
        return [Revisions.none() for _ in asked]
    search, k1 = asked[0].search, asked[0].search.cbgm.k1
    nothing = np.zeros(0, np.int64)
    similar = [_Similar(nothing, nothing, np.zeros(0))] * len(asked)
    for tile in tiles:
        values = similarities.arrays.get(tile.values)
        peaks = _peaks(search.gallery, tile.stretch, values)
        similar = [
            _Similar.joined([so_far, *_reached(of, similarities, tile.stretch, values, peaks)]).best(k1)
            for of, so_far in zip(asked, similar, strict=True)
        ]
    found = [so_far.one_a_scene(search.gallery) for so_far in similar]
    keys = [
        of.embedded[f.owner] * len(search.gallery.offsets) + search.gallery.scenes[f.detections]
        for of, f in zip(asked, found, strict=True)
    ]
    together, place = np.unique(np.concatenate(keys), return_inverse=True)
    detections, largest = _matched(search, similarities, *np.divmod(together, len(search.gallery.offsets)))
    revised, first = [], 0
    for of, f in zip(asked, found, strict=True):
        mine = place[first : first + len(f.owner)]
        first += len(f.owner)
        kept = np.flatnonzero(detections[mine] >= 0)
        changed, after = detections[mine[kept]], largest[mine[kept]]
        before = similarities.arrays.get(similarities.exact(of.embedded[f.owner[kept]], changed))
        if of.search.rules.cbgm == "mean":
            after = (before + after) / 2
        revised.append(Revisions(f.owner[kept], changed, before, after))
    return revised


def _peaks(gallery: GalleryDetections, stretch: slice, values: np.ndarray) -> np.ndarray:
    """(b, s) float32: the largest value in each scene of a stretch, -inf where it has no detection."""
    scenes = gallery.scenes_of(stretch)
    begins, counts = gallery.within(np.arange(scenes.start, scenes.stop), stretch)
    # maximum.reduceat is slow on many short stretches: here the first detections of all scenes are compared with the
    # second ones, and so on, the scenes with most of them first.
    order = np.argsort(-counts, kind="stable")
    deep = [int(np.count_nonzero(counts > place)) for place in range(counts.max(initial=0))]
    columns = np.concatenate([begins[order[:n]] - stretch.start + place for place, n in enumerate(deep)])
    peaks = np.full((len(values), len(begins)), -np.inf, np.float32)
    step = max(1, _AT_ONCE // len(columns))
    for start in range(0, len(values), step):
        of_rows = values[start : start + step].take(columns, axis=1)
        best, end = of_rows[:, : deep[0]], deep[0]
        for n in deep[1:]:
            np.maximum(best[:, :n], of_rows[:, end : end + n], out=best[:, :n])
            end += n
        peaks[start : start + step, order[: deep[0]]] = best
    return peaks


def _reached(
    asked: Asked, similarities: Similarities, stretch: slice, values: np.ndarray, peaks: np.ndarray
) -> Iterator[_Similar]:
    """Detections of a stretch with its k1 most similar ones for each query among them.

    Args:
        asked: with `cbgm`.
        similarities: of the predictions' queries to the gallery.
        stretch: from which detection up to which.
        values: (r, n) float32, their similarities, rounded.
        peaks: (r, s) float32, the largest in each scene.
    """
    search, gallery = asked.search, asked.search.gallery
    assert search.cbgm is not None
    k1, scenes = search.cbgm.k1, gallery.scenes_of(stretch)
    margin = 2 * similarities.tolerance(asked.embedded)
    step = max(1, _AT_ONCE // peaks.shape[1])
    for start in range(0, len(asked.queries), step):
        local = asked.local[start : start + step]
        searched_scenes = search.visits.revised(asked.queries[start : start + step], scenes)
        least, near = np.full(len(local), -np.inf, np.float32), []
        for i, of_query in enumerate(searched_scenes):
            searched = np.flatnonzero(of_query)
            of_scenes = peaks[local[i], searched]
            if len(searched) > k1:
                # The best of k1 scenes are k1 detections, so the k1 most similar reach the least of them. Rounding must
                # not decide who is among these: whoever could be is compared exactly.
                least[i] = np.nextafter(
                    np.float32(np.partition(of_scenes, len(searched) - k1)[len(searched) - k1] - margin[start + i]),
                    np.float32(-np.inf),
                )
            near.append(searched[of_scenes >= least[i]])
        owner, scene = np.repeat(np.arange(len(near)), [len(n) for n in near]), np.concatenate(near)
        begins, counts = gallery.within(scenes.start + scene, stretch)
        detections, owner = ranges(begins, counts), np.repeat(owner, counts)
        kept = values[local[owner], detections - stretch.start] >= least[owner]
        owner, detections = start + owner[kept], detections[kept]
        exact = similarities.arrays.get(similarities.exact(asked.embedded[owner], detections))
        yield _Similar(owner, detections, exact)


def _matched(
    search: Search, similarities: Similarities, rows: np.ndarray, scenes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Match the company of queries with the people of scenes.

    Args:
        search: with `cbgm` and `context`.
        similarities: of the predictions' queries to the gallery.
        rows: (n,) which of these queries, ascending.
        scenes: (n,) none of them without detections.

    Returns:
        (n,) int64 detections whose similarity to the query changes, -1 for none; (n,) float64 what it becomes, the
        largest similarity of the matched pairs.
    """
    from scipy.optimize import linear_sum_assignment

    assert search.cbgm is not None
    assert search.context is not None
    gallery, context = search.gallery, search.context
    detections, largest = np.full(len(rows), -1), np.zeros(len(rows))
    firsts = np.flatnonzero(np.diff(rows, prepend=-1))
    for start, stop in pairwise([*firsts, len(rows)]):
        row = rows[start]
        begins, counts = gallery.offsets[scenes[start:stop]], np.diff(gallery.offsets)[scenes[start:stop]]
        first = context.offsets[row]
        company = context.embeddings[first : min(first + search.cbgm.k2, context.offsets[row + 1])]
        # Detected anew, a query can have got an embedding of its own in its company.
        same = bool((company[0] == similarities.queries[row]).all())
        # Each weight from its two vectors alone, so that equal people stay equal.
        people = similarities.embeddings(ranges(begins, counts)).astype(np.float64)
        weights = np.einsum("id,jd->ij", company.astype(np.float64), people)
        end = 0
        for i, (begin, count) in enumerate(zip(begins.tolist(), counts.tolist(), strict=True), start=start):
            of_scene = weights[:, end : (end := end + count)]
            if count == 1 and same:
                # Alone, a person is matched with the query only where the query is the most similar.
                continue
            a, b = linear_sum_assignment(of_scene, maximize=True)
            # With fewer people in the scene than in the company, the query itself can go without a match; matched
            # with the largest weight itself, it keeps its similarity.
            value = of_scene[a, b].max()
            if a[0] == 0 and not (same and value == of_scene[0, b[0]]):
                detections[i], largest[i] = begin + b[0], value
    return detections, largest
