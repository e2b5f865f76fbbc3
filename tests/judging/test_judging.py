"""`evaluate` and what it prepares: nothing that is asked for gets lost on the way, and nothing is done twice."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import psbench
from psbench import CBGM, PRESETS, Predictions
from psbench.evaluation.arrays import NumpyArrays, TorchArrays
from psbench.evaluation.judging import MEMORY, prepared, prepared_pairs
from psbench.evaluation.rules import Rules, rules_of
from psbench.evaluation.similarities import Similarities
from psbench_data import Protocol
from psbench_data.galleries import protocol_table
from tests.judging import oracle, worlds
from tests.judging.listings import pairs_of


def _world(seed: int = 0) -> tuple[list[Protocol], Predictions]:
    """Two protocols of the same queries, the second one by rule."""
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    asked = worlds.queries(rng, test)
    table = worlds.by_rule(test, asked, "all")
    ruled = Protocol("ruled", table, test, dataset="world", synthetic=False, version=3)
    protocols = [worlds.protocol(rng, test, asked), ruled]
    return protocols, worlds.predictions(rng, test, protocols[0], worlds.continuous, 8, context=True)


def _watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, int]]:
    """Where, and in how much memory, similarities are computed, each time."""
    seen: list[tuple[Any, int]] = []

    def similarities(predictions: Any, rows: Any, arrays: Any, memory: int, **options: Any) -> Similarities:
        seen.append((type(arrays), memory))
        return Similarities(predictions, rows, arrays, memory, **options)

    monkeypatch.setattr("psbench.evaluation.judging.Similarities", similarities)
    return seen


@pytest.mark.parametrize("preset", PRESETS)
def test_an_evaluation_says_what_it_is_of(preset: str) -> None:
    protocols, predictions = _world()
    rules = PRESETS[preset]
    for options in ({}, {"det_threshold": 0.75, "cbgm": CBGM(3, 2)}):
        for protocol, found in zip(
            protocols, psbench.evaluate_all(predictions, protocols, preset=preset, **options), strict=True
        ):
            assert (found.protocol, found.protocol_version) == (protocol.name, protocol.version)
            assert (found.protocol_digest, found.dataset) == (protocol.digest, "world")
            assert found.synthetic is protocol.synthetic
            assert found.gallery_size == max(protocol.gallery_sizes)
            assert (found.preset, found.keep) == (preset, None)
            threshold = options.get("det_threshold", rules.det_thresholds[protocol.by_rule])
            assert (found.det_threshold, found.cbgm) == (threshold, options.get("cbgm"))
            assert not found.pairwise
            assert len(found.per_query) == len(protocol.queries)
            assert found.detection == psbench.evaluate_detection(predictions, protocol.scenes, preset=preset)
            alone = psbench.evaluate(predictions, protocol, preset=preset, **options)
            assert (alone.det_threshold, alone.cbgm) == (found.det_threshold, found.cbgm)
            assert alone.per_box.equals(found.per_box)


def test_an_evaluation_of_pairs_says_so() -> None:
    protocols, predictions = _world()
    [found] = psbench.evaluate_all(pairs_of(predictions, protocols[1]), protocols[1:], keep=7, preset="pcnet")
    assert (found.protocol, found.preset, found.keep) == ("ruled", "pcnet", 7)
    assert found.det_threshold is found.cbgm is None
    assert found.pairwise


@pytest.mark.parametrize("preset", PRESETS)
def test_similarities_are_computed_once_for_protocols_that_can_share_them(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that ask with a detection ask each protocol's queries anew."""
    protocols, predictions = _world()
    seen = _watched(monkeypatch)
    found = psbench.evaluate_all(predictions, [*protocols, protocols[0]], preset=preset, det_threshold=0.5)
    assert len(seen) == (1 if PRESETS[preset].query == "box" else 3)
    for protocol, result in zip([*protocols, protocols[0]], found, strict=True):
        expected = oracle.search(predictions, protocol, preset, 0.5)
        assert result.per_query["ap"].to_numpy() == pytest.approx([answer.ap for answer in expected], nan_ok=True)


