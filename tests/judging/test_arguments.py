"""Arguments as users give them: other kinds of numbers, slips that are refused in a sentence, and what can be kept."""

import json
import pickle

import numpy as np
import pytest

import psbench
from psbench import CBGM, PRESETS, InputError, PairwisePredictions, Predictions, audit, compare
from psbench_data import PersonSearchDataset, Protocol
from tests.judging import worlds


def _world(seed: int) -> tuple[Protocol, Predictions]:
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    protocol = worlds.protocol(rng, test)
    return protocol, worlds.predictions(rng, test, protocol, worlds.continuous, 8, context=True)


@pytest.mark.parametrize("threshold", [np.float64(0.7), np.float32(0.5), 0.5, 1])
def test_a_threshold_is_the_same_number_whatever_its_type(
    golden: PersonSearchDataset, golden_predictions: Predictions, threshold: float
) -> None:
    protocol = golden.protocol("gallery-50")
    scores = np.full_like(golden_predictions.scores, threshold)
    even = Predictions.from_arrays(
        golden_predictions.scene_names,
        counts=golden_predictions.counts,
        boxes=golden_predictions.boxes,
        scores=scores,
        embeddings=golden_predictions.embeddings,
        query_embeddings=golden_predictions.query_embeddings,
    )
    found = psbench.evaluate(even, protocol, det_threshold=threshold)
    assert found.map == psbench.evaluate(even, protocol, det_threshold=0.0).map > 0
    assert json.loads(found.to_json())["det_threshold"] == pytest.approx(float(threshold))
    scenes = golden.split("test")
    assert psbench.evaluate_detection(even, scenes, det_threshold=threshold).num_detections == len(scores)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cbgm": (10, 3)}, "expected CBGM(k1, k2)"),
        ({"memory": 1e9}, "memory is 1000000000.0 bytes, expected a whole number"),
        ({"det_threshold": "0.5"}, "det_threshold is '0.5', expected 0 to 1"),
        ({"preset": None}, "no evaluator is called None"),
        ({"preset": ["nae"]}, "no evaluator is called ['nae']"),
        ({"device": "meta"}, "torch cannot compute there"),
        ({"device": 1.5}, "torch cannot compute there"),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused(options: dict, says: str) -> None:
    protocol, predictions = _world(0)
    with pytest.raises(InputError) as error:
        psbench.evaluate(predictions, protocol, **options)
    assert says in str(error.value)


def test_one_protocol_in_place_of_a_list_is_refused() -> None:
    protocol, predictions = _world(0)
    for call in (psbench.evaluate_all, audit):
        with pytest.raises(InputError, match="Give a list of them, or use evaluate"):
            call(predictions, protocol)  # type: ignore[operator]


@pytest.mark.parametrize("numbers", [(2.0, 3), ("10", "3"), (True, 3), (0, 1)])
def test_cbgm_takes_whole_numbers(numbers: tuple) -> None:
    with pytest.raises(InputError, match="expected whole numbers, at least 1 each"):
        CBGM(*numbers)


def test_numpy_numbers_of_cbgm_are_written_as_numbers() -> None:
    protocol, predictions = _world(0)
    found = psbench.evaluate(predictions, protocol, cbgm=CBGM(np.int64(3), np.int32(2)))  # type: ignore[arg-type]
    assert json.loads(found.to_json())["cbgm"] == {"k1": 3, "k2": 2}


