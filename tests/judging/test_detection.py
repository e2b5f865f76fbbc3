"""Detection, against the original evaluator's figures and against what can be worked out by hand."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import psbench
from psbench import PRESETS, InputError, Predictions
from psbench.evaluation.detection import PendingDetection, average_precision, people_found
from psbench.evaluation.gallery import arrange
from psbench.evaluation.rules import rules_of
from psbench_data import UNLABELED, PersonSearchDataset, Scenes
from psbench_data.scenes import scenes_table

EXACT = 1e-9


def test_detection_of_true_boxes_is_perfect(golden: PersonSearchDataset, golden_arrays: dict[str, np.ndarray]) -> None:
    names, counts, boxes = (golden_arrays[key] for key in ("image_names", "gt_counts", "gt_boxes"))
    true = Predictions.from_arrays(
        names,
        counts=counts,
        boxes=boxes,
        scores=np.ones(len(boxes)),
        embeddings=golden_arrays["gt_embeddings"],
        query_embeddings=golden_arrays["query_embeddings"],
    )
    result = psbench.evaluate_detection(true, golden.split("test"))
    assert (result.recall, result.ap) == (1.0, 1.0)


def test_detection_rounds_the_overlap_as_the_original_does() -> None:
    """This IoU is 1.4e-8 under one half, and one half in the float32 that the original keeps it in."""
    table = scenes_table(["a.jpg"], ["a.jpg"], [np.array([[0, 0, 5999, 5999]])], [np.array([0])])
    found = Predictions.from_arrays(
        ["a.jpg"], counts=[1], boxes=[[0, 0, 3000, 5998]], scores=[1], embeddings=[[1]], query_embeddings=[[1]]
    )
    assert psbench.evaluate_detection(found, Scenes(table, Path())).recall == 1


def _two_scenes(identities: tuple[str, ...] = ("0", "1")) -> tuple[Scenes, Predictions]:
    """Two people and a stranger in one scene, a stranger in the other; found three times, and twice elsewhere."""
    person, other, stranger = [0, 0, 20, 40], [30, 0, 50, 40], [60, 0, 80, 40]
    names = ["a.jpg", "b.jpg"]
    boxes = [np.array([person, other, stranger]), np.array([person])]
    test = Scenes(
        scenes_table(names, names, boxes, [np.array([0, 1, UNLABELED]), np.array([UNLABELED])]), Path(), identities
    )
    found = Predictions.from_arrays(
        names,
        counts=[4, 2],
        boxes=[person, stranger, person, [90, 0, 99, 9], person, [90, 0, 99, 9]],
        scores=[0.25, 0.75, 0.5, 0.75, 1, 0],
        embeddings=np.ones((6, 2)),
        query_embeddings=np.ones((1, 2)),
        context={"counts": [1], "boxes": [person], "scores": [1], "embeddings": [[1, 1]]},
    )
    return test, found


def test_of_equal_overlaps_the_first_one_given_counts() -> None:
    """Right are, by score: 1, one of two of 0.75, and the 0.25 that was given before the 0.5."""
    test, found = _two_scenes()
    result = psbench.evaluate_detection(found, test)
    assert dataclasses.astuple(result) == (0.75, pytest.approx(0.75 * (1 + 2 / 3 + 3 / 5) / 3), 0.01, False, 4, 5)


@pytest.mark.parametrize(
    ("threshold", "recall", "number"), [(0, 0.75, 6), (0.25, 0.75, 5), (0.26, 0.75, 4), (0.6, 0.5, 3), (1, 0.25, 1)]
)
def test_detections_from_the_threshold_on_take_part(threshold: float, recall: float, number: int) -> None:
    test, found = _two_scenes()
    result = psbench.evaluate_detection(found, test, det_threshold=threshold)
    assert (result.recall, result.det_threshold, result.num_detections) == (recall, threshold, number)
    assert type(result.det_threshold) is float


@pytest.mark.parametrize(
    ("preset", "identities", "people", "recall"),
    [("default", ("0", "1"), 2, 0.5), ("nae", ("0", "1"), 1, 0), ("nae", ("1", "0"), 1, 1), ("nae", ("p", "q"), 1, 0),
     ("nae", ("7", "8"), 2, 0.5), ("nae", ("p", "0"), 0, 0)],
)  # fmt: skip
def test_people_with_an_identity_are_those_that_an_evaluator_takes_for_labelled(
    preset: str, identities: tuple[str, ...], people: int, recall: float
) -> None:
    """Code that tests `id > 0` takes number 0 for a stranger: the dataset's own, or the first where there are names."""
    test, found = _two_scenes(identities)
    result = psbench.evaluate_detection(found, test, labeled_only=True, preset=preset)
    # Only in scenes with such people are detections looked at.
    assert (result.labeled_only, result.num_people, result.num_detections) == (True, people, 4 if people else 0)
    # Who is found is so by the least of four detections.
    assert (result.recall, result.ap) == (recall, recall / 4)


@pytest.mark.parametrize("preset", PRESETS)
def test_an_evaluation_detects_in_the_predicted_scenes_as_if_there_were_no_others(preset: str) -> None:
    """The embeddings, which may be large, are let go."""
    test, found = _two_scenes()
    pending = PendingDetection.of(found, test, rules_of(preset))
    assert pending.result == psbench.evaluate_detection(found, test, preset=preset)
    kept = pending.predictions
    assert (kept.embeddings.size, kept.query_embeddings.size, kept.context) == (0, 0, None)
    first = dataclasses.replace(
        found, scene_names=["a.jpg"], offsets=found.offsets[:2], boxes=found.boxes[:4], scores=found.scores[:4]
    )
    result = PendingDetection.of(first, test, rules_of(preset)).result
    assert (result.num_people, result.num_detections) == (3, 3 if preset == "oim" else 4)


def test_each_person_is_found_by_one_detection_at_most() -> None:
    test, found = _two_scenes()
    right = people_found(arrange(found, test, 0.0), test.boxes, np.array([0, 0, 0, 1]))
    assert right.tolist() == [True, True, False, False, True, False]
    assert right.dtype == bool


def test_average_precision_is_the_area_under_steps() -> None:
    scores = np.array([0.5, 0.9, 0.5, 0.1])
    assert average_precision(np.zeros(4, bool), scores) == 0
    assert average_precision(np.array([True, False, False, True]), scores) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert average_precision(np.array([True, True, True, False]), scores) == 1


def test_things_of_another_kind_are_refused_by_the_detection_evaluation() -> None:
    test, found = _two_scenes()
    expected = 'expected Predictions (Predictions.load(folder)) and Scenes (dataset.split("test")).'
    wrong: list[tuple[Any, Any, str]] = [
        (test, found, "Scenes and Predictions"),
        (found, None, "Predictions and NoneType"),
        ("folder", test, "str and Scenes"),
    ]
    for predictions, scenes, kinds in wrong:
        with pytest.raises(InputError) as error:
            psbench.evaluate_detection(predictions, scenes)
        assert error.value.faults == [f"evaluate_detection was given {kinds}, {expected}"]
    for threshold in (-0.01, 1.01, "0.5", float("nan")):
        with pytest.raises(InputError) as error:
            psbench.evaluate_detection(found, test, det_threshold=threshold)  # type: ignore[arg-type]
        assert error.value.faults == [f"det_threshold is {threshold!r}, expected 0 to 1."]
