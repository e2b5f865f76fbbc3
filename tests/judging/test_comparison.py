"""Comparisons of two evaluations, against all sign flips by hand and what must hold for any two."""

import dataclasses
import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import psbench
from psbench import Evaluation, InputError, Predictions
from psbench.evaluation.baselines import with_random_embeddings
from psbench.evaluation.comparison import compare
from psbench.evaluation.uncertainty import cluster_bootstrap
from psbench_data import PersonSearchDataset


@pytest.fixture(scope="module")
def evaluation(golden: PersonSearchDataset, golden_predictions: Predictions) -> Evaluation:
    return psbench.evaluate(golden_predictions, golden.protocol("gallery-50"))


def _with(evaluation: Evaluation, ap: object, person_ids: object, rank: object = 1.0) -> Evaluation:
    """The evaluation with queries of one's own."""
    frame = pd.DataFrame({"person_id": person_ids, "ap": ap, "rank": rank})
    frame.insert(0, "scene", [f"s{i}.jpg" for i in range(len(frame))])
    return dataclasses.replace(evaluation, per_query=frame)


def _p_of_all_flips(differences: np.ndarray, people: np.ndarray) -> float:
    sums = [differences[people == person].sum() for person in np.unique(people)]
    totals = [abs(np.dot(signs, sums)) for signs in itertools.product([1, -1], repeat=len(sums))]
    return float(np.mean(np.array(totals) >= abs(sum(sums)) - 1e-9))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), people=st.integers(2, 8), levels=st.sampled_from([2, 3, 1000]))
