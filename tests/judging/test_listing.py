"""Rankings, curves and histograms: what reports show of an evaluation, against plain loops and scikit-learn."""

import dataclasses

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

import psbench
from psbench import CBGM, PRESETS, Predictions
from psbench.evaluation.listing import Hits, listing_of
from psbench.evaluation.precision_recall import detection_curve, retrieval_curve
from psbench.evaluation.spread import spread
from psbench_data import PersonSearchDataset
from tests.judging import worlds
from tests.judging.listings import Ranked, answered, drawn_world, pairs_of, truth_of
from tests.judging.oracle import iou
from tests.judging.stages import ELSEWHERE, PERSON, one_query

SEEDS = st.integers(0, 2**31)
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
EVERY = 10**6
EXACT = 1e-9


def _listed(hits: Hits) -> list[Ranked]:
    columns = zip(hits.similarities.tolist(), hits.right.tolist(), hits.scenes.tolist(), hits.boxes, strict=True)
    return [(similarity, right, (scene, tuple(box.tolist()))) for similarity, right, scene, box in columns]


@settings(max_examples=40, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS)
def test_rankings_are_those_of_plain_loops_and_their_ap_the_evaluators(seed: int) -> None:
    predictions, protocol, evaluation = drawn_world(seed)
    pairs = pairs_of(predictions, protocol)
    of_pairs = psbench.evaluate(pairs, protocol)
    for given_, judged in ((predictions, evaluation), (pairs, of_pairs)):
        listing = listing_of(given_, protocol, judged)
        for q in answered(evaluation):
            truth, hits = truth_of(predictions, protocol, q), listing.hits(q, EVERY)
            assert [item[:2] for item in _listed(hits)] == [item[:2] for item in truth.ranking]
            assert sorted(_listed(hits)) == sorted(truth.ranking)
            assert _listed(listing.hits(q, 3)) == _listed(hits)[:3]
            found = int(hits.right.sum())
            ap = average_precision_score(hits.right, hits.similarities) * found / truth.matches if found else 0
            assert judged.per_query["ap"][q] == pytest.approx(ap, abs=EXACT)


@settings(max_examples=30, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS)
def test_retrieval_curve_is_the_mean_of_scikit_learns_and_its_area_the_map(seed: int) -> None:
    predictions, protocol, evaluation = drawn_world(seed)
    asked_for = answered(evaluation)
    curve = retrieval_curve(evaluation)
    assert (curve.edges[0], curve.edges[-1]) == (0, 1)
    if not asked_for:
        assert (curve.precision == 0).all()
        return
    assert (np.diff(curve.edges) * curve.precision).sum() == pytest.approx(evaluation.map, abs=EXACT)
    asked = np.linspace(0.013, 1, 60)
    expected = np.zeros((len(asked_for), len(asked)))
    for i, q in enumerate(asked_for):
        truth = truth_of(predictions, protocol, q)
        right = [r for _, r, _ in truth.ranking]
        if not any(right):
            continue
        precision, recall, _ = precision_recall_curve(right, [s for s, _, _ in truth.ranking])
        # Of those that were found; the last pair, of recall 0, is scikit-learn's own.
        recall = recall[:-1] * sum(right) / truth.matches
        for j, share in enumerate(asked):
            reached = np.flatnonzero(recall >= share - 1e-12)
            expected[i, j] = precision[reached[-1]] if len(reached) else 0
    assert curve.at(asked) == pytest.approx(expected.mean(axis=0), abs=EXACT)


@pytest.mark.parametrize("preset", ["default", "oim"])
def test_detection_curve_is_scikit_learns_and_its_area_the_ap(
    golden: PersonSearchDataset, golden_predictions: Predictions, preset: str
) -> None:
    test = golden.split("test")
    detection = psbench.evaluate_detection(golden_predictions, test, preset=preset)
    curve = detection_curve(golden_predictions, test, preset)
    assert len(curve.recall) > 30
    steps = np.diff(curve.recall, prepend=0)
    assert (steps * curve.precision).sum() == pytest.approx(detection.ap, abs=EXACT)
    assert curve.recall[-1] == pytest.approx(detection.recall, abs=EXACT)
    # Which detections are right, by plain loops: the best of a person, if that person is its best.
    right, scores = [], []
    offsets = golden_predictions.offsets
    for i, name in enumerate(golden_predictions.scene_names):
        rows = [r for r in range(offsets[i], offsets[i + 1]) if golden_predictions.scores[r] >= detection.det_threshold]
        people = test[name].boxes.astype(float)
        overlap = np.array(
            [[iou(person, golden_predictions.boxes[r].astype(float)) for r in rows] for person in people]
        )
        overlap = np.float32(overlap).reshape(len(people), len(rows))
        for j in range(len(rows)):
            person = int(overlap[:, j].argmax()) if len(people) else -1
            right.append(person >= 0 and overlap[person, j] >= 0.5 and int(overlap[person].argmax()) == j)
        scores += golden_predictions.scores[rows].tolist()
    precision, recall, thresholds = precision_recall_curve(right, scores)
    share = sum(right) / len(test.boxes)
    # Where everybody is found that will be, scikit-learn goes no further.
    ours = {float(t): (r, p) for t, r, p in zip(curve.thresholds, curve.recall, curve.precision, strict=True)}
    for t, r, p in zip(thresholds, recall[:-1] * share, precision[:-1], strict=True):
        assert ours[float(t)] == pytest.approx((r, p), abs=EXACT)


