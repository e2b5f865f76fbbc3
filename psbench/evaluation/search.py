"""The search that a protocol asks for: rankings, and the average precision of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from psbench.evaluation.cbgm import CBGM, rescore
from psbench.evaluation.gallery import arrange, query_rows
from psbench.evaluation.segments import pair_iou, ranges, segment_argmax
from psbench.predictions import Predictions
from psbench_data import InputError, Protocol
from psbench_data.protocol import match_iou_threshold

_SIMILARITIES_AT_ONCE = 2**24
"""Bounds memory: 64 MiB of float32 similarities."""


class Search:
    """The ranking that a protocol asks of predictions, query by query.

    Attributes:
        protocol: the task.
        needed: indices of the test scenes that are in any gallery.
        gallery: the detections with score >= det_threshold, in the order of the test scenes.
    """

    def __init__(
        self,
        predictions: Predictions,
        protocol: Protocol,
        det_threshold: float,
        *,
        cbgm: CBGM | None = None,
        device: str | None = None,
    ) -> None:
        """Bring predictions and protocol together; raises InputError where they do not fit, see `evaluate`."""
        self.protocol = protocol
        self.needed = protocol.needed
        self._queries = query_rows(predictions, protocol)
        self._query_embeddings = predictions.query_embeddings[self._queries]
        if cbgm is not None and predictions.context is None:
            raise InputError(
                "predictions: CBGM needs the detections of the queries' scenes, and there are none. "
                "Predict with context (psbench predict --context), or give from_arrays its context."
            )
        self._cbgm, self._context = cbgm, predictions.context
        self.gallery = arrange(predictions, protocol.scenes, det_threshold, self.needed)
        self._embeddings = predictions.embeddings[self.gallery.rows]
        self._to_gallery = _product_with(self._embeddings, device)
        self._scene_of_detection = self.gallery.scenes
        self._truth, self._candidate = self._overlapping()
        candidate_query = protocol.truth_queries[self._truth]
        self._starts = np.searchsorted(candidate_query, np.arange(len(protocol.queries) + 1))

    def similarities(self) -> Iterator[np.ndarray]:
        """(N,) of all detections, to one query after the other; after CBGM where it was asked for."""
        block = max(1, _SIMILARITIES_AT_ONCE // max(1, len(self._embeddings)))
        for first in range(0, len(self._query_embeddings), block):
            plain = self._to_gallery(self._query_embeddings[first : first + block])
            for query, row in enumerate(plain, start=first):
                yield self._rescored(query, row)

    def similarities_to(self, query: int) -> np.ndarray:
        """(N,) of all detections to one query."""
        return self._rescored(query, self._to_gallery(self._query_embeddings[query : query + 1])[0])

    def _rescored(self, query: int, similarities: np.ndarray) -> np.ndarray:
        if self._cbgm is None or self._context is None:
            return similarities
        row = self._queries[query]
        context = self._context.embeddings[self._context.offsets[row] : self._context.offsets[row + 1]]
        candidates = np.flatnonzero(self.searched(query))
        scenes, offsets = self._scene_of_detection, self.gallery.offsets
        return rescore(self._cbgm, similarities, candidates, offsets, scenes, self._embeddings, context)

    def searched(self, query: int) -> np.ndarray:
        """(N,) bool: the detections in a query's gallery."""
        return self.protocol.searched(query)[self._scene_of_detection]

    def right(self, query: int, similarities: np.ndarray) -> np.ndarray:
        """The right detections: in each scene with the person, the most similar of those that overlap its box.

        Args:
            query: its number.
            similarities: (N,), of every detection to the query.

        Returns:
            Indices of detections, one for each true box that was found.
        """
        mine = slice(self._starts[query], self._starts[query + 1])
        candidates = self._candidate[mine]
        return candidates[segment_argmax(similarities[candidates], self._truth[mine])]

    def _overlapping(self) -> tuple[np.ndarray, np.ndarray]:
        """Which detections could be right: rows of the true boxes, ascending, and the detections that overlap them."""
        protocol, gallery = self.protocol, self.gallery
        rows = np.flatnonzero(protocol.truth_searched)
        scenes = protocol.truth_scenes[rows]
        counts = np.diff(gallery.offsets)[scenes]
        truth = np.repeat(rows, counts)
        detection = ranges(gallery.offsets[scenes], counts)
        boxes = protocol.truth_boxes[truth]
        enough = pair_iou(boxes, gallery.boxes[detection]) >= match_iou_threshold(boxes)
        return truth[enough], detection[enough]


def _product_with(embeddings: np.ndarray, device: str | None) -> Callable[[np.ndarray], np.ndarray]:
    """The function from queries (Q, D) to their similarities (Q, N), computed by numpy, or by torch on a device."""
    if device is None:
        return lambda queries: queries @ embeddings.T
    import torch

    there = torch.as_tensor(embeddings, device=device)
    return lambda queries: (torch.as_tensor(queries, device=device) @ there.T).cpu().numpy()


def score(search: Search) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per query: average precision (NaN without true boxes), rank of the first right detection, true boxes found."""
    matches = np.diff(search.protocol.truth_offsets)
    ap, rank = np.where(matches > 0, 0.0, np.nan), np.full(len(matches), np.inf)
    found = np.zeros(len(matches), np.int64)
    for q, similarities in enumerate(search.similarities()):
        right = np.sort(similarities[search.right(q, similarities)])[::-1]
        if not len(right):
            continue
        ranked = similarities[search.searched(q)]
        at_least = np.array([np.count_nonzero(ranked >= value) for value in right])
        # A step of equal similarities counts all its right ones.
        right_at_least = np.searchsorted(-right, -right, side="right")
        ap[q] = (right_at_least / at_least).sum() / matches[q]
        rank[q] = at_least[0] - right_at_least[0] + 1
        found[q] = len(right)
    return ap, rank, found
