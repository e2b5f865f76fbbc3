"""Confidence intervals of means over queries, against normal theory and what must hold for any input."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from psbench.evaluation.uncertainty import cluster_bootstrap, metric_faults, metric_values
from psbench_data import InputError


def _people(seed: int, people: int = 60, queries: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Values whose mean differs from person to person, and the person of each."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.2, 0.8, (people, 1)) + rng.uniform(-0.2, 0.2, (people, queries))
    return values.ravel(), np.repeat(np.arange(people), queries)


@pytest.mark.parametrize("level", [0.68, 0.95])
def test_equal_numbers_of_queries_come_near_normal_theory(level: float) -> None:
    """With as many queries of each person, the mean is the mean of the people's means."""
    values, people = _people(0, people=300)
    means = values.reshape(300, -1).mean(axis=1)
    expected = stats.norm.interval(level, means.mean(), stats.sem(means, ddof=0))
    width = expected[1] - expected[0]
    assert cluster_bootstrap(values, people, level=level) == pytest.approx(expected, abs=0.04 * width)


def test_unequal_numbers_of_queries_come_near_the_ratio_estimator() -> None:
    """The delta method for a ratio of sums, whose denominator varies also."""
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 12, 400)
    people = np.repeat(np.arange(400), counts)
    values = rng.beta(2, 1, 400)[people]
    mean = values.mean()
    residuals = np.array([(values[people == i] - mean).sum() for i in range(400)])
    expected = stats.norm.interval(0.95, mean, np.sqrt((residuals**2).sum()) / len(values))
    width = expected[1] - expected[0]
    assert cluster_bootstrap(values, people) == pytest.approx(expected, abs=0.04 * width)


def test_two_people_are_drawn_as_often_as_can_be_counted() -> None:
    """Both of one, one of each, both of the other: with probabilities 1/4, 1/2, 1/4."""
    values, people = [0.0, 0.5, 1.0], ["one", "other", "other"]
    assert cluster_bootstrap(values, people, level=0.4) == pytest.approx((0.5, 0.5))
    assert cluster_bootstrap(values, people, level=0.6) == pytest.approx((0.0, 0.75))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), queries=st.integers(1, 5))
def test_the_order_of_queries_changes_nothing(seed: int, queries: int) -> None:
    values, people = _people(seed, 20, queries)
    order = np.random.default_rng(seed).permutation(len(values))
    one = cluster_bootstrap(values, people, samples=200)
    assert one == cluster_bootstrap(values[order], people[order], samples=200)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), times=st.integers(2, 5))
def test_asking_everything_again_says_nothing_new(seed: int, times: int) -> None:
    values, people = _people(seed, 20)
    again = cluster_bootstrap(np.repeat(values, times), np.repeat(people, times), samples=200)
    assert again == pytest.approx(cluster_bootstrap(values, people, samples=200), abs=1e-12)


def test_people_make_the_interval_wider_than_their_queries() -> None:
    values, people = _people(0)
    low, high = cluster_bootstrap(values, people)
    narrow_low, narrow_high = cluster_bootstrap(values, np.arange(len(values)))
    assert high - low > 1.5 * (narrow_high - narrow_low)


def test_the_true_mean_is_inside_as_often_as_the_level_says() -> None:
    inside = []
    for seed in range(300):
        low, high = cluster_bootstrap(*_people(seed), level=0.8, samples=300, seed=seed)
        inside.append(low < 0.5 < high)
    assert np.mean(inside) == pytest.approx(0.8, abs=0.06)


def test_missing_values_are_left_out() -> None:
    values, people = _people(0)
    with_missing = np.append(values, [np.nan, np.nan]), np.append(people, [0, 1000])
    assert cluster_bootstrap(*with_missing) == cluster_bootstrap(values, people)


def test_the_seed_decides() -> None:
    values, people = _people(0)
    assert cluster_bootstrap(values, people, seed=1) == cluster_bootstrap(values, people, seed=1)
    assert cluster_bootstrap(values, people, seed=1) != cluster_bootstrap(values, people, seed=2)
    assert cluster_bootstrap(values, people) == cluster_bootstrap(values, people, level=0.95, samples=10_000, seed=0)


def test_more_draws_leave_less_to_chance() -> None:
    """A bound varies by the root of how often is drawn: here ten times less."""
    few, many = (
        np.std([cluster_bootstrap(*_people(0), samples=samples, seed=seed)[0] for seed in range(20)])
        for samples in (100, 10_000)
    )
    assert 5 < few / many < 20


@pytest.mark.parametrize(("values", "people"), [([], []), ([np.nan, np.nan], [1, 2]), ([0.1, 0.9, np.nan], [1, 1, 2])])
def test_one_person_says_nothing_of_others(values: list[float], people: list[int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(cluster_bootstrap(values, people)).all()


def test_equal_values_leave_no_doubt() -> None:
    assert cluster_bootstrap([0.5] * 6, [1, 1, 2, 2, 3, 3]) == (0.5, 0.5)


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, float("nan")])
def test_settings_out_of_range_are_refused_together(level: float) -> None:
    with pytest.raises(InputError, match="level is") as error:
        cluster_bootstrap([0.1, 0.9], [1, 2], level=level, samples=99)
    assert "samples is 99, expected at least 100" in error.value.faults[1]


def test_values_of_a_metric_leave_out_queries_without_a_match() -> None:
    per_query = pd.DataFrame({"ap": [0.5, 0.0, np.nan, 1.0], "rank": [2.0, np.nan, np.nan, 1.0]})
    expected = {
        "map": [0.5, 0, np.nan, 1],
        "top1": [0, 0, np.nan, 1],
        "top2": [1, 0, np.nan, 1],
        "top1000": [1, 0, np.nan, 1],
    }
    for metric, values in expected.items():
        np.testing.assert_array_equal(metric_values(per_query, metric), values)
        nullable = per_query.convert_dtypes()
        np.testing.assert_array_equal(metric_values(nullable, metric), values)


@pytest.mark.parametrize("metric", ["map", "top1", "top10", "top23"])
def test_the_name_of_a_metric_has_no_fault(metric: str) -> None:
    assert metric_faults(metric) == []


@pytest.mark.parametrize("metric", ["mAP", "top", "top0", "top-1", "top1.5", "rank"])
def test_an_unknown_metric_is_refused_with_those_there_are(metric: str) -> None:
    per_query = pd.DataFrame({"ap": [0.5], "rank": [2.0]})
    with pytest.raises(InputError, match=r"Available: map, top1, top10, top5\."):
        metric_values(per_query, metric)
