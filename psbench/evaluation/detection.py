"""Detection: recall and average precision over all people of the test scenes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import numpy as np

from psbench.blocks import ranges
from psbench.evaluation.gallery import GalleryDetections, arrange, scene_faults
from psbench.evaluation.rules import Rules, rules_of
from psbench.evaluation.segments import pair_iou, segment_argmax
from psbench.predictions import Predictions
from psbench_data import UNLABELED, InputError, Scenes

_IOU = np.float32(0.5)


@dataclass(frozen=True)
class DetectionEvaluation:
    """How well people are found.

    Attributes:
        recall: found people / all people, in [0, 1].
        ap: average precision x recall, in [0, 1].
        det_threshold: detections below this score were left out.
        labeled_only: whether people without identity were left out.
        num_people: the people that were to be found.
        num_detections: the detections that were looked at.
    """

    recall: float
    ap: float
    det_threshold: float
    labeled_only: bool
    num_people: int
    num_detections: int


def evaluate_detection(
    predictions: Predictions,
    scenes: Scenes,
    *,
    det_threshold: float | None = None,
    labeled_only: bool = False,
    preset: str = "default",
) -> DetectionEvaluation:
    """Recall and AP as SeqNet's evaluator defines them.

    A person is found by the detection that overlaps it most, if its IoU is at least 0.5 and it overlaps no other
    person more; of equal overlaps the first one given counts. There is no assignment by score: a second detection of a
    person is wrong, however high its score.

    Args:
        predictions: of all of `scenes`.
        scenes: `dataset.split("test")`.
        det_threshold: detections with a lower score are left out; 0.01, or the preset's, if not given.
        labeled_only: look for people with an identity only, in the scenes that have any. Detections of other people
            then count as wrong, so that only the recall means something.
        preset: the evaluator whose rules to follow, see `evaluate`.

    Raises:
        InputError: naming every scene that is unknown or missing.
    """
    if not isinstance(predictions, Predictions) or not isinstance(scenes, Scenes):
        raise InputError(
            f"evaluate_detection was given {type(predictions).__name__} and {type(scenes).__name__}, expected "
            'Predictions (Predictions.load(folder)) and Scenes (dataset.split("test")).'
        )
    rules = rules_of(preset)
    threshold = rules.detection_threshold if det_threshold is None else det_threshold
    if not isinstance(threshold, Real) or not 0 <= threshold <= 1:
        raise InputError(f"det_threshold is {threshold!r}, expected 0 to 1.")
    threshold = float(threshold)
    if faults := scene_faults(predictions, scenes, np.arange(len(scenes))):
        raise InputError(faults)
    return detection_of(arrange(predictions, scenes, threshold), scenes, rules, threshold, labeled_only)


@dataclass(frozen=True, eq=False)
class PendingDetection:
    """The detection evaluation of predictions, made when it is first asked for.

    Attributes:
        predictions: without their embeddings, which may be large.
        scenes, rules: as for `evaluate_detection`.
    """

    predictions: Predictions
    scenes: Scenes
    rules: Rules

    @classmethod
    def of(cls, predictions: Predictions, scenes: Scenes, rules: Rules) -> PendingDetection:
        """Keep what it takes."""
        none = np.zeros((0, 0), np.float32)
        light = dataclasses.replace(predictions, embeddings=none, query_embeddings=none, context=None)
        return cls(light, scenes, rules)

    @cached_property
    def result(self) -> DetectionEvaluation:
        """Over the predicted scenes, all people."""
        threshold = self.rules.detection_threshold
        gallery = arrange(self.predictions, self.scenes, threshold)
        return detection_of(gallery, self.scenes, self.rules, threshold, labeled_only=False)


def detection_of(
    gallery: GalleryDetections, scenes: Scenes, rules: Rules, det_threshold: float, labeled_only: bool
) -> DetectionEvaluation:
    """`evaluate_detection` over the predicted scenes, on detections that are arranged already."""
    person_scene = np.repeat(np.arange(len(scenes)), np.diff(scenes.offsets))
    wanted = gallery.predicted[person_scene]
    if labeled_only:
        wanted = wanted & _labelled(scenes, rules)
    boxes, person_scene = scenes.boxes[wanted], person_scene[wanted]
    people = np.bincount(person_scene, minlength=len(scenes))
    looked_at = np.ones(len(gallery.scores), bool)
    if labeled_only:
        looked_at = people[gallery.scenes] > 0

    right = people_found(gallery, boxes, person_scene)
    recall = int(right.sum()) / len(boxes) if len(boxes) else 0.0
    return DetectionEvaluation(
        recall=recall,
        ap=average_precision(right[looked_at], gallery.scores[looked_at]) * recall,
        det_threshold=det_threshold,
        labeled_only=labeled_only,
        num_people=len(boxes),
        num_detections=int(looked_at.sum()),
    )


def people_found(gallery: GalleryDetections, boxes: np.ndarray, scenes: np.ndarray) -> np.ndarray:
    """The detections by which some people are found, one each, see `evaluate_detection`.

    Args:
        gallery: the N detections.
        boxes: (P, 4) float32, xyxy, pixels, of the people.
        scenes: (P,) the scene of each.

    Returns:
        (N,) bool.
    """
    # Every person with every detection of its scene. The IoU is rounded to float32 as in the original, where that
    # decides whether an overlap of one half counts.
    counts = np.diff(gallery.offsets)[scenes]
    person = np.repeat(np.arange(len(boxes)), counts)
    detection = ranges(gallery.offsets[scenes], counts)
    iou = pair_iou(boxes[person], gallery.boxes[detection]).astype(np.float32)
    best_of_person = segment_argmax(iou, person)
    best_of_detection = np.zeros(len(iou), bool)
    best_of_detection[segment_argmax(iou, detection)] = True
    found = best_of_person[(iou[best_of_person] >= _IOU) & best_of_detection[best_of_person]]

    right = np.zeros(len(gallery.scores), bool)
    right[detection[found]] = True
    return right


def _labelled(scenes: Scenes, rules: Rules) -> np.ndarray:
    """(N,) bool: the people that an evaluator takes for labelled."""
    labelled = scenes.person_ids != UNLABELED
    if rules.first_person_unlabelled:
        # Such code counts identities from 0 where the dataset names them, and keeps the dataset's own numbers.
        raw = [int(label) if label.isdecimal() else i for i, label in enumerate(scenes.identities)]
        labelled &= ~np.isin(scenes.person_ids, np.flatnonzero(np.array(raw) == 0))
    return labelled


def average_precision(right: np.ndarray, scores: np.ndarray) -> float:
    """The step-wise area under precision over recall, equal scores forming one step; 0 where nothing is right.

    Args:
        right: (n,) bool.
        scores: (n,).
    """
    if not right.any():
        return 0.0
    order = np.argsort(-scores, kind="stable")
    right, scores = right[order], scores[order]
    last_of_equals = np.append(scores[1:] != scores[:-1], True)
    true = np.cumsum(right)[last_of_equals]
    precision = true / (np.flatnonzero(last_of_equals) + 1)
    return float((np.diff(true, prepend=0) * precision).sum() / true[-1])
