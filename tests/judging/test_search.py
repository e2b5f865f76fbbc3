"""Which detections could be right, against plain loops."""

from pathlib import Path

import numpy as np
import pytest

import psbench
from psbench import PRESETS, PairwisePredictions, Predictions
from psbench.evaluation.gallery import arrange
from psbench.evaluation.rules import Rules
from psbench.evaluation.search import Asked, Search
from psbench_data import Protocol, Scenes
from psbench_data.galleries import protocol_table
from psbench_data.scenes import scenes_table
from tests.judging import worlds
from tests.judging.oracle import iou


def _search(seed: int, rules: Rules) -> Search:
    """A third of the queries is left out."""
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    protocol = worlds.protocol(rng, test)
    gallery = arrange(worlds.predictions(rng, test, protocol, worlds.coarse, 1, far=5), test, 0.25)
    return Search(protocol, rules, gallery, np.where(rng.random(len(protocol.queries)) < 0.3, -1, 0))


@pytest.mark.parametrize("preset", ["default", "nae", "pcnet"])
@pytest.mark.parametrize("seed", range(5))
def test_detections_that_touch_a_true_box_are_near_and_candidates_overlap_it_enough(preset: str, seed: int) -> None:
    search = _search(seed, PRESETS[preset])
    targets, gallery = search.targets, search.gallery
    counted = (targets.matches > 0) & (search.embedded >= 0)
    near, candidates = [], []
    for t in np.flatnonzero(counted[targets.queries]):
        true = targets.boxes[t].astype(float)
        width, height = true[2:] - true[:2]
        for d in np.flatnonzero(gallery.scenes == targets.scenes[t]):
            overlap = iou(true, gallery.boxes[d].astype(float))
            if overlap > 0:
                near.append((t, d, overlap))
            if overlap >= min(0.5, width * height / ((width + 10) * (height + 10))):
                candidates.append((t, d))
    assert search.counted.tolist() == counted.tolist()
    found = list(zip(*search.near, strict=True))
    assert [(t, d) for t, d, _ in found] == [(t, d) for t, d, _ in near]
    assert [overlap for _, _, overlap in found] == pytest.approx([overlap for _, _, overlap in near], rel=1e-6)
    assert list(zip(*search.candidates, strict=True)) == candidates


def test_boxes_that_only_share_an_edge_or_a_corner_are_not_near() -> None:
    true, names = [20, 20, 40, 60], ["a.jpg", "b.jpg"]
    test = Scenes(scenes_table(names, names, [np.array([true])] * 2, [np.array([0])] * 2), Path(), ["anna"])
    table = protocol_table([0], np.array([true]), [0], [np.array([1])], [np.array([0])], [np.array([true])])
    protocol = Protocol("one", table, test, dataset="toys", synthetic=False, version=1)
    sides = {-1: (0, 20), 0: (20, 40), 1: (40, 70)}, {-1: (0, 20), 0: (20, 60), 1: (60, 70)}
    around = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)]
    apart = [[sides[0][x][0], sides[1][y][0], sides[0][x][1], sides[1][y][1]] for x, y in around]
    inside = [[39, 59, 70, 70], [0, 0, 21, 21]]
    boxes = [*apart, *inside]
    found = Predictions.from_arrays(
        names,
        counts=[0, len(boxes)],
        boxes=boxes,
        scores=np.ones(len(boxes)),
        embeddings=np.ones((len(boxes), 1)),
        query_embeddings=[[1]],
    )
    search = Search(protocol, Rules(), arrange(found, test, 0.5), np.array([0]))
    assert search.near[1].tolist() == [len(apart), len(apart) + 1]


def test_queries_know_their_embeddings() -> None:
    search = _search(0, Rules())
    queries = np.array([2, 0])
    assert Asked(search, queries, np.arange(2)).embedded.tolist() == search.embedded[queries].tolist()


@pytest.mark.parametrize(("preset", "found"), [("default", 0), ("nae", 0), ("pcnet", 1)])
def test_overlaps_are_rounded_as_far_as_the_rules_have_it(preset: str, found: int) -> None:
    """This one is 1.4e-8 under one half, and one half in float32."""
    true, box, names = np.array([[0, 0, 5999, 5999]]), [[0, 0, 3000, 5998]], ["a.jpg", "b.jpg"]
    test = Scenes(scenes_table(names, names, [true] * 2, [np.array([0])] * 2), Path(), ["anna"])
    table = protocol_table([0], true, [0], [np.array([1])], [np.array([0])], [true])
    protocol = Protocol("one", table, test, dataset="toys", synthetic=False, version=1)
    detections = Predictions.from_arrays(
        names, counts=[0, 1], boxes=box, scores=[1], embeddings=[[1]], query_embeddings=[[1]]
    )
    pairs = PairwisePredictions.from_arrays(
        names, queries=[0], scenes=[1], counts=[1], boxes=box, similarities=[1], num_queries=1
    )
    for predictions in (detections, pairs):
        assert psbench.evaluate(predictions, protocol, preset=preset).per_query["found"].tolist() == [found]
