"""Counting how many detections are at least as similar as each right one: only close calls are looked at one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from psbench.blocks import ranges
from psbench.evaluation.arrays import Arrays
from psbench.evaluation.search import Asked
from psbench.evaluation.segments import weight_from
from psbench.evaluation.similarities import Similarities, Tile

_REACHED_AT_ONCE = 2**16


@dataclass(frozen=True, eq=False)
class Reached:
    """The detections of a tile that are similar enough to stand before a right one, for a few rows of the tile.

    Attributes:
        rows: which rows of the tile.
        offsets: (b + 1,) where the detections of each of these rows begin and end.
        detections: (n,) int64.
        values: (n,) float32, their similarities.
    """

    rows: slice
    offsets: np.ndarray
    detections: np.ndarray
    values: np.ndarray


def reached(arrays: Arrays, tile: Tile, lowest: np.ndarray) -> Iterator[Reached]:
    """Go through a tile and leave out what is too dissimilar to count.

    Args:
        arrays: the backend.
        tile: the similarities of a block of queries to a stretch of the gallery.
        lowest: (b,) float32, the least similarity of interest in each row.
    """
    rows, width = tile.values.shape
    step = max(1, arrays.batch // width)
    first, held, places, found = 0, 0, [], []
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        values = tile.values[part]
        place = arrays.xp.where((values >= arrays.put(lowest[part, None])).reshape(-1))[0]
        found.append(arrays.get(values.reshape(-1)[place]))
        places.append(arrays.get(place) + (start - first) * width)
        held += len(place)
        # Counting takes many small steps: it is worth them only for many detections.
        if held >= _REACHED_AT_ONCE or part.stop == rows:
            together = np.concatenate(places)
            begins = np.arange(part.stop - first + 1) * width
            offsets = np.searchsorted(together, begins)
            together += tile.stretch.start - np.repeat(begins[:-1], np.diff(offsets))
            yield Reached(slice(first, part.stop), offsets, together, np.concatenate(found))
            first, held, places, found = part.stop, 0, [], []


@dataclass(frozen=True, eq=False)
class Counter:
    """Some queries of a search, counted from 0, and the right detections that are to be placed among all others.

    Attributes:
        asked, similarities: whose detections are counted; the rows of the tiles ascend.
        owner: (F,) which of the queries each right detection is of, ascending; those of a query by rising similarity.
        right: (F,) float64, its similarity.
        own: (F,) int64, the detection itself; -1 where its similarity is not that of the tiles.
        only: (N,) bool: the detections that count; all if None.
    """

    asked: Asked
    similarities: Similarities
    owner: np.ndarray
    right: np.ndarray
    own: np.ndarray
    only: np.ndarray | None = None

    @cached_property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """(F,) float32 each: what is below the first or reaches the second is surely less or more similar."""
        margin = self.similarities.tolerance(self.asked.embedded)[self.owner]
        # One step further out, so that rounding the edges does not bring them in.
        low = np.nextafter((self.right - margin).astype(np.float32), np.float32(-np.inf))
        return low, np.nextafter((self.right + margin).astype(np.float32), np.float32(np.inf))

    def lower(self, lowest: np.ndarray) -> None:
        """Bring the least similarity of interest in each row of the tiles down to what is needed here."""
        np.minimum.at(lowest, self.asked.local[self.owner], self.edges[0])

    def count(self, among: Reached, tile: Tile) -> tuple[slice, np.ndarray]:
        """How many of some detections are at least as similar as each right one; searched twice, counted twice.

        Returns:
            Which of the right detections those of these rows are, and (f,) int64.
        """
        first, last = np.searchsorted(self.asked.local, [among.rows.start, among.rows.stop])
        part = slice(*np.searchsorted(self.owner, [first, last]))
        if part.start == part.stop:
            return part, np.zeros(0, np.int64)
        owner, right, own = self.owner[part] - first, self.right[part], self.own[part]
        low, high = (edge[part] for edge in self.edges)
        scenes = self.asked.search.gallery.scenes_of(tile.stretch)
        times = self.asked.search.visits.times(self.asked.queries[first:last], scenes)
        row = self.asked.local[first:last] - among.rows.start
        counts = np.diff(among.offsets)[row]
        place = ranges(among.offsets[row], counts)
        query, detections = np.repeat(np.arange(last - first), counts), among.detections[place]
        weights = self._weights(times, scenes, query, detections)
        kept = np.flatnonzero(weights)
        query, detections, weights = query[kept], detections[kept], weights[kept]
        values = among.values[place[kept]]
        offsets = np.searchsorted(query, np.arange(last - first + 1))

        order, above, close, begins, ends = _ranked(values, weights, offsets, owner, low, high)
        # Mostly a right detection has nothing near but itself.
        inside = (own >= tile.stretch.start) & (own < tile.stretch.stop)
        itself = np.zeros(len(own), np.int64)
        itself[inside] = self._weights(times, scenes, owner[inside], own[inside])
        total = above + itself
        doubtful = np.flatnonzero(close != itself)
        owner, right, begins, ends = owner[doubtful], right[doubtful], begins[doubtful], ends[doubtful]
        # Stretches may overlap; each detection in any of them is looked at once.
        cover = np.cumsum(np.bincount(begins, minlength=len(order) + 1) - np.bincount(ends, minlength=len(order) + 1))
        covered = np.flatnonzero(cover > 0)
        near = order[covered]
        asked = self.asked.embedded[first + query[near]]
        exact = self.similarities.arrays.get(self.similarities.exact(asked, detections[near]))
        weight = weights[near].astype(np.int64)
        as_similar = weight_from((query[near], exact, weight), (owner, right))
        # Those beyond a stretch of its own have been counted for a right detection already.
        upto = np.concatenate([[0], np.cumsum(weight)])
        beyond = upto[np.searchsorted(covered, offsets[owner + 1])] - upto[np.searchsorted(covered, ends)]
        total[doubtful] = above[doubtful] + as_similar - beyond
        return part, total

    def _weights(self, times: np.ndarray, scenes: slice, queries: np.ndarray, detections: np.ndarray) -> np.ndarray:
        """(n,) how often detections count for queries, from how often the scenes of a stretch are searched."""
        place = queries * times.shape[1] + (self.asked.search.gallery.scenes[detections] - scenes.start)
        weights = times.reshape(-1)[place]
        return weights if self.only is None else weights * self.only[detections]


def _ranked(
    values: np.ndarray, weights: np.ndarray, offsets: np.ndarray, rows: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rank values row by row, and find where pairs of edges lie among them.

    Args:
        values: (n,) row after row.
        weights: (n,) how often each counts.
        offsets: (b + 1,) where each row begins and ends.
        rows: (p,) of each pair of edges, ascending.
        low, high: (p,) the edges.

    Returns:
        (n,) the values' places, by rising value in each row; (p,) the weight of what reaches `high`; (p,) the weight of
        what lies between the edges; (p,) where that begins and ends in the first.
    """
    order = np.arange(len(values))
    begins, ends = np.empty((2, len(rows)), np.int64)
    edges = np.searchsorted(rows, np.arange(len(offsets)))
    for row in np.flatnonzero(np.diff(edges)):
        mine, here = slice(edges[row], edges[row + 1]), slice(offsets[row], offsets[row + 1])
        of_row = values[here].argsort()
        ordered = values[here][of_row]
        order[here] = of_row + here.start
        begins[mine] = ordered.searchsorted(low[mine]) + here.start
        ends[mine] = ordered.searchsorted(high[mine]) + here.start
    total = np.concatenate([[0], np.cumsum(weights[order], dtype=np.int64)])
    return order, total[offsets[rows + 1]] - total[ends], total[ends] - total[begins], begins, ends