@settings(max_examples=25, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS)
def test_histograms_count_every_similarity_once(seed: int) -> None:
    predictions, protocol, evaluation = drawn_world(seed, worlds.continuous)
    every = [item for q in answered(evaluation) for item in truth_of(predictions, protocol, q).ranking]
    pairs = pairs_of(predictions, protocol)
    for given_, judged in ((predictions, evaluation), (pairs, psbench.evaluate(pairs, protocol))):
        counted = spread(listing_of(given_, protocol, judged), bins=12)
        assert len(counted.right) <= 12
        for kind, counts in ((True, counted.right), (False, counted.wrong)):
            values = [similarity for similarity, right, _ in every if right == kind]
            # Those of pairs are float32.
            values = np.clip(values, counted.edges[0], counted.edges[-1]).tolist()
            assert counts.tolist() == np.histogram(values, counted.edges)[0].tolist()
            assert counts.sum() == len(values)


@pytest.mark.parametrize("pairwise", [False, True])
def test_ranking_of_one_query_worked_out_by_hand(pairwise: bool) -> None:
    boxes, protocol = one_query([0.5, 0.75, 0.5, 0.25, 0.5], right=2)
    predictions = pairs_of(boxes, protocol) if pairwise else boxes
    listing = listing_of(predictions, protocol, psbench.evaluate(predictions, protocol))
    assert (listing.counted.tolist(), listing.targets.scenes.tolist()) == ([True], [1])
    for top in (2, 4, EVERY):
        hits = listing.hits(0, top)
        assert hits.similarities.tolist() == [0.75, 0.5, 0.5, 0.5, 0.25][:top]
        # Among equals, the right one stands last.
        assert hits.targets.tolist() == [-1, -1, -1, 0, -1][:top]
        assert hits.right.tolist() == [False, False, False, True, False][:top]
        assert hits.boxes.tolist() == [*[ELSEWHERE] * 3, PERSON, ELSEWHERE][:top]
        assert hits.scenes.tolist() == [1] * min(top, 5)
        columns = hits.similarities, hits.targets, hits.boxes, hits.scenes
        assert [column.dtype for column in columns] == [np.float64, np.int64, np.float32, np.int64]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", range(4))
def test_rankings_are_those_that_each_evaluator_counts(seed: int, preset: str) -> None:
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    protocol = worlds.protocol(rng, test)
    predictions = worlds.predictions(rng, test, protocol, worlds.continuous, 4, context=True)
    cbgm = CBGM(3, 3) if seed % 2 else None
    evaluation = psbench.evaluate(predictions, protocol, preset=preset, cbgm=cbgm, det_threshold=0.2)
    listing = listing_of(predictions, protocol, evaluation)
    assert np.flatnonzero(listing.counted).tolist() == answered(evaluation)
    found = evaluation.per_query["found"]
    for q in answered(evaluation):
        hits = listing.hits(q, EVERY)
        targets = hits.targets[hits.right]
        assert (listing.targets.queries[targets] == q).all()
        assert hits.scenes[hits.right].tolist() == listing.targets.scenes[targets].tolist()
        # A scene that is searched twice is listed once, and what is right in it is right for both of its boxes.
        assert len(targets) == len({int(scene) for scene in hits.scenes[hits.right]}) <= found[q]
        assert set(hits.scenes.tolist()) <= {*np.flatnonzero(protocol.searched(q)).tolist()}
        assert (np.diff(hits.similarities) <= 0).all()
        # As float32 rounds it, what is scaled to length one can be a little longer.
        assert cbgm or (abs(hits.similarities) <= listing.reach * (1 + 1e-6)).all()


def test_boxes_that_are_not_kept_are_in_no_ranking() -> None:
    boxes, protocol = one_query([0.5, 0.75, 0.5, 0.25], right=2)
    pairs = pairs_of(boxes, protocol)
    listing = listing_of(pairs, protocol, psbench.evaluate(pairs, protocol, keep=1))
    assert (listing.hits(0, EVERY).similarities.tolist(), listing.ranks.targets.tolist()) == ([0.75], [])


def test_reach_is_the_product_of_the_longest_embeddings() -> None:
    predictions, protocol = one_query([-3, 2, 0.5], right=0)
    predictions = dataclasses.replace(predictions, query_embeddings=np.float32([[-1.5]]))
    for preset, reach in (("default", 4.5), ("seqnet", 4.5), ("alignps", 1)):
        evaluation = psbench.evaluate(predictions, protocol, preset=preset)
        assert listing_of(predictions, protocol, evaluation).reach == reach


def test_context_matching_counts_in_rankings_and_histograms(
    golden: PersonSearchDataset, golden_predictions: Predictions
) -> None:
    protocol = golden.protocol("gallery-50")
    plain = psbench.evaluate(golden_predictions, protocol)
    evaluation = psbench.evaluate(golden_predictions, protocol, cbgm=CBGM(10, 3))
    assert evaluation.map != plain.map
    listing = listing_of(golden_predictions, protocol, evaluation)
    every = [listing.hits(q, EVERY) for q in answered(evaluation)]
    for q, hits in zip(answered(evaluation), every, strict=True):
        found = hits.right.sum() / evaluation.per_query["matches"][q]
        ap = average_precision_score(hits.right, hits.similarities) * found if found else 0
        assert evaluation.per_query["ap"][q] == pytest.approx(ap, abs=EXACT)
    counted = spread(listing, bins=20)
    for kind, counts in ((True, counted.right), (False, counted.wrong)):
        values = np.concatenate([hits.similarities[hits.right == kind] for hits in every])
        assert counts.sum() == len(values)
        # The edges are closer than float32 tells apart: one in a thousand may lie next door.
        assert np.abs(counts - np.histogram(values, counted.edges)[0]).sum() <= len(values) / 500