@pytest.mark.parametrize("several", [False, True])
def test_device_and_memory_reach_the_similarities(several: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    protocols, predictions = _world()
    seen = _watched(monkeypatch)
    for options in ({}, {"device": "cpu"}, {"memory": 2**21}):
        if several:
            psbench.evaluate_all(predictions, protocols, **options)
        else:
            psbench.evaluate(predictions, protocols[0], **options)
    assert seen == [(NumpyArrays, MEMORY), (TorchArrays, MEMORY), (NumpyArrays, 2**21)]


def test_only_detections_that_some_query_searches_are_looked_at() -> None:
    protocols, predictions = _world()
    test, few = protocols[0].scenes, [2, 5, 3]
    table = protocol_table([0], test.boxes[:1], [0], [np.array(few)], [np.array([0])], [test.boxes[:1]])
    narrow = Protocol("narrow", table, test, dataset="world", synthetic=False, version=1)
    for asked, needed in (([narrow], few), ([narrow, narrow], few), ([narrow, protocols[1]], range(len(test)))):
        searches, _ = prepared(predictions, asked, Rules(), 0.5)
        expected = [d for s in sorted(needed) for d in range(*predictions.offsets[s : s + 2])]
        for search in searches:
            assert search.gallery.rows.tolist() == [d for d in expected if predictions.scores[d] >= 0.5]


def test_context_matching_sees_detections_in_an_order_of_their_own() -> None:
    """So that the order in which they were given cannot matter; without it, they stand as they were given."""
    protocols, predictions = _world()
    for cbgm in (None, CBGM()):
        searches, _ = prepared(predictions, protocols, rules_of("nae"), 0.0, cbgm=cbgm)
        for search in searches:
            assert search.cbgm is cbgm
            assert search.context is predictions.context
            # A scene that is listed twice is searched once where CBGM revises similarities.
            assert search.rules.repeats == ("each" if cbgm is None else "once")
            keys = list(zip(search.gallery.scenes, -search.gallery.scores, strict=True))
            assert (keys == sorted(keys)) == (cbgm is not None)


@pytest.mark.parametrize("preset", ["alignps", "pstr"])
@pytest.mark.parametrize("seed", range(3))
def test_lengths_of_single_embeddings_are_undone_where_rules_scale_them(preset: str, seed: int) -> None:
    protocols, predictions = _world(seed)
    lengths = np.random.default_rng(seed).uniform(0.1, 10, (len(predictions.scores), 1)).astype(np.float32)
    weighted = dataclasses.replace(predictions, embeddings=predictions.embeddings * lengths)
    for protocol in protocols:
        one, other = (psbench.evaluate(p, protocol, preset=preset) for p in (predictions, weighted))
        assert one.per_query["ap"].to_numpy() == pytest.approx(other.per_query["ap"].to_numpy(), nan_ok=True)


def test_pairs_are_those_of_the_protocols_queries_and_as_few_as_are_kept() -> None:
    protocols, predictions = _world()
    pairs = pairs_of(predictions, protocols[1])
    assert prepared_pairs(pairs, protocols[1], Rules(), None) is pairs
    kept = prepared_pairs(pairs, protocols[1], Rules(), 3)
    of_query = np.repeat(kept.pair_queries, kept.counts)
    found = np.bincount(np.repeat(pairs.pair_queries, pairs.counts), minlength=pairs.num_queries)
    assert np.bincount(of_query, minlength=pairs.num_queries).tolist() == np.minimum(found, 3).tolist()
    assert found.max() > 3
    one, other = psbench.evaluate(kept, protocols[1]), psbench.evaluate(pairs, protocols[1], keep=3)
    assert one.per_box.equals(other.per_box)
    assert not one.per_box.equals(psbench.evaluate(pairs, protocols[1]).per_box)
