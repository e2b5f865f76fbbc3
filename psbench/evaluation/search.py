"""Search: mean average precision and top-k over the queries of a protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

import psbench
from psbench.evaluation.cbgm import CBGM, rescore
from psbench.evaluation.detection import DetectionEvaluation, detection_of
from psbench.evaluation.gallery import arrange, query_rows
from psbench.evaluation.segments import pair_iou, ranges, segment_argmax
from psbench.predictions import Predictions
from psbench_data import InputError, Protocol
from psbench_data.errors import near_names
from psbench_data.protocol import match_iou_threshold

if TYPE_CHECKING:
    import pandas as pd

_SIMILARITIES_AT_ONCE = 2**24
"""Bounds memory: 64 MiB of float32 similarities."""
PRESETS = ("default",)
"""The rules that `evaluate` can follow."""
_DETECTION_THRESHOLD = 0.01
"""At which the field's evaluators report detection, whatever the threshold of the search."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        protocol, protocol_version, protocol_digest, dataset: what was evaluated.
        det_threshold: detections below this score were left out of the search.
        cbgm: whether, and with which k1 and k2, similarities were revised.
        per_query: one row a query: scene, person_id, matches (true boxes in its gallery), found (of them, detected),
            ap, top1, top5, top10, rank (of the first right detection, from 1; missing if there is none).
        detection: recall and AP of the detections with score >= 0.01, over the predicted test scenes.
        skipped: queries without any true box in their gallery; they are in no mean, and their ap is missing.
        synthetic: whether the predictions were made on synthetic data.
    """

    protocol: str
    protocol_version: int
    protocol_digest: str
    dataset: str
    det_threshold: float
    cbgm: CBGM | None
    per_query: pd.DataFrame
    detection: DetectionEvaluation
    skipped: int
    synthetic: bool

    @property
    def map(self) -> float:
        """Mean average precision, in [0, 1]."""
        return float(self.per_query["ap"].mean())

    def top(self, k: int) -> float:
        """The share of queries whose k most similar detections contain a right one, in [0, 1]."""
        counted = self.per_query["ap"].notna()
        return float((self.per_query["rank"][counted] <= k).mean())

    def to_json(self) -> str:
        """Every number at full precision, with what is needed to tell what it is."""
        return json.dumps(
            {
                "dataset": self.dataset,
                "synthetic": self.synthetic,
                "protocol": self.protocol,
                "protocol_version": self.protocol_version,
                "protocol_digest": self.protocol_digest,
                "psbench_version": psbench.__version__,
                "det_threshold": self.det_threshold,
                "cbgm": self.cbgm and asdict(self.cbgm),
                "queries": len(self.per_query),
                "queries_skipped": self.skipped,
                "map": self.map,
                "top1": self.top(1),
                "top5": self.top(5),
                "top10": self.top(10),
                "detection": asdict(self.detection),
            },
            indent=1,
        )


def evaluate(
    predictions: Predictions,
    protocol: Protocol,
    *,
    det_threshold: float = 0.5,
    cbgm: CBGM | None = None,
    preset: str = "default",
    device: str | None = None,
) -> Evaluation:
    """Search for every query of a protocol in its gallery.

    All detections of a query's gallery with score >= det_threshold are ranked by similarity, the dot product of the
    embeddings as they are. In a scene with the person, the most similar detection that overlaps the true box
    (`psbench_data.protocol.match_iou_threshold`) is right and all others are wrong. Average precision is scaled by the
    share of true boxes that were found, so a missed person costs. The rule of SeqNet's evaluator, which most later work
    copies.

    Equal similarities form one step of the average precision; for top-k, wrong detections come before right ones, so
    that constant embeddings earn nothing and no order of the input changes a result.

    Args:
        predictions: of every scene in the protocol's galleries.
        protocol: for example `dataset.protocol("gallery-100")`.
        det_threshold: in [0, 1].
        cbgm: revise the similarities by the people around each query; the predictions need their context for it.
        preset: the evaluator whose rules to follow; there is one, `default`.
        device: where torch computes the similarities, for example "cuda"; numpy computes them without one.

    Returns:
        The evaluation: `.map`, `.top(k)`, `.per_query`, `.detection`.

    Raises:
        InputError: listing everything in the predictions that does not fit the protocol.
    """
    if not 0 <= det_threshold <= 1:
        raise InputError(f"det_threshold is {det_threshold}, expected 0 to 1.")
    if preset not in PRESETS:
        raise InputError(f"no evaluator is called {preset!r}. {near_names(preset, PRESETS)}")
    if predictions.fingerprint and predictions.fingerprint != protocol.fingerprint:
        raise InputError(
            f"predictions: made on another {predictions.dataset or 'dataset'} (fingerprint "
            f"{predictions.fingerprint[:12]}) than this {protocol.dataset} (fingerprint {protocol.fingerprint[:12]}). "
            "Evaluate with the data that was predicted on."
        )
    search = Search(predictions, protocol, det_threshold, cbgm=cbgm, device=device)
    ap, rank, found = _score(search)
    everything = arrange(predictions, protocol.scenes, _DETECTION_THRESHOLD, search.needed)
    matches = np.diff(protocol.truth_offsets)
    return Evaluation(
        protocol=protocol.name,
        protocol_version=protocol.version,
        protocol_digest=protocol.digest,
        dataset=protocol.dataset,
        det_threshold=det_threshold,
        cbgm=cbgm,
        per_query=_per_query(protocol, matches, found, ap, rank),
        detection=detection_of(everything, protocol.scenes, _DETECTION_THRESHOLD, labeled_only=False),
        skipped=int((matches == 0).sum()),
        synthetic=predictions.synthetic,
    )


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
        self.needed = np.unique(protocol.gallery_scenes)
        self._queries = query_rows(predictions, protocol)
        self._embeddings = predictions.query_embeddings[self._queries]
        if cbgm is not None and predictions.context is None:
            raise InputError(
                "predictions: CBGM needs the detections of the queries' scenes, and there are none. "
                "Predict with context (psbench predict --context), or give from_arrays its context."
            )
        self._cbgm, self._context = cbgm, predictions.context
        self.gallery = arrange(predictions, protocol.scenes, det_threshold, self.needed)
        self._to_gallery = _product_with(self.gallery.embeddings, device)
        self._scene_of_detection = self.gallery.scenes
        self._truth, self._candidate = self._overlapping()
        candidate_query = protocol.truth_queries[self._truth]
        self._starts = np.searchsorted(candidate_query, np.arange(len(protocol.queries) + 1))

    def similarities(self) -> Iterator[np.ndarray]:
        """(N,) of all detections, to one query after the other; after CBGM where it was asked for."""
        block = max(1, _SIMILARITIES_AT_ONCE // max(1, len(self.gallery.embeddings)))
        for first in range(0, len(self._embeddings), block):
            plain = self._to_gallery(self._embeddings[first : first + block])
            for query, row in enumerate(plain, start=first):
                yield self._rescored(query, row)

    def similarities_to(self, query: int) -> np.ndarray:
        """(N,) of all detections to one query."""
        return self._rescored(query, self._to_gallery(self._embeddings[query : query + 1])[0])

    def _rescored(self, query: int, similarities: np.ndarray) -> np.ndarray:
        if self._cbgm is None or self._context is None:
            return similarities
        row = self._queries[query]
        context = self._context.embeddings[self._context.offsets[row] : self._context.offsets[row + 1]]
        candidates = np.flatnonzero(self.searched(query))
        offsets, embeddings = self.gallery.offsets, self.gallery.embeddings
        scenes = self._scene_of_detection
        return rescore(self._cbgm, similarities, candidates, offsets, scenes, embeddings, context)

    def searched(self, query: int) -> np.ndarray:
        """(N,) bool: the detections in a query's gallery."""
        scenes = np.zeros(len(self.protocol.scenes), bool)
        scenes[self.protocol.gallery(query)] = True
        return scenes[self._scene_of_detection]

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


def _score(search: Search) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def _per_query(
    protocol: Protocol, matches: np.ndarray, found: np.ndarray, ap: np.ndarray, rank: np.ndarray
) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "scene": protocol.queries.scene_names,
            "person_id": protocol.queries.person_ids,
            "matches": matches,
            "found": found,
            "ap": ap,
            **{f"top{k}": rank <= k for k in (1, 5, 10)},
            "rank": np.where(np.isinf(rank), np.nan, rank),
        }
    )
