"""Queries taken from the detections of their scenes, against plain loops."""

from pathlib import Path

import numpy as np
import pytest

from psbench import PRESETS, Predictions
from psbench.blocks import unit
from psbench.evaluation.adapting import adapted
from psbench.evaluation.rules import Rules
from psbench_data import Protocol, Scenes
from psbench_data.galleries import protocol_table
from psbench_data.scenes import scenes_table
from tests.judging import worlds
from tests.judging.oracle import iou


@pytest.mark.parametrize("rules", [PRESETS["pstr"], Rules(query="detection")])
@pytest.mark.parametrize("seed", range(12))
def test_a_query_is_the_detection_that_overlaps_its_box_most_in_company_of_the_confident(
    rules: Rules, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    protocol = worlds.protocol(rng, test)
    order = rng.permutation(len(test))
    drawn = worlds.predictions(rng, test, protocol, worlds.continuous, 3)
    rows = np.concatenate([np.arange(*drawn.offsets[scene : scene + 2]) for scene in order])
    predictions = Predictions.from_arrays(
        [test.names[scene] for scene in order],
        counts=drawn.counts[order],
        boxes=drawn.boxes[rows],
        scores=drawn.scores[rows],
        embeddings=drawn.embeddings[rows],
        query_embeddings=drawn.query_embeddings,
        query_scenes=drawn.query_scenes,
        query_boxes=drawn.query_boxes,
        method="mine",
    )
    expected = unit(predictions.embeddings) if rules.normalise else predictions.embeddings
    found, embedded = adapted(predictions, protocol, rules, 0.3)
    context = found.context
    assert context is not None
    for q, query in enumerate(protocol.queries):
        scene = predictions.scene_names.index(query.scene)
        mine = range(*predictions.offsets[scene : scene + 2])
        company: list[int] = []
        if mine:
            own = max(mine, key=lambda d: iou(predictions.boxes[d].astype(float), query.box.astype(float), extra=1))
            others = [d for d in mine if d != own and predictions.scores[d] >= 0.3]
            company = [own, *sorted(others, key=lambda d: -predictions.scores[d])]
            np.testing.assert_array_equal(found.query_embeddings[q], expected[own])
        assert embedded[q] == (q if mine else -1)
        rows = np.arange(*context.offsets[q : q + 2])
        np.testing.assert_array_equal(context.boxes[rows], predictions.boxes[company])
        np.testing.assert_array_equal(context.scores[rows], predictions.scores[company])
        np.testing.assert_array_equal(context.embeddings[rows], expected[company])
    assert found.query_embeddings.shape == (len(protocol.queries), 3)
    assert found.query_embeddings.dtype == np.float32
    # Whose queries these are their order says alone; the rest is as it was.
    assert found.query_scenes is found.query_boxes is None
    assert found.method == "mine"
    assert found.embeddings is predictions.embeddings


@pytest.mark.parametrize("boxes", [[[0, 0, 1, 8], [8, 0, 18, 10]], [[30, 30, 40, 40], [10, 0, 20, 10]]])
def test_sides_are_one_pixel_longer_than_their_coordinates_say(boxes: list[list[int]]) -> None:
    """As in code that takes x2 and y2 for the last pixel, where the second box is the one that overlaps most.

    Of the first pair, by 33 of 209 pixels against 18 of 121: were sides two pixels longer, by 48 of 240 against 30 of
    144, which is less. Of the other pair, only with that pixel does one overlap at all.
    """
    box, names = np.array([[0, 0, 10, 10]]), ["a.jpg"]
    test = Scenes(scenes_table(names, names, [box], [np.array([0])]), Path(), ["anna"])
    table = protocol_table([0], box, [0], [np.array([0])], [np.array([0])], [box])
    protocol = Protocol("one", table, test, dataset="toys", synthetic=False, version=1)
    found = Predictions.from_arrays(
        names,
        counts=[2],
        boxes=boxes,
        scores=[1, 0.5],
        embeddings=[[1, 0], [0, 1]],
        query_embeddings=[[1, 1]],
    )
    assert adapted(found, protocol, Rules(query="detection"), 0.5)[0].query_embeddings.tolist() == [[0, 1]]