def test_p_value_is_that_of_all_sign_flips_of_few_people(
    evaluation: Evaluation, data: st.DataObject, people: int, levels: int
) -> None:
    """Coarse values make ties, of which none may be lost to rounding."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    person_ids = np.concatenate([np.arange(people), rng.integers(0, people, 10)])
    a, b = rng.integers(0, levels + 1, (2, len(person_ids))) / levels
    result = compare(_with(evaluation, a, person_ids), _with(evaluation, b, person_ids), samples=1000)
    assert result.p_value == pytest.approx(_p_of_all_flips(b - a, person_ids))
    assert result.identities == people


def test_two_people_can_be_exchanged_in_four_ways(evaluation: Evaluation) -> None:
    """Two of them leave the total as far from 0; who does not differ changes nothing."""
    a, b = (_with(evaluation, ap, [1, 2, 3]) for ap in ([0.5, 0.2, 0.4], [0.9, 0.5, 0.4]))
    assert compare(a, b).p_value == 0.5


def test_p_value_of_many_people_is_near_that_of_all_sign_flips(evaluation: Evaluation) -> None:
    rng = np.random.default_rng(3)
    person_ids = np.repeat(np.arange(14), 3)
    a = rng.uniform(size=42)
    b = np.clip(a + rng.normal(0.06, 0.2, 42), 0, 1)
    result = compare(_with(evaluation, a, person_ids), _with(evaluation, b, person_ids), samples=5000)
    expected = _p_of_all_flips(b - a, person_ids)
    assert 0.01 < expected < 0.5
    assert result.p_value == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 5000))


def test_p_values_of_equally_good_methods_are_uniform(evaluation: Evaluation) -> None:
    p_values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        person_ids = rng.integers(0, 25, 60)
        hard = rng.uniform(size=25)[person_ids]
        a, b = np.clip(hard + rng.normal(0, 0.1, (2, 25))[:, person_ids], 0, 1)
        p_values.append(
            compare(_with(evaluation, a, person_ids), _with(evaluation, b, person_ids), samples=100).p_value
        )
    quarters = np.histogram(p_values, bins=[0, 0.25, 0.5, 0.75, 1])[0]
    assert quarters.min() > 30
    assert quarters.max() < 70


def test_a_clear_difference_is_seen(evaluation: Evaluation) -> None:
    rng = np.random.default_rng(0)
    person_ids = np.repeat(np.arange(100), 2)
    a = rng.uniform(0, 0.7, 200)
    result = compare(_with(evaluation, a, person_ids), _with(evaluation, a + 0.1, person_ids), samples=999)
    assert result.p_value == 1 / 1000
    assert (result.low, result.difference, result.high) == pytest.approx((0.1, 0.1, 0.1))
    assert (result.better, result.worse, result.equal) == (200, 0, 0)


def test_the_other_way_round_is_the_mirror_image(evaluation: Evaluation) -> None:
    rng = np.random.default_rng(0)
    person_ids = rng.integers(0, 30, 80)
    a, b = (_with(evaluation, rng.uniform(size=80), person_ids) for _ in range(2))
    one, other = compare(a, b), compare(b, a)
    assert (one.a, one.b, one.better, one.worse) == (other.b, other.a, other.worse, other.better)
    assert one.p_value == pytest.approx(other.p_value, abs=0.03)
    assert (one.low, one.difference, one.high) == pytest.approx((-other.high, -other.difference, -other.low), abs=0.01)


def test_intervals_are_drawn_as_they_are_asked_for(evaluation: Evaluation) -> None:
    people, (a, b) = np.repeat(np.arange(30), 2), np.random.default_rng(0).uniform(size=(2, 60))
    one, other = _with(evaluation, a, people), _with(evaluation, b, people)
    result = compare(one, other, level=0.5, samples=200, seed=3)
    assert (result.low, result.high) == pytest.approx(cluster_bootstrap(b - a, people, level=0.5, samples=200, seed=3))
    plain = compare(one, other)
    assert (plain.metric, plain.level, plain.samples, plain.seed) == ("map", 0.95, 10_000, 0)
    assert (plain.low, plain.high) == pytest.approx(cluster_bootstrap(b - a, people, samples=10_000))


def test_nothing_differs_from_itself(evaluation: Evaluation) -> None:
    result = compare(evaluation, evaluation)
    assert (result.difference, result.low, result.high, result.p_value) == (0, 0, 0, 1)
    assert (result.better, result.worse, result.equal) == (0, 0, 16)


def test_a_last_bit_is_no_difference(evaluation: Evaluation) -> None:
    person_ids = np.arange(20)
    a = np.full(20, 0.1 + 0.2)
    result = compare(_with(evaluation, a, person_ids), _with(evaluation, np.full(20, 0.3), person_ids))
    assert (result.equal, result.p_value) == (20, 1)


def test_one_person_or_none_is_no_evidence(evaluation: Evaluation) -> None:
    one = compare(_with(evaluation, [0.1, 0.2], [7, 7]), _with(evaluation, [0.8, 0.9], [7, 7]))
    assert np.isnan([one.low, one.high]).all()
    assert (one.p_value, one.identities, one.difference) == (1, 1, pytest.approx(0.7))
    none = _with(evaluation, [np.nan, np.nan], [1, 2])
    nothing = compare(none, none)
    assert (nothing.p_value, nothing.queries, nothing.identities) == (1, 0, 0)
    assert json.loads(nothing.to_json())["difference"] is None


def test_queries_are_listed_with_the_largest_loss_first(evaluation: Evaluation) -> None:
    a = _with(evaluation, [0.5, 0.9, np.nan, 0.5, 0.2, 0.9], [3, 1, 5, 3, 2, 4])
    b = _with(evaluation, [0.5, 0.4, np.nan, 0.5, 0.9, 0.1], [3, 1, 5, 3, 2, 4])
    result = compare(a, b)
    expected = pd.DataFrame(
        {
            "query": [5, 1, 0, 3, 4],
            "scene": ["s5.jpg", "s1.jpg", "s0.jpg", "s3.jpg", "s4.jpg"],
            "person_id": [4, 1, 3, 3, 2],
            "a": [0.9, 0.9, 0.5, 0.5, 0.2],
            "b": [0.1, 0.4, 0.5, 0.5, 0.9],
            "difference": [-0.8, -0.5, 0.0, 0.0, 0.7],
        }
    )
    pd.testing.assert_frame_equal(result.per_query, expected)
    assert (result.queries, result.identities, result.better, result.worse, result.equal) == (5, 4, 1, 2, 2)


@pytest.mark.parametrize(("metric", "expected"), [("map", 0.0), ("top1", 0.25), ("top3", -0.25)])
def test_any_metric_is_compared(evaluation: Evaluation, metric: str, expected: float) -> None:
    people = [1, 2, 3, 4]
    a = _with(evaluation, [0.5] * 4, people, [2, 2, 3, np.nan])
    b = _with(evaluation, [0.5] * 4, people, [1, 2, 4, np.nan])
    result = compare(a, b, metric=metric)
    assert (result.metric, result.difference) == (metric, pytest.approx(expected))


def test_real_evaluations_are_compared(
    evaluation: Evaluation, golden: PersonSearchDataset, golden_predictions: Predictions
) -> None:
    """What differs in its settings may be compared; what is measured is told at full precision."""
    protocol = golden.protocol("gallery-50")
    floor = psbench.evaluate(with_random_embeddings(golden_predictions), protocol, det_threshold=0.1)
    result = compare(floor, evaluation)
    assert (result.a, result.b) == (floor.map, evaluation.map)
    assert result.low < result.difference < result.high
    written = json.loads(result.to_json())
    assert (written["difference"], written["protocol_digest"]) == (evaluation.map - floor.map, protocol.digest)
    assert result.to_json() == compare(floor, evaluation).to_json()


def test_different_protocols_are_refused_with_both_named(
    evaluation: Evaluation, golden: PersonSearchDataset, golden_predictions: Predictions
) -> None:
    other = psbench.evaluate(golden_predictions, golden.protocol("gallery-100"))
    with pytest.raises(InputError, match=r"gallery-50, digest .* than b \(cuhk_sysu gallery-100"):
        compare(evaluation, other)
    fewer = dataclasses.replace(other, per_query=other.per_query[:5])
    with pytest.raises(InputError) as error:
        compare(evaluation, fewer)
    one, two = (
        f"cuhk_sysu {name}, digest {golden.protocol(name).digest[:12]}" for name in ("gallery-50", "gallery-100")
    )
    assert error.value.faults == [
        f"a is of another protocol ({one}) than b ({two}). Evaluate both under one protocol.",
        f"a ({one}) has 16 queries, b ({two}) has 5, expected the same.",
    ]
    with pytest.raises(InputError, match="was given Predictions and str, expected two results of evaluate"):
        compare(golden_predictions, "b")  # type: ignore[arg-type]


def test_unknown_settings_are_refused(evaluation: Evaluation) -> None:
    with pytest.raises(InputError, match="no metric is called 'mAP'"):
        compare(evaluation, evaluation, metric="mAP")
    with pytest.raises(InputError, match="level is 95"):
        compare(evaluation, evaluation, level=95)