def test_other_things_than_predictions_and_results_are_refused(golden: PersonSearchDataset) -> None:
    protocol, predictions = _world(0)
    with pytest.raises(InputError, match="given Predictions and Protocol, expected"):
        psbench.evaluate_detection(predictions, protocol)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="given str and Scenes"):
        psbench.evaluate_detection("folder", golden.split("test"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected two results of evaluate"):
        compare(predictions, predictions)  # type: ignore[arg-type]


def test_metadata_and_names_are_text() -> None:
    with pytest.raises(InputError) as error:
        Predictions.from_arrays(
            ["a.jpg", None, b"c.jpg"],  # type: ignore[list-item]
            counts=[2**62] * 3,
            boxes=np.zeros((0, 4)),
            scores=[],
            embeddings=np.zeros((0, 2)),
            query_embeddings=np.zeros((0, 2)),
            method=None,  # type: ignore[arg-type]
        )
    for words in ("entry 1 is None", "entry 2 is b'c.jpg'", "more rows than there can be", "method is None"):
        assert words in str(error.value)


def test_an_evaluation_can_be_pickled() -> None:
    protocol, predictions = _world(0)
    found = psbench.evaluate(predictions, protocol)
    again = pickle.loads(pickle.dumps(found))
    assert again.to_json() == found.to_json()


def test_queries_that_are_skipped_have_no_top_k() -> None:
    for seed in range(30):
        protocol, predictions = _world(seed)
        found = psbench.evaluate(predictions, protocol)
        if 0 < found.skipped < len(protocol.queries):
            break
    assert found.per_query["top1"].isna().sum() == found.skipped
    assert found.per_query["top1"].mean() == pytest.approx(found.top(1))


def test_a_query_box_at_minus_zero_is_the_one_at_zero() -> None:
    protocol, predictions = _world(0)
    boxes = np.where(protocol.queries.boxes == 0, np.float32(-0.0), protocol.queries.boxes)
    assert predictions.query_boxes is not None
    moved = Predictions.from_arrays(
        predictions.scene_names,
        counts=predictions.counts,
        boxes=predictions.boxes,
        scores=predictions.scores,
        embeddings=predictions.embeddings,
        query_embeddings=predictions.query_embeddings,
        query_scenes=protocol.queries.scene_names,
        query_boxes=boxes,
    )
    assert psbench.evaluate(moved, protocol).map == psbench.evaluate(predictions, protocol).map


@pytest.mark.parametrize("preset", ["alignps", "pstr"])
@pytest.mark.parametrize("scale", [1e-24, 1e19, 1e22])
def test_scaling_to_length_one_holds_for_every_length(preset: str, scale: float) -> None:
    protocol, predictions = _world(3)
    expected = psbench.evaluate(predictions, protocol, preset=preset).map
    scaled = Predictions.from_arrays(
        predictions.scene_names,
        counts=predictions.counts,
        boxes=predictions.boxes,
        scores=predictions.scores,
        embeddings=predictions.embeddings.astype(np.float64) * scale,
        query_embeddings=predictions.query_embeddings,
        query_scenes=predictions.query_scenes,
        query_boxes=predictions.query_boxes,
    )
    assert psbench.evaluate(scaled, protocol, preset=preset).map == pytest.approx(expected, abs=1e-9)


def test_comparison_goes_over_the_queries_that_count_in_both() -> None:
    """AlignPS leaves out queries in whose scene it detects nothing."""
    seen = 0
    for seed in range(40):
        protocol, predictions = _world(seed)
        rng = np.random.default_rng(seed)
        other = worlds.predictions(rng, protocol.scenes, protocol, worlds.continuous, 8)
        a, b = (psbench.evaluate(p, protocol, preset="alignps", det_threshold=0.0) for p in (predictions, other))
        found = compare(a, b, samples=100)
        seen += found.unanswered
        known = (a.per_query["ap"] + b.per_query["ap"]).notna()
        assert found.queries == known.sum()
        if found.queries:
            assert found.difference == pytest.approx((b.per_query["ap"] - a.per_query["ap"])[known].mean())
    assert seen > 0


def test_the_audit_says_what_differs_with_the_options_given() -> None:
    protocol, predictions = _world(0)
    table = audit(predictions, [protocol], det_threshold=0.5, cbgm=CBGM(3, 2)).set_index("preset")
    assert not table["rules"].str.contains("detections from a score").any()
    assert not table["rules"].str.contains("scored twice").any()
    assert "CBGM takes the mean" in table["rules"]["pstr"]
    assert "CBGM" not in " ".join(audit(predictions, [protocol])["rules"])


def test_the_audit_goes_on_without_the_scenes_of_queries(golden: PersonSearchDataset) -> None:
    every = golden.protocol("gallery-50")
    one = Protocol("one query", every.table[:1], every.scenes, dataset=every.dataset, synthetic=True, version=1)
    names = [every.scenes.names[s] for s in one.needed]
    nothing = Predictions.from_arrays(
        names,
        counts=[0] * len(names),
        boxes=np.zeros((0, 4)),
        scores=[],
        embeddings=np.zeros((0, 2)),
        query_embeddings=np.ones((1, 2)),
    )
    table = audit(nothing, [one]).set_index("preset")
    assert table["map"].isna().sum() == 2
    assert table["rules"]["alignps"].startswith("not possible: predictions: scene")
    assert list(table.index) == list(PRESETS)


def test_a_query_asked_twice_keeps_proposals_of_each_gallery() -> None:
    """One predicted query, asked in two galleries: the better proposal of the first is none of the second's."""
    protocol, _ = _world(0)
    scenes = protocol.scenes
    with_person = int(np.flatnonzero(np.diff(scenes.offsets) > 0)[0])
    box = scenes[with_person].boxes[0]
    from psbench_data.galleries import protocol_table

    other = (with_person + 1) % len(scenes)
    asked = Protocol(
        "twice",
        protocol_table(
            [with_person] * 2,
            np.stack([box] * 2),
            [0, 0],
            [np.array([other]), np.array([with_person])],
            [np.array([0]), np.array([0])],
            [box[None], box[None]],
        ),
        scenes,
        dataset="world",
        synthetic=True,
        version=1,
    )
    predictions = PairwisePredictions.from_arrays(
        scenes.names,
        queries=[0, 0],
        scenes=[other, with_person],
        counts=[1, 1],
        boxes=np.stack([box, box]),
        similarities=[0.9, 0.5],
        query_scenes=[scenes.names[with_person]],
        query_boxes=box[None],
    )
    assert psbench.evaluate(predictions, asked, keep=1).per_query["ap"].tolist() == [1, 1]


def test_presets_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        PRESETS["nae"] = PRESETS["oim"]  # type: ignore[index]
