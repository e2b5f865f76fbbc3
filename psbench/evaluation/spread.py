"""How similar right detections are to their queries, and how similar wrong ones: two histograms over all rankings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from psbench.evaluation.listing import DetectionListing, Listing, PairListing
from psbench.evaluation.matching import revisions
from psbench.evaluation.ranks import right_detections
from psbench.evaluation.search import Asked
from psbench.evaluation.similarities import Tiles

_FINE, _AT_ONCE = 2**14, 2**22
"""Bins over all similarities that there could be, of which those that hold any are put together; values at once."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Similarities of the queries that count to the detections of their galleries, each counted once.

    Attributes:
        edges: (B + 1,) float64, ascending, of bins of one width; a bin holds its lower edge.
        right, wrong: (B,) int64, how many right and wrong detections lie in each, see `evaluate`.
    """

    edges: np.ndarray
    right: np.ndarray
    wrong: np.ndarray


def spread(listing: Listing, *, bins: int = 60, progress: bool = False) -> Spread:
    """Count the similarities of all rankings of a listing.

    Args:
        listing: of an evaluation's rankings.
        bins: at most.
        progress: whether to show a bar when it takes long.
    """
    low, high = _range(listing)
    parts = _of_pairs(listing) if isinstance(listing, PairListing) else _of_detections(listing, progress)
    # A similarity that equals the largest one lies in the last bin, and rounding throws none out; no bin is narrower
    # than what float32 tells apart.
    least = float(np.spacing(np.float32(max(abs(low), abs(high)))))
    width = max((high - low) * (1 + 1e-6) / _FINE, least)
    counts = np.zeros((2, _FINE), np.int64)
    for right, values in parts:
        place = ((values - low) / width).astype(np.int64).clip(0, _FINE - 1)
        counts[int(right)] += np.bincount(place, minlength=_FINE)
    held = np.flatnonzero(counts.any(axis=0))
    first, last = (held[0], held[-1] + 1) if len(held) else (0, 1)
    together = -(-(last - first) // bins)
    starts = np.arange(first, last, together)
    wrong, right = np.add.reduceat(counts[:, first:last], starts - first, axis=1)
    return Spread(low + width * np.append(starts, starts[-1] + together), right, wrong)


def _range(listing: Listing) -> tuple[float, float]:
    """Between which numbers all similarities lie."""
    if isinstance(listing, DetectionListing):
        return -listing.reach, listing.reach
    similarities = listing.predictions.similarities
    return (float(similarities.min()), float(similarities.max())) if len(similarities) else (0.0, 0.0)


def _of_pairs(listing: PairListing) -> Iterator[tuple[bool, np.ndarray]]:
    predictions, right = listing.predictions, listing.ranks.detections
    asked = listing.searched & listing.counted[predictions.pair_queries]
    wrong = np.repeat(asked, predictions.counts)
    wrong[right] = False
    for is_right, rows in ((True, right), (False, np.flatnonzero(wrong))):
        yield is_right, predictions.similarities[rows].astype(np.float64)


def _of_detections(listing: DetectionListing, progress: bool) -> Iterator[tuple[bool, np.ndarray]]:
    from tqdm import tqdm

    search, similarities = listing.search, listing.similarities
    queries, gallery = np.flatnonzero(search.counted), search.gallery
    with tqdm(total=len(queries), desc="similarities", unit="query", disable=not progress, delay=2) as bar:
        for start in range(0, len(queries), similarities.block):
            block = queries[start : start + similarities.block]
            asked = Asked(search, block, np.arange(len(block)))
            tiles = Tiles(similarities, asked.embedded)
            [revised] = revisions([asked], similarities, tiles)
            owner, _, detection, similarity = right_detections(asked, similarities, revised)
            size = max(len(gallery.rows), 1)
            own, changed = owner * size + detection, revised.queries * size + revised.detections
            yield True, similarity
            yield False, revised.after[~np.isin(changed, own)]
            apart = np.concatenate([own, changed])
            for tile in tiles:
                values, scenes = similarities.arrays.get(tile.values), gallery.scenes_of(tile.stretch)
                step = max(1, _AT_ONCE // values.shape[1])
                for row in range(0, len(block), step):
                    times = search.visits.times(block[row : row + step], scenes)
                    kept = (times > 0)[:, gallery.scenes[tile.stretch] - scenes.start]
                    query, place = apart // size - row, apart % size - tile.stretch.start
                    here = (query >= 0) & (query < len(kept)) & (place >= 0) & (place < values.shape[1])
                    kept[query[here], place[here]] = False
                    yield False, values[row : row + step][kept].astype(np.float64)
            bar.update(len(block))
