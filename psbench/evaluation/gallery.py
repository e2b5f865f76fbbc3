"""Predictions brought into the order of a split's scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from psbench.evaluation.segments import ranges
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

    @property
    def scenes(self) -> np.ndarray:
        """(N,) int64: the scene of each detection."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def arrange(predictions: Predictions, scenes: Scenes, det_threshold: float, needed: np.ndarray) -> GalleryDetections:
    """Keep the detections with score >= det_threshold, in the order of `scenes`.

    Args:
        predictions: in any order of scenes.
        scenes: the split that they were made on.
        det_threshold: in [0, 1].
        needed: indices of the scenes that must have been predicted.

    Raises:
        InputError: naming every scene that is unknown, and every needed one that is missing.
    """
    faults = [
        f"predictions: scene {name!r} is not a test scene of this dataset. Predict on the dataset that is evaluated."
        for name in predictions.scene_names
        if name not in scenes.positions
    ]
    position = np.full(len(scenes), -1)
    for i, name in enumerate(predictions.scene_names):
        if name in scenes.positions:
            position[scenes.positions[name]] = i
    predicted = position >= 0
    faults += [
        f"predictions: scene {scenes.names[s]!r} is missing. Predict every test scene; "
        "one without detections has count 0."
        for s in needed[~predicted[needed]]
    ]
    if faults:
        raise InputError(faults)
    counts = np.where(predicted, predictions.counts[position], 0)
    rows = ranges(np.where(predicted, predictions.offsets[position], 0), counts)
    rows_scene = np.repeat(np.arange(len(scenes)), counts)
    kept = predictions.scores[rows] >= det_threshold
    rows, rows_scene = rows[kept], rows_scene[kept]
    return GalleryDetections(
        offsets=np.concatenate([[0], np.cumsum(np.bincount(rows_scene, minlength=len(scenes)))]),
        predicted=predicted,
        rows=rows,
        boxes=predictions.boxes[rows],
        scores=predictions.scores[rows],
    )


def query_rows(predictions: Predictions, protocol: Protocol) -> np.ndarray:
    """Which of the predictions' queries each query of the protocol is: (Q,) indices.

    Raises:
        InputError: naming every query without an embedding.
    """
    queries = protocol.queries
    if predictions.query_embeddings.shape[1] != predictions.embeddings.shape[1]:
        raise InputError(
            f"predictions: query embeddings have {predictions.query_embeddings.shape[1]} dimensions, "
            f"those of detections {predictions.embeddings.shape[1]}. Take both from the same model."
        )
    if predictions.query_scenes is None or predictions.query_boxes is None:
        if len(predictions.query_embeddings) != len(queries):
            raise InputError(
                f"predictions: {len(predictions.query_embeddings)} query embeddings for {len(queries)} queries of "
                f"{protocol.name}. Give one for each of protocol.queries, in that order."
            )
        return np.arange(len(queries))
    rows = {
        (scene, box.tobytes()): i
        for i, (scene, box) in enumerate(zip(predictions.query_scenes, predictions.query_boxes, strict=True))
    }
    keys = [(scene, box.tobytes()) for scene, box in zip(queries.scene_names, queries.boxes, strict=True)]
    missing = [
        f"predictions: query {i} of {protocol.name} (scene {scene!r}, box {queries.boxes[i].tolist()}) "
        "has no embedding. Embed every query of the protocol."
        for i, (scene, box) in enumerate(keys)
        if (scene, box) not in rows
    ]
    if missing:
        raise InputError(missing)
    return np.array([rows[key] for key in keys], np.int64)
