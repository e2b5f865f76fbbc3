"""The tables of an evaluation, query by query and box by box, against the annotation and plain loops."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import psbench
from psbench.evaluation.breakdown import QUERY_COLUMNS
from psbench_data import Scenes
from psbench_data.scenes import scenes_table
from tests.judging import worlds
from tests.judging.listings import truth_of


def _some_cameras_unknown(rng: np.random.Generator, test: Scenes) -> Scenes:
    cameras = rng.choice(np.array([None, 0, 1]), len(test)).tolist()
    boxes, ids = [scene.boxes for scene in test], [scene.person_ids for scene in test]
    return Scenes(scenes_table(test.names, test.names, boxes, ids, cameras), Path(), test.identities)


@pytest.mark.parametrize("seed", range(6))
def test_tables_are_those_of_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    test = _some_cameras_unknown(rng, worlds.scenes(rng))
    protocol = worlds.protocol(rng, test)
    predictions = worlds.predictions(rng, test, protocol, worlds.coarse, 4)
    evaluation = psbench.evaluate(predictions, protocol, det_threshold=0.5)

    def camera(scene: int) -> float:
        found = test[scene].camera_id
        return np.nan if found is None else float(found)

    queries, boxes = [], []
    for q, query in enumerate(protocol.queries):
        truth = truth_of(predictions, protocol, q)
        true = np.flatnonzero((protocol.truth_queries == q) & protocol.truth_searched)
        precisions = []
        for t, rank in zip(true.tolist(), truth.ranks, strict=True):
            before = truth.ranking[: rank or 0]
            precisions.append(sum(right for _, right, _ in before) / rank if rank else 0.0)
            scene, box = int(protocol.truth_scenes[t]), protocol.truth_boxes[t]
            place = (True, before[-1][0], rank) if rank else (False, np.nan, np.nan)
            boxes.append([q, test.names[scene], camera(scene), box[3] - box[1], *place, precisions[-1]])
        right = [item[1] for item in truth.ranking]
        # Behind the wrong ones that are as similar as the first right one.
        first = right.index(True) + 1 if any(right) else np.nan
        own, height = int(protocol.queries.scenes[q]), query.box[3] - query.box[1]
        found = sum(rank is not None for rank in truth.ranks)
        queries.append(
            [test.names[own], protocol.queries.person_ids[q], camera(own), height, protocol.gallery_sizes[q]]
            + [truth.matches, found, sum(precisions) / truth.matches if truth.matches else np.nan]
            + [first <= k if truth.matches else pd.NA for k in (1, 5, 10)]
            + [first]
        )
    kinds = {"box_height": np.float32, "rank": float} | dict.fromkeys(["top1", "top5", "top10"], "boolean")
    expected = pd.DataFrame(queries, columns=QUERY_COLUMNS).astype(kinds)
    pd.testing.assert_frame_equal(evaluation.per_query, expected)
    columns = ["query", "scene", "camera_id", "box_height", "found", "similarity", "rank", "precision"]
    expected = pd.DataFrame(boxes, columns=columns).astype({"box_height": np.float32, "rank": float})
    pd.testing.assert_frame_equal(evaluation.per_box, expected)
