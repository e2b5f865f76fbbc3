"""The evaluator, against the original evaluators' figures, a plain oracle, and what must hold for any input."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import psbench
from psbench import CBGM, InputError, Predictions
from psbench.evaluation.baselines import with_random_embeddings
from psbench_data import PersonSearchDataset
from tests.judging import oracle

Arrays = dict[str, np.ndarray]
EXACT = 1e-9


def _detections(arrays: Arrays) -> Predictions:
    return Predictions.from_arrays(
        arrays["image_names"],
        counts=arrays["det_counts"],
        boxes=arrays["det_boxes"],
        scores=arrays["det_scores"],
        embeddings=arrays["det_embeddings"],
        query_embeddings=arrays["query_embeddings"],
    )


def test_torch_computes_the_same_similarities(golden: PersonSearchDataset, golden_predictions: Predictions) -> None:
    protocol = golden.protocol("gallery-500")
    one, other = (psbench.evaluate(golden_predictions, protocol, device=device) for device in (None, "cpu"))
    assert one.to_json() == other.to_json()
    np.testing.assert_array_equal(one.per_query["ap"], other.per_query["ap"])


def test_context_matching_without_context_says_what_is_missing(
    golden: PersonSearchDataset, golden_arrays: Arrays
) -> None:
    with pytest.raises(InputError, match="predict --context"):
        psbench.evaluate(_detections(golden_arrays), golden.protocol("gallery-50"), cbgm=CBGM())
    with pytest.raises(InputError, match="at least 1"):
        CBGM(k1=0)
    with pytest.raises(InputError, match=r"expected Predictions .* and a Protocol"):
        psbench.evaluate(_detections(golden_arrays), "gallery-50")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no evaluator is called 'seqnets'"):
        psbench.evaluate(_detections(golden_arrays), golden.protocol("gallery-50"), preset="seqnets")


def test_drawn_data_marks_every_evaluation(world: PersonSearchDataset) -> None:
    """Also of predictions that were made elsewhere and say nothing of where."""
    result = psbench.evaluate(_random_predictions(world, 0, 4, 4), world.protocol("gallery-50"))
    assert result.synthetic
    assert json.loads(result.to_json())["synthetic"] is True


def test_evaluation_carries_the_detection(
    golden: PersonSearchDataset, golden_predictions: Predictions, golden_expected: dict
) -> None:
    expected = golden_expected["detection"]["thresh=0.01,labeled_only=False"]
    detection = psbench.evaluate(golden_predictions, golden.protocol("gallery-50")).detection
    assert (detection.recall, detection.ap) == pytest.approx((expected["recall"], expected["ap"]), abs=EXACT)


def _random_predictions(world: PersonSearchDataset, seed: int, dim: int, levels: int) -> Predictions:
    """Detections near and far from the people, with coarse scores and similarities, so that ties are common."""
    rng = np.random.default_rng(seed)
    test = world.split("test")
    boxes, counts = [], []
    for scene in test:
        near = np.repeat(scene.boxes, rng.integers(0, 3, len(scene.boxes)), axis=0)
        near = near + rng.integers(-6, 7, near.shape)
        far = rng.uniform(0, 100, (rng.integers(0, 3), 4))
        found = np.concatenate([near, far])
        boxes.append(
            np.concatenate([np.minimum(found[:, :2], found[:, 2:]), np.maximum(found[:, :2], found[:, 2:])], axis=1)
        )
        counts.append(len(found))
    n, q = sum(counts), len(world.protocol("gallery-50").queries)
    return Predictions.from_arrays(
        test.names,
        counts=counts,
        boxes=np.concatenate(boxes),
        scores=rng.integers(0, 5, n) / 4,
        embeddings=rng.integers(-levels, levels + 1, (n, dim)),
        query_embeddings=rng.integers(-levels, levels + 1, (q, dim)),
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    dim=st.sampled_from([1, 2, 16]),
    levels=st.sampled_from([0, 1, 8]),
    det_threshold=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_search_equals_a_plain_loop(
    world: PersonSearchDataset, seed: int, dim: int, levels: int, det_threshold: float
) -> None:
    predictions = _random_predictions(world, seed, dim, levels)
    protocol = world.protocol("gallery-50")
    result = psbench.evaluate(predictions, protocol, det_threshold=det_threshold)
    expected = oracle.search(predictions, protocol, det_threshold)
    assert result.per_query["ap"].to_numpy() == pytest.approx([ap for ap, _ in expected], abs=EXACT)
    assert result.per_query["rank"].fillna(np.inf).tolist() == [rank for _, rank in expected]


def _reordered(p: Predictions, rng: np.random.Generator) -> Predictions:
    scenes = rng.permutation(len(p.scene_names))
    rows = [rng.permutation(np.arange(p.offsets[s], p.offsets[s + 1])) for s in scenes]
    order = np.concatenate(rows)
    return Predictions.from_arrays(
        [p.scene_names[s] for s in scenes],
        counts=[len(r) for r in rows],
        boxes=p.boxes[order],
        scores=p.scores[order],
        embeddings=p.embeddings[order],
        query_embeddings=p.query_embeddings,
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), levels=st.sampled_from([0, 1, 4]))
def test_order_of_scenes_and_detections_changes_nothing(world: PersonSearchDataset, seed: int, levels: int) -> None:
    predictions = _random_predictions(world, seed, 4, levels)
    protocol = world.protocol("gallery-50")
    one = psbench.evaluate(predictions, protocol).per_query
    other = psbench.evaluate(_reordered(predictions, np.random.default_rng(seed)), protocol).per_query
    assert one["ap"].to_numpy() == pytest.approx(other["ap"].to_numpy(), abs=EXACT)
    assert one["rank"].fillna(0).tolist() == other["rank"].fillna(0).tolist()


def test_queries_are_found_by_scene_and_box_in_any_order(
    golden: PersonSearchDataset, golden_arrays: Arrays, golden_predictions: Predictions
) -> None:
    protocol = golden.protocol("gallery-100")
    order = np.random.default_rng(0).permutation(len(protocol.queries))
    keyed = dataclasses.replace(
        golden_predictions,
        query_embeddings=golden_arrays["query_embeddings"][order],
        query_scenes=golden_arrays["query_image_names"][order].tolist(),
        query_boxes=golden_arrays["query_boxes"][order],
    )
    assert psbench.evaluate(keyed, protocol).map == psbench.evaluate(golden_predictions, protocol).map


def test_constant_embeddings_earn_no_rank(world: PersonSearchDataset) -> None:
    """With everything equally similar, a right detection must not come first by luck of the order."""
    predictions = _random_predictions(world, 0, 4, 0)
    assert psbench.evaluate(predictions, world.protocol("gallery-50"), det_threshold=0).top(1) == 0


def test_no_detections_score_zero(golden: PersonSearchDataset) -> None:
    names = golden.split("test").names
    nothing = Predictions.from_arrays(
        names,
        counts=[0] * len(names),
        boxes=np.zeros((0, 4)),
        scores=[],
        embeddings=np.zeros((0, 8)),
        query_embeddings=np.ones((16, 8)),
    )
    result = psbench.evaluate(nothing, golden.protocol("gallery-50"))
    assert (result.map, result.top(10), result.detection.recall, result.detection.ap) == (0, 0, 0, 0)


def test_random_embeddings_keep_the_detections(golden: PersonSearchDataset, golden_predictions: Predictions) -> None:
    protocol = golden.protocol("gallery-100")
    floor = psbench.evaluate(with_random_embeddings(golden_predictions), protocol)
    assert floor.detection == psbench.evaluate(golden_predictions, protocol).detection
    assert floor.map < 0.5


def test_json_has_numbers_at_full_precision(golden: PersonSearchDataset, golden_predictions: Predictions) -> None:
    result = psbench.evaluate(golden_predictions, golden.protocol("gallery-100"))
    written = json.loads(result.to_json())
    assert written["map"] == result.map
    assert written["protocol_digest"] == golden.protocol("gallery-100").digest
    assert written["detection"]["recall"] == result.detection.recall


def test_what_does_not_fit_is_refused_with_everything_listed(
    golden: PersonSearchDataset, world: PersonSearchDataset, golden_predictions: Predictions
) -> None:
    with pytest.raises(InputError) as error:
        psbench.evaluate(golden_predictions, world.protocol("gallery-50"))
    assert "16 query embeddings for 8 queries" in str(error.value)
    some = Predictions.from_arrays(
        ["nobody.jpg", *golden.split("test").names[:50]],
        counts=[0] * 51,
        boxes=np.zeros((0, 4)),
        scores=[],
        embeddings=np.zeros((0, 32)),
        query_embeddings=golden_predictions.query_embeddings,
    )
    with pytest.raises(InputError) as error:
        psbench.evaluate_detection(some, golden.split("test"))
    assert "'nobody.jpg' is not a test scene" in error.value.faults[0]
    assert sum("is missing" in fault for fault in error.value.faults) == 10


def test_predictions_on_other_data_are_refused(golden: PersonSearchDataset, golden_predictions: Predictions) -> None:
    foreign = dataclasses.replace(golden_predictions, dataset="cuhk_sysu", fingerprint="0" * 64)
    with pytest.raises(InputError, match="made on another cuhk_sysu"):
        psbench.evaluate(foreign, golden.protocol("gallery-50"))


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_threshold_outside_its_range_is_refused(
    golden: PersonSearchDataset, golden_predictions: Predictions, threshold: float
) -> None:
    with pytest.raises(InputError, match="det_threshold"):
        psbench.evaluate(golden_predictions, golden.protocol("gallery-50"), det_threshold=threshold)
