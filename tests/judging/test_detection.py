"""Detection, against the original evaluator's figures."""

from pathlib import Path

import numpy as np

import psbench
from psbench import Predictions
from psbench_data import PersonSearchDataset, Scenes
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
