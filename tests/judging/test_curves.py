"""Curves and histograms of cases that can be worked out by hand: few people, no detections, similarities at an end."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import psbench
from psbench import CBGM, Predictions
from psbench.evaluation.listing import DetectionListing, Listing, listing_of
from psbench.evaluation.precision_recall import detection_curve, retrieval_curve
from psbench.evaluation.spread import spread
from psbench_data import PersonSearchDataset
from tests.judging.listings import answered, pairs_of
from tests.judging.stages import one_query


def _listing(similarities: np.ndarray, pairwise: bool) -> Listing:
    """Of wrong detections."""
    predictions, protocol = one_query(similarities)
    given = pairs_of(predictions, protocol) if pairwise else predictions
    return listing_of(given, protocol, psbench.evaluate(given, protocol))


def test_curves_of_one_person_reach_one() -> None:
    predictions, protocol = one_query([0.5, 0.25], right=0, own=False)
    found = detection_curve(predictions, protocol.scenes, "default")
    assert (found.thresholds.tolist(), found.recall.tolist(), found.precision.tolist()) == ([1], [1], [0.5])
    curve = retrieval_curve(psbench.evaluate(predictions, protocol))
    assert (curve.edges.tolist(), curve.precision.tolist()) == ([0, 1], [1])


def test_a_curve_that_falls_to_nothing_is_never_below_it() -> None:
    """Numbers that are added and taken away leave a rest, here of -4e-17."""
    evaluation = psbench.evaluate(*one_query([0.5]))
    shares = [1 / 3, 1 / 3, 0.3]
    judged = dataclasses.replace(
        evaluation,
        per_query=pd.DataFrame({"matches": [2, 3, 4], "ap": np.array(shares) / [2, 3, 4]}),
        per_box=pd.DataFrame({"query": range(3), "found": True, "rank": 1.0, "precision": shares}),
    )
    curve = retrieval_curve(judged)
    assert curve.edges.tolist() == [0, 1 / 4, 1 / 3, 1 / 2, 1]
    assert curve.precision == pytest.approx([sum(shares) / 3, 2 / 9, 1 / 9, 0])
    assert curve.precision.min() >= 0


@pytest.mark.parametrize("bins", [1, 2, 60, 64, 2**14])
def test_the_extremes_lie_in_the_first_and_the_last_bin(bins: int) -> None:
    values = np.array([-3, 5], np.float32)
    counted = spread(_listing(values, pairwise=True), bins=bins)
    assert len(counted.wrong) == bins
    assert counted.wrong[[0, -1]].tolist() == ([2, 2] if bins == 1 else [1, 1])
    assert counted.edges[0] == -3
    assert counted.edges[-2] <= 5 < counted.edges[-1]


@pytest.mark.parametrize("pairwise", [False, True])
def test_bins_go_from_the_least_similarity_to_the_largest(pairwise: bool) -> None:
    values = np.linspace(0.5, 1, 5_000, dtype=np.float32)
    counted = spread(_listing(values, pairwise))
    assert 58 <= len(counted.wrong) <= 60
    assert (counted.edges[0], counted.edges[-1]) == pytest.approx((0.5, 1), abs=0.02)
    assert counted.wrong.tolist() == np.histogram(values, counted.edges)[0].tolist()


def test_a_histogram_has_sixty_bins_unless_told_otherwise() -> None:
    counted = spread(_listing(np.linspace(0, 1, 20_000), pairwise=True))
    assert (counted.right.shape, counted.right.dtype, counted.wrong.dtype) == ((60,), np.int64, np.int64)


@pytest.mark.parametrize("stretch", [1, 2, 3, 4, 5])
def test_a_right_detection_is_counted_once_wherever_a_tile_ends(stretch: int) -> None:
    predictions, protocol = one_query(np.arange(5), right=3)
    listing = listing_of(predictions, protocol, psbench.evaluate(predictions, protocol))
    assert isinstance(listing, DetectionListing)
    listing.similarities.stretch = stretch
    counted = spread(listing)
    assert (counted.right.sum(), counted.wrong.sum()) == (1, 4)


@pytest.mark.parametrize("pairwise", [False, True])
def test_nothing_makes_one_empty_bin(pairwise: bool) -> None:
    counted = spread(_listing(np.zeros(0), pairwise))
    assert (counted.right.tolist(), counted.wrong.tolist()) == ([0], [0])
    assert counted.edges[0] < counted.edges[1]


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0])
def test_equal_similarities_lie_in_one_bin_with_a_width(value: float) -> None:
    counted = spread(_listing(np.full(2, value), pairwise=True))
    assert (counted.right.tolist(), counted.wrong.tolist()) == ([0], [2])
    assert counted.edges[0] <= value < counted.edges[1]


@pytest.mark.parametrize("times", [4, -4])
def test_similarities_that_company_moves_beyond_all_others_are_counted(
    times: int, golden: PersonSearchDataset, golden_predictions: Predictions
) -> None:
    protocol, context = golden.protocol("gallery-50"), golden_predictions.context
    assert context is not None
    long = dataclasses.replace(context, embeddings=context.embeddings * times)
    predictions = dataclasses.replace(golden_predictions, context=long)
    listing = listing_of(predictions, protocol, psbench.evaluate(predictions, protocol, cbgm=CBGM(10, 1)))
    hits = [listing.hits(q, 10**6) for q in answered(psbench.evaluate(predictions, protocol))]
    similarities = np.concatenate([found.similarities for found in hits])
    assert np.abs(similarities).max() == np.max(similarities * np.sign(times)) > 2
    counted = spread(listing)
    assert counted.right.sum() == sum(found.right.sum() for found in hits)
    assert counted.wrong.sum() == sum((~found.right).sum() for found in hits)
