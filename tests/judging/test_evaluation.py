"""`evaluate` on the golden tree: what it returns, and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest

import psbench
from psbench import CBGM, InputError, Predictions
from psbench.evaluation.baselines import with_random_embeddings
from psbench.evaluation.uncertainty import cluster_bootstrap
from psbench_data import PersonSearchDataset, Protocol
from tests.conftest import predictions_of
from tests.judging.listings import pairs_of
from tests.judging.stages import one_query

Arrays = dict[str, np.ndarray]
EXACT = 1e-9


def _detections(arrays: Arrays) -> Predictions:
    return predictions_of(arrays, context=False)


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
    with pytest.raises(InputError, match="given str, expected a Protocol"):
        psbench.evaluate(_detections(golden_arrays), "gallery-50")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no evaluator is called 'seqnets'"):
        psbench.evaluate(_detections(golden_arrays), golden.protocol("gallery-50"), preset="seqnets")


def test_drawn_data_marks_every_evaluation(world: PersonSearchDataset) -> None:
    """Also of predictions that were made elsewhere and say nothing of where."""
    test, protocol = world.split("test"), world.protocol("gallery-50")
    nothing = Predictions.from_arrays(
        test.names,
        counts=[0] * len(test),
        boxes=np.zeros((0, 4)),
        scores=[],
        embeddings=np.zeros((0, 8)),
        query_embeddings=np.ones((len(protocol.queries), 8)),
    )
    result = psbench.evaluate(nothing, protocol)
    assert result.synthetic
    assert json.loads(result.to_json())["synthetic"] is True
    assert repr(result).endswith(f" {len(protocol.queries)} queries, synthetic)")


def test_evaluation_carries_the_detection(
    golden: PersonSearchDataset, golden_predictions: Predictions, golden_expected: dict
) -> None:
    expected = golden_expected["detection"]["thresh=0.01,labeled_only=False"]
    detection = psbench.evaluate(golden_predictions, golden.protocol("gallery-50")).detection
    assert (detection.recall, detection.ap) == pytest.approx((expected["recall"], expected["ap"]), abs=EXACT)


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


def test_intervals_are_those_of_the_people_searched_for(
    golden: PersonSearchDataset, golden_predictions: Predictions
) -> None:
    result = psbench.evaluate(golden_predictions, golden.protocol("gallery-100"))
    people, ap = result.per_query["person_id"], result.per_query["ap"]
    assert result.confidence_interval() == cluster_bootstrap(ap, people, level=0.95, samples=2_000, seed=0)
    asked = {"level": 0.5, "samples": 300, "seed": 3}
    assert result.confidence_interval("map", **asked) == cluster_bootstrap(ap, people, **asked)
    first = np.where(ap.isna(), np.nan, result.per_query["rank"] <= 2)
    assert result.confidence_interval("top2") == cluster_bootstrap(first, people, samples=2_000)


def test_what_does_not_fit_the_protocol_is_refused_with_everything_listed(
    golden: PersonSearchDataset, golden_predictions: Predictions
) -> None:
    protocol = golden.protocol("gallery-100")
    missing = protocol.scenes.names[int(protocol.needed[0])]
    known = golden_predictions.scene_names
    wrong = dataclasses.replace(
        golden_predictions,
        scene_names=["nobody.jpg" if name == missing else name for name in known],
        query_embeddings=golden_predictions.query_embeddings[1:, :-1],
        query_scenes=protocol.queries.scene_names[1:],
        query_boxes=protocol.queries.boxes[1:],
        context=None,
    )
    with pytest.raises(InputError) as error:
        psbench.evaluate(wrong, protocol, cbgm=CBGM())
    says = [
        ["query embeddings have 31 dimensions, those of detections 32", "Take both from the same model"],
        [f"query 0 of gallery-100 (scene {protocol.queries[0].scene!r}", "Predict every query"],
        ["CBGM needs the detections of the queries' scenes", "psbench predict --context"],
        ["scene 'nobody.jpg' is not a test scene of this dataset", "Predict on the dataset that is evaluated"],
        [f"scene {missing!r} is missing", "one without detections has count 0"],
    ]
    assert len(error.value.faults) == len(says)
    for fault, words in zip(error.value.faults, says, strict=True):
        assert all(word in fault for word in words), fault


def test_the_scene_of_a_query_is_needed_where_the_query_is_a_detection(
    golden: PersonSearchDataset, golden_predictions: Predictions
) -> None:
    every = golden.protocol("gallery-50")
    protocol = Protocol("one query", every.table[:1], every.scenes, dataset=every.dataset, synthetic=True, version=1)
    elsewhere = np.setdiff1d(protocol.queries.scenes, protocol.needed)
    assert len(elsewhere) == 1
    kept = np.setdiff1d(np.arange(len(protocol.scenes)), elsewhere)
    rows = np.concatenate([np.arange(*golden_predictions.offsets[i : i + 2]) for i in kept])
    some = dataclasses.replace(
        golden_predictions,
        scene_names=[golden_predictions.scene_names[i] for i in kept],
        offsets=np.concatenate([[0], np.cumsum(golden_predictions.counts[kept])]),
        query_scenes=every.queries.scene_names,
        query_boxes=every.queries.boxes,
        **{name: getattr(golden_predictions, name)[rows] for name in ("boxes", "scores", "embeddings")},
    )
    assert psbench.evaluate(some, protocol).skipped == 0
    with pytest.raises(InputError) as error:
        psbench.evaluate(some, protocol, preset="alignps")
    [fault] = error.value.faults
    assert f"scene {protocol.queries[0].scene!r} is missing" in fault


def test_faults_of_several_protocols_are_listed_once(
    golden: PersonSearchDataset, golden_predictions: Predictions
) -> None:
    protocols = [golden.protocol(name) for name in ("gallery-50", "gallery-100")]
    fewer = dataclasses.replace(golden_predictions, query_embeddings=golden_predictions.query_embeddings[1:])
    with pytest.raises(InputError) as error:
        psbench.evaluate_all(fewer, protocols)
    assert [fault.partition(": ")[2].partition(". ")[0] for fault in error.value.faults] == [
        "15 query embeddings for 16 queries of gallery-50",
        "15 query embeddings for 16 queries of gallery-100",
    ]


def test_arguments_out_of_range_are_refused_together(
    golden: PersonSearchDataset, golden_predictions: Predictions
) -> None:
    with pytest.raises(InputError) as error:
        psbench.evaluate_all(golden_predictions, [], det_threshold=2, keep=0, memory=1000)
    assert len(error.value.faults) == 5
    for words in (
        "no protocol was given",
        "det_threshold is 2",
        "keep: it chooses",
        "keep is 0",
        "memory is 1000 bytes",
    ):
        assert words in str(error.value)


def test_protocols_of_different_datasets_are_refused(
    golden: PersonSearchDataset, world: PersonSearchDataset, golden_predictions: Predictions
) -> None:
    with pytest.raises(InputError, match="Evaluate one dataset at a time"):
        psbench.evaluate_all(golden_predictions, [golden.protocol("gallery-50"), world.protocol("gallery-50")])


def test_scenes_that_are_unknown_or_missing_are_refused_by_the_detection_evaluation(
    golden: PersonSearchDataset, golden_predictions: Predictions
) -> None:
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


def test_pairwise_predictions_have_no_detection() -> None:
    predictions, protocol = one_query([0.25, 0.5], right=1)
    written = json.loads(psbench.evaluate(pairs_of(predictions, protocol), protocol).to_json())
    assert (written["map"], written["det_threshold"], written["detection"]) == (1, None, None)


def test_what_is_printed_is_a_line(golden: PersonSearchDataset, golden_predictions: Predictions) -> None:
    """And not every array."""
    found = psbench.evaluate(golden_predictions, golden.protocol("gallery-50"))
    shown = f"mAP {100 * found.map:.2f}%, top-1 {100 * found.top(1):.2f}%, {len(found.per_query)} queries"
    assert repr(found) == f"Evaluation(gallery-50 of cuhk_sysu: {shown})"
    second = psbench.evaluate(*one_query([0.25, 0.5], right=0))
    assert repr(second) == "Evaluation(stage of stage: mAP 50.00%, top-1 0.00%, 1 queries)"
    counts = len(golden_predictions.scores), len(golden_predictions.scene_names)
    assert repr(golden_predictions).startswith(f"Predictions({counts[0]} detections in {counts[1]} scenes, ")
