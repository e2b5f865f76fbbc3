"""Precision over recall: of the detections, and of the rankings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from psbench.evaluation.detection import people_found
from psbench.evaluation.evaluation import Evaluation
from psbench.evaluation.gallery import arrange
from psbench.evaluation.rules import rules_of
from psbench.predictions import Predictions
from psbench_data import Scenes


@dataclass(frozen=True, eq=False)
class DetectionCurve:
    """Detections with a score of at least each threshold; equal scores form one step.

    The area under its steps, each as high as the precision at its right end, is `DetectionEvaluation.ap`.

    Attributes:
        thresholds: (n,) float32, falling.
        recall: (n,) of all annotated people of the predicted scenes, in [0, 1].
        precision: (n,) in [0, 1].
    """

    thresholds: np.ndarray
    recall: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True, eq=False)
class RetrievalCurve:
    """The mean over the queries that count of the precision where a share of their true boxes is first found.

    A query whose recall never gets there counts with 0. The area under it is the mean average precision.

    Attributes:
        edges: (n + 1,) float64, rising from 0 to 1: recall.
        precision: (n,) in [0, 1], between each edge and the next, which it holds.
    """

    edges: np.ndarray
    precision: np.ndarray

    def at(self, recall: np.ndarray) -> np.ndarray:
        """The precision at some recalls, each in (0, 1]."""
        return self.precision[np.searchsorted(self.edges, recall, side="left") - 1]


def detection_curve(predictions: Predictions, scenes: Scenes, preset: str) -> DetectionCurve:
    """Of the predicted scenes, by the rules of an evaluator, see `evaluate_detection`."""
    rules = rules_of(preset)
    gallery = arrange(predictions, scenes, rules.detection_threshold)
    scene = np.repeat(np.arange(len(scenes)), np.diff(scenes.offsets))
    wanted = gallery.predicted[scene]
    right = people_found(gallery, scenes.boxes[wanted], scene[wanted])
    order = np.argsort(-gallery.scores, kind="stable")
    right, scores = right[order], gallery.scores[order]
    last_of_equals = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)[: len(scores)])
    true = np.cumsum(right)[last_of_equals]
    return DetectionCurve(scores[last_of_equals], true / max(int(wanted.sum()), 1), true / (last_of_equals + 1))


def retrieval_curve(evaluation: Evaluation) -> RetrievalCurve:
    """Of the rankings of an evaluation."""
    counted = evaluation.per_query["ap"].notna().to_numpy()
    found = evaluation.per_box[evaluation.per_box["found"]].sort_values(["query", "rank"], kind="stable")
    query, precision = found["query"].to_numpy(np.int64), found["precision"].to_numpy(float)
    matches = evaluation.per_query["matches"].to_numpy(np.int64)[query]
    place = np.arange(len(query)) - np.searchsorted(query, query)
    # Between k / matches and (k + 1) / matches a query's precision is that of its k-th found box, counted from 0.
    ends = np.concatenate([place / matches, (place + 1) / matches])
    steps = np.concatenate([precision, -precision])
    edges, where = np.unique(np.concatenate([ends, [0.0, 1.0]]), return_inverse=True)
    change = np.bincount(where[: len(ends)], weights=steps, minlength=len(edges))
    # What is left of equal numbers added and taken away is rounding.
    return RetrievalCurve(edges, np.clip(np.cumsum(change)[:-1] / max(counted.sum(), 1), 0, 1))
