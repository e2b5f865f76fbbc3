"""Predictions brought into the order of a dataset's scenes and a protocol's queries."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from psbench.blocks import query_names, ranges
from psbench.intake import At
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench_data import InputError, Protocol, Scenes


@dataclass(frozen=True, eq=False)
class GalleryDetections:
    """The detections that an evaluation looks at, scene after scene in the split's order.

    Attributes:
        offsets: (S + 1,) int64; a scene without predictions, or with all below the threshold, is empty.
        predicted: (S,) bool: scenes that the predictions list.
        rows: (N,) int64, which of the predictions' detections each is.
        boxes: (N, 4) float32, xyxy, pixels.
        scores: (N,) float32.
    """

    offsets: np.ndarray
    predicted: np.ndarray
    rows: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    @cached_property
    def scenes(self) -> np.ndarray:
        """(N,) int32: the scene of each detection."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), np.diff(self.offsets))

    def scenes_of(self, stretch: slice) -> slice:
        """From which scene up to which a stretch of detections, at least one, goes."""
        return slice(int(self.scenes[stretch.start]), int(self.scenes[stretch.stop - 1]) + 1)

    def within(self, scenes: np.ndarray, stretch: slice) -> tuple[np.ndarray, np.ndarray]:
        """(n,) int64 each: the first of a stretch's detections in each of some scenes, and how many it has there."""
        bounds = np.clip([self.offsets[scenes], self.offsets[scenes + 1]], stretch.start, stretch.stop)
        return bounds[0], bounds[1] - bounds[0]


def scenes_needed(protocols: Sequence[Protocol]) -> np.ndarray:
    """Indices of the scenes that are searched for any query of some protocols."""
    return functools.reduce(np.union1d, [protocol.needed for protocol in protocols])


def scene_faults(predictions: Predictions, scenes: Scenes, needed: np.ndarray) -> list[str]:
    """Every predicted scene that is unknown, and every needed one that is missing, a sentence each.

    Args:
        predictions: in any order of scenes.
        scenes: the split that they were made on.
        needed: indices of the scenes that must have been predicted.
    """
    listed = set(predictions.scene_names)
    return unknown_faults(predictions.scene_names, scenes) + [
        f"predictions: {missing_scene(scenes.names[s])}" for s in needed if scenes.names[s] not in listed
    ]


def unknown_faults(names: Sequence[str], scenes: Scenes, at: At = lambda row: "predictions") -> list[str]:
    """Every name that is no scene's, a sentence each, that begins with where `at` says that it stands."""
    return [
        f"{at(row)}: scene {name!r} is not a test scene of this dataset. Predict on the dataset that is evaluated."
        for row, name in enumerate(names)
        if name not in scenes.positions
    ]


def foreign_faults(
    names: Sequence[str], scenes: Scenes, dataset: str, *, what: str = "scenes", where: str = "predictions"
) -> list[str]:
    """One sentence if none of some names is a scene's: they are of another dataset, or written in another way.

    Args:
        names: as predictions have them.
        scenes: of the split that they should be of.
        dataset: its name.
        what: is named.
        where: the beginning of the sentence.
    """
    if not names or not len(scenes) or any(name in scenes.positions for name in names):
        return []
    return [
        f"{where}: none of its {len(names)} {what} is a test scene of {dataset}: expected names such as "
        f"{scenes.names[0]!r}, found {names[0]!r}. Name scenes as the annotation does, or give the dataset that was "
        "predicted on."
    ]


def foreign_query_faults(scenes: Sequence[str], protocol: Protocol, where: str = "predictions") -> list[str]:
    """`foreign_faults` of the scenes of queries."""
    return foreign_faults(scenes, protocol.scenes, protocol.dataset, what="queries' scenes", where=where)


def missing_scene(name: str) -> str:
    """What to say of a scene that was not predicted."""
    return f"scene {name!r} is missing. Predict every test scene; one without detections has count 0."


def arrange(
    predictions: Predictions,
    scenes: Scenes,
    det_threshold: float,
    *,
    among: np.ndarray | None = None,
    ordered: bool = False,
) -> GalleryDetections:
    """Keep the detections with score >= det_threshold, in the order of `scenes`.

    Args:
        predictions: of scenes of the split, in any order.
        scenes: the split.
        det_threshold: in [0, 1].
        among: indices of the scenes to keep; all if None.
        ordered: sort each scene's detections by falling score, then by box, so that the order in which they were given
            cannot matter.
    """
    position = np.full(len(scenes), -1)
    position[[scenes.positions[name] for name in predictions.scene_names]] = np.arange(len(predictions.scene_names))
    predicted = position >= 0
    taken = predicted.copy()
    if among is not None:
        taken = np.zeros(len(scenes), bool)
        taken[among] = predicted[among]
    counts = np.where(taken, predictions.counts[position] if len(predictions.scene_names) else 0, 0)
    rows = ranges(np.where(taken, predictions.offsets[position], 0), counts)
    rows_scene = np.repeat(np.arange(len(scenes), dtype=np.int32), counts)
    kept = predictions.scores[rows] >= det_threshold
    if not kept.all():
        rows, rows_scene = rows[kept], rows_scene[kept]
    if ordered:
        order = np.lexsort((*predictions.boxes[rows].T[::-1], -predictions.scores[rows], rows_scene))
        rows = rows[order]
    return GalleryDetections(
        offsets=np.concatenate([[0], np.cumsum(np.bincount(rows_scene, minlength=len(scenes)))]),
        predicted=predicted,
        rows=rows,
        boxes=predictions.boxes[rows],
        scores=predictions.scores[rows],
    )


def query_rows(predictions: Predictions | PairwisePredictions, protocol: Protocol) -> np.ndarray:
    """Which of the predictions' queries each query of the protocol is: (Q,) indices.

    Raises:
        InputError: naming every query without an embedding.
    """
    queries = protocol.queries
    if predictions.query_scenes is None or predictions.query_boxes is None:
        if isinstance(predictions, PairwisePredictions):
            given, what = predictions.num_queries, "queries"
        else:
            given, what = len(predictions.query_embeddings), "query embeddings"
        if given != len(queries):
            raise InputError(
                f"predictions: {given} {what} for {len(queries)} queries of {protocol.name}. "
                "Give one for each of protocol.queries, in that order; or say which queries they are (query_scenes and "
                "query_boxes), so that the same predictions serve several protocols; or evaluate one protocol alone."
            )
        return np.arange(len(queries))
    rows = named_rows(predictions.query_scenes, predictions.query_boxes, protocol)
    if faults := foreign_query_faults(predictions.query_scenes, protocol):
        raise InputError(faults)
    if (rows < 0).any():
        raise InputError(f"predictions: {missing_query(protocol, i)}" for i in np.flatnonzero(rows < 0).tolist())
    return rows


def named_rows(scenes: Sequence[str], boxes: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Which of some queries, that their scenes and boxes tell, each query of the protocol is: (Q,), -1 for none."""
    known = {key: i for i, key in enumerate(query_names(scenes, boxes))}
    keys = query_names(protocol.queries.scene_names, protocol.queries.boxes)
    return np.array([known.get(key, -1) for key in keys], np.int64)


def missing_query(protocol: Protocol, query: int) -> str:
    """What to say of a query of a protocol that was not predicted."""
    asked = protocol.queries[query]
    return (
        f"query {query} of {protocol.name} (scene {asked.scene!r}, box {asked.box.tolist()}) is not among those "
        "predicted. Predict every query of the protocol."
    )
