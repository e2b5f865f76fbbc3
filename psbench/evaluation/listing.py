"""The ranking of single queries, written out, for pages and pictures; scores are counted without it, see `ranks`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from psbench.evaluation.matching import revisions
from psbench.evaluation.ranks import right_detections
from psbench.evaluation.search import Asked, Search
from psbench.evaluation.similarities import Similarities, Tiles


@dataclass(frozen=True, eq=False)
class Hits:
    """The most similar detections of a query, most similar first; among equals, wrong ones first.

    Attributes:
        scenes: (n,) int64, indices into the test scenes.
        boxes: (n, 4) float32, xyxy, pixels.
        similarities: (n,) float64.
        right: (n,) bool.
    """

    scenes: np.ndarray
    boxes: np.ndarray
    similarities: np.ndarray
    right: np.ndarray


def hits(search: Search, similarities: Similarities, query: int, top: int) -> Hits:
    """The `top` most similar detections of a query that has an embedding."""
    queries, gallery = np.array([query]), search.gallery
    row = search.embedded[queries]
    asked = Asked(search, queries, np.array([0]))
    [revised] = revisions([asked], similarities, Tiles(similarities, row))
    right = right_detections(asked, similarities, revised)[2]
    searched = np.flatnonzero((search.visits.times(queries)[0] > 0)[gallery.scenes])
    exact = similarities.arrays.get(similarities.exact(np.repeat(row, len(searched)), searched))
    similarity = revised.applied(np.zeros(len(searched), np.int64), searched, exact)
    is_right = np.isin(searched, right)
    order = np.lexsort((is_right, -similarity))[:top]
    chosen = searched[order]
    return Hits(gallery.scenes[chosen].astype(np.int64), gallery.boxes[chosen], similarity[order], is_right[order])
