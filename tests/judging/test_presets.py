"""The rules of every published evaluator, against plain loops, on small random worlds with every irregularity."""

import numpy as np
import pytest
from hypothesis import Phase, assume, example, given, settings
from hypothesis import strategies as st

import psbench
from psbench import CBGM, PRESETS, Evaluation
from tests.judging import oracle, worlds

EXACT = 1e-9
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""A smaller seed is no simpler."""
THRESHOLDS = [None, 0.0, 0.15, 0.2, 0.25, 0.3, 0.5, 0.75, 1.0]


def assert_equals(result: Evaluation, expected: list[oracle.Answer]) -> None:
    per_query = result.per_query
    assert per_query["ap"].to_numpy() == pytest.approx([answer.ap for answer in expected], abs=EXACT, nan_ok=True)
    assert per_query["rank"].fillna(np.inf).tolist() == [answer.rank for answer in expected]
    assert per_query["matches"].tolist() == [answer.matches for answer in expected]
    assert per_query["found"].tolist() == [answer.found for answer in expected]
    assert result.skipped == sum(np.isnan(answer.ap) for answer in expected)


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=40, deadline=None, phases=NO_SHRINKING)
@given(
    seed=st.integers(0, 2**31),
    embedder=st.sampled_from([worlds.coarse, worlds.continuous, worlds.duplicated, worlds.alike]),
    dim=st.sampled_from([1, 2, 16]),
    det_threshold=st.sampled_from(THRESHOLDS),
)
def test_search_by_each_evaluators_rules_equals_plain_loops(
    preset: str, seed: int, embedder: worlds.Embedder, dim: int, det_threshold: float | None
) -> None:
    # How float32 rounds a normalised embedding is nobody's rule.
    assume(embedder is not worlds.alike or not PRESETS[preset].normalise)
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    protocol = worlds.protocol(rng, test)
    predictions = worlds.predictions(rng, test, protocol, embedder, dim)
    result = psbench.evaluate(predictions, protocol, preset=preset, det_threshold=det_threshold)
    assert_equals(result, oracle.search(predictions, protocol, preset, det_threshold))


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=40, deadline=None, phases=NO_SHRINKING)
@given(
    seed=st.integers(0, 2**31),
    dim=st.sampled_from([2, 16]),
    det_threshold=st.sampled_from(THRESHOLDS),
    cbgm=st.builds(CBGM, k1=st.sampled_from([1, 3, 10, 30]), k2=st.integers(1, 4)),
)
@example(seed=0, dim=2, det_threshold=0.0, cbgm=CBGM(10, 2))
def test_context_matching_by_each_evaluators_rules_equals_plain_loops(
    preset: str, seed: int, dim: int, det_threshold: float | None, cbgm: CBGM
) -> None:
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    protocol = worlds.protocol(rng, test)
    predictions = worlds.predictions(rng, test, protocol, worlds.continuous, dim, context=True)
    result = psbench.evaluate(predictions, protocol, preset=preset, det_threshold=det_threshold, cbgm=cbgm)
    assert_equals(result, oracle.search(predictions, protocol, preset, det_threshold, cbgm))


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=20, deadline=None, phases=NO_SHRINKING)
@given(seed=st.integers(0, 2**31), labeled_only=st.booleans(), det_threshold=st.sampled_from([None, 0.0, 0.5]))
def test_detection_by_each_evaluators_rules_equals_plain_loops(
    preset: str, seed: int, labeled_only: bool, det_threshold: float | None
) -> None:
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    predictions = worlds.predictions(rng, test, worlds.protocol(rng, test), worlds.coarse, 1)
    options = {"preset": preset, "det_threshold": det_threshold, "labeled_only": labeled_only}
    result = psbench.evaluate_detection(predictions, test, **options)
    assert (result.recall, result.ap) == pytest.approx(oracle.detection(predictions, test, **options), abs=EXACT)
