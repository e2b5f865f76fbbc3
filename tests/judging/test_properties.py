"""What must hold for any predictions, on random worlds of some hundred detections, among them the strangest."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import psbench
from psbench import CBGM, PRESETS, Evaluation, Predictions
from psbench.predictions import QueryContext
from psbench_data import Protocol, Scenes
from psbench_data.galleries import by_rule, protocol_table
from tests.judging import oracle, worlds

EXACT = 1e-9
DIMS = [1, 3, 64, 257]
"""257 is no multiple of any block of a matrix product."""
SEEDS = st.integers(0, 2**31)
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""A smaller seed is no simpler."""
EMBEDDERS = st.sampled_from([worlds.continuous, worlds.duplicated, worlds.alike, worlds.coarse])
MATCHING = st.sampled_from([None, CBGM(1, 1), CBGM(10, 3), CBGM(30, 4)])

World = tuple[Scenes, Protocol, Predictions]


def _world(seed: int, embedder: worlds.Embedder, dim: int, context: bool = False, irregular: bool = True) -> World:
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng, size=40, people=6, identities=8)
    asked = worlds.queries(rng, test, most=12)
    protocol = worlds.protocol(rng, test, asked) if irregular else _made(by_rule(test, asked), test)
    return test, protocol, worlds.predictions(rng, test, protocol, embedder, dim, far=12, context=context)


def _made(table: object, test: Scenes) -> Protocol:
    return Protocol("made", table, test, dataset="world", synthetic=True, version=1)  # type: ignore[arg-type]


def _outcome(result: Evaluation) -> list[tuple]:
    """Of each query, to the last bit."""
    table = result.per_query[["matches", "found", "ap", "rank"]].fillna(-1)
    return list(table.itertuples(index=False, name=None))


def _assert_equals_loops(result: Evaluation, expected: list[oracle.Answer]) -> None:
    per_query = result.per_query
    assert per_query["ap"].to_numpy() == pytest.approx([answer.ap for answer in expected], abs=EXACT, nan_ok=True)
    assert per_query["rank"].fillna(np.inf).tolist() == [answer.rank for answer in expected]


def _with_embeddings(p: Predictions, change: Callable[[np.ndarray], np.ndarray]) -> Predictions:
    return dataclasses.replace(
        p,
        embeddings=change(p.embeddings).astype(np.float32),
        query_embeddings=change(p.query_embeddings).astype(np.float32),
    )


def _reordered(p: Predictions, rng: np.random.Generator) -> Predictions:
    """Scenes, the detections in them, and queries in another order."""

    def rows(offsets: np.ndarray, order: np.ndarray, *, mixed: bool) -> np.ndarray:
        stretches = [np.arange(offsets[i], offsets[i + 1]) for i in order]
        return np.concatenate([rng.permutation(stretch) if mixed else stretch for stretch in stretches])

    scenes, queries = rng.permutation(len(p.scene_names)), rng.permutation(len(p.query_embeddings))
    detections = rows(p.offsets, scenes, mixed=True)
    context = p.context
    if context is not None:
        company = rows(context.offsets, queries, mixed=False)
        context = QueryContext(
            offsets=np.cumsum([0, *np.diff(context.offsets)[queries]]),
            boxes=context.boxes[company],
            scores=context.scores[company],
            embeddings=context.embeddings[company],
        )
    return dataclasses.replace(
        p,
        scene_names=[p.scene_names[s] for s in scenes],
        offsets=np.cumsum([0, *p.counts[scenes]]),
        boxes=p.boxes[detections],
        scores=p.scores[detections],
        embeddings=p.embeddings[detections],
        query_embeddings=p.query_embeddings[queries],
        query_scenes=[p.query_scenes[q] for q in queries],
        query_boxes=p.query_boxes[queries],
        context=context,
    )


@settings(max_examples=80, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS, embedder=EMBEDDERS, dim=st.sampled_from(DIMS), cbgm=MATCHING)
def test_order_of_scenes_detections_and_queries_changes_nothing(
    seed: int, embedder: worlds.Embedder, dim: int, cbgm: CBGM | None
) -> None:
    _, protocol, predictions = _world(seed, embedder, dim, context=True)
    options = {"cbgm": cbgm, "det_threshold": 0.0}
    one = psbench.evaluate(predictions, protocol, **options)
    other = psbench.evaluate(_reordered(predictions, np.random.default_rng(seed)), protocol, **options)
    assert _outcome(one) == _outcome(other)


@settings(max_examples=20, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS, embedder=EMBEDDERS, dim=st.sampled_from(DIMS))
def test_among_many_detections_equal_ones_tie_and_unequal_ones_do_not(
    seed: int, embedder: worlds.Embedder, dim: int
) -> None:
    _, protocol, predictions = _world(seed, embedder, dim)
    result = psbench.evaluate(predictions, protocol, det_threshold=0)
    _assert_equals_loops(result, oracle.search(predictions, protocol, det_threshold=0))


@settings(max_examples=20, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS, dim=st.sampled_from(DIMS), device=st.sampled_from([None, "cpu"]))
def test_one_embedding_for_all_earns_what_chance_does(seed: int, dim: int, device: str | None) -> None:
    _, protocol, predictions = _world(seed, worlds.continuous, dim, irregular=False)
    one = np.random.default_rng(seed).standard_normal(dim)
    constant = _with_embeddings(predictions, lambda e: np.tile(one / np.linalg.norm(one), (len(e), 1)))
    result = psbench.evaluate(constant, protocol, det_threshold=0, device=device)
    _assert_equals_loops(result, oracle.search(constant, protocol, det_threshold=0))
    assert result.top(1) == 0


def test_one_number_for_all_earns_what_chance_does() -> None:
    """Sums of equal products round the same way again and again: further off than sums of random ones ever are."""
    for dim in (96, 128, 256, 512):
        _, protocol, predictions = _world(0, worlds.continuous, dim, irregular=False)
        expected = oracle.search(_with_embeddings(predictions, np.ones_like), protocol, det_threshold=0)
        for value in [1 / 16, 0.1, *np.random.default_rng(0).uniform(0.01, 1, 30)]:
            constant = _with_embeddings(predictions, lambda e, value=value: np.full_like(e, value))
            _assert_equals_loops(psbench.evaluate(constant, protocol, det_threshold=0), expected)


def _scaled(predictions: Predictions, length: float) -> Predictions:
    return _with_embeddings(predictions, lambda e: e / np.linalg.norm(e, axis=1, keepdims=True) * length)


@pytest.mark.parametrize("length", [1e18, 1e-15, 1e-30, 0])
@pytest.mark.parametrize("dim", DIMS)
def test_long_and_short_embeddings_are_compared_like_any(length: float, dim: int) -> None:
    _, protocol, predictions = _world(dim, worlds.duplicated, dim)
    predictions = _scaled(predictions, length)
    result = psbench.evaluate(predictions, protocol, det_threshold=0)
    _assert_equals_loops(result, oracle.search(predictions, protocol, det_threshold=0))


@pytest.mark.parametrize(("lengths"), [(1e-21, 1e-21), (1e-22, 1e-22), (1e-30, 1e20)])
def test_similarities_beyond_float32_are_compared_like_any(lengths: tuple[float, float]) -> None:
    _, protocol, predictions = _world(64, worlds.continuous, 64)
    short, long = (_scaled(predictions, length) for length in lengths)
    predictions = dataclasses.replace(short, query_embeddings=long.query_embeddings)
    result = psbench.evaluate(predictions, protocol, det_threshold=0)
    _assert_equals_loops(result, oracle.search(predictions, protocol, det_threshold=0))


def test_no_detections_score_zero() -> None:
    test, protocol, predictions = _world(0, worlds.continuous, 8, context=True)
    nothing = Predictions.from_arrays(
        test.names,
        counts=[0] * len(test),
        boxes=np.zeros((0, 4)),
        scores=[],
        embeddings=np.zeros((0, 8)),
        query_embeddings=predictions.query_embeddings,
    )
    nothing = dataclasses.replace(nothing, context=predictions.context)
    for cbgm in (None, CBGM()):
        result = psbench.evaluate(nothing, protocol, cbgm=cbgm)
        assert result.skipped == len(protocol.unanswerable) < len(protocol.queries)
        assert (result.map, result.top(10), result.detection.recall, result.detection.ap) == (0, 0, 0, 0)


def test_equally_confident_detections_have_one_precision() -> None:
    test, _, predictions = _world(0, worlds.continuous, 1)
    predictions = dataclasses.replace(predictions, scores=np.full_like(predictions.scores, 0.7))
    result = psbench.evaluate_detection(predictions, test)
    precision = result.recall * result.num_people / result.num_detections
    assert result.ap == pytest.approx(precision * result.recall, abs=EXACT)
    assert 0 < result.recall < 1


@settings(max_examples=10, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS, preset=st.sampled_from(list(PRESETS)))
def test_queries_without_a_match_are_counted_as_skipped_and_are_in_no_mean(seed: int, preset: str) -> None:
    test, protocol, predictions = _world(seed, worlds.continuous, 8)
    result = psbench.evaluate(predictions, protocol, preset=preset)
    none = result.per_query["matches"] == 0
    assert result.per_query["ap"][none].isna().all()
    counted = result.per_query.dropna(subset="ap")
    assert result.skipped == len(protocol.queries) - len(counted) >= none.sum()
    if len(counted):
        assert result.map == pytest.approx(counted["ap"].mean())
        assert result.top(5) == pytest.approx((counted["rank"] <= 5).mean())
    asked, lists = protocol.queries, [protocol.listed(q) for q in range(len(protocol.queries))]
    table = protocol_table(
        asked.scenes, asked.boxes, asked.person_ids, lists, [[]] * len(asked), [np.zeros((0, 4))] * len(asked)
    )
    pointless = psbench.evaluate(predictions, _made(table, test))
    assert pointless.skipped == len(asked)
    assert json.loads(pointless.to_json())["map"] is None


@settings(max_examples=10, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS, embedder=EMBEDDERS, cbgm=MATCHING)
def test_a_query_asked_alone_gets_the_same_answer(seed: int, embedder: worlds.Embedder, cbgm: CBGM | None) -> None:
    test, protocol, predictions = _world(seed, embedder, 64, context=True)
    together = _outcome(psbench.evaluate(predictions, protocol, cbgm=cbgm, det_threshold=0))
    for q, expected in enumerate(together):
        alone = psbench.evaluate(predictions, _made(protocol.table.take([q]), test), cbgm=cbgm, det_threshold=0)
        assert _outcome(alone) == [expected]


@settings(max_examples=25, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS, embedder=EMBEDDERS, dim=st.sampled_from(DIMS), cbgm=MATCHING, preset=st.sampled_from(list(PRESETS)))
def test_torch_and_numpy_agree(seed: int, embedder: worlds.Embedder, dim: int, cbgm: CBGM | None, preset: str) -> None:
    _, protocol, predictions = _world(seed, embedder, dim, context=True)
    options = {"cbgm": cbgm, "preset": preset, "det_threshold": 0.0}
    one, other = (psbench.evaluate(predictions, protocol, device=device, **options) for device in (None, "cpu"))
    assert _outcome(one) == _outcome(other)


@settings(max_examples=5, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS, embedder=EMBEDDERS, cbgm=MATCHING, device=st.sampled_from([None, "cpu"]))
def test_little_memory_gives_the_same(
    seed: int, embedder: worlds.Embedder, cbgm: CBGM | None, device: str | None
) -> None:
    """With the least memory allowed, 1,024 dimensions make tiles of 256 detections."""
    _, protocol, predictions = _world(seed, embedder, 1024, context=True)
    options = {"cbgm": cbgm, "device": device, "det_threshold": 0.0}
    one = psbench.evaluate(predictions, protocol, **options)
    other = psbench.evaluate(predictions, protocol, memory=2**20, **options)
    assert _outcome(one) == _outcome(other)


@pytest.mark.parametrize("cbgm", [None, CBGM(10, 3)])
def test_more_queries_than_fit_into_little_memory_give_the_same(cbgm: CBGM | None) -> None:
    """More than 1,024 queries do not fit into a block then; here each is asked many times."""
    test, protocol, predictions = _world(0, worlds.duplicated, 8, context=True, irregular=False)
    rng = np.random.default_rng(0)
    times = 1_500
    again = rng.integers(0, len(protocol.queries), times)
    asked = protocol.queries
    table = by_rule(test, worlds.QueryList(asked.scenes[again], asked.boxes[again], asked.person_ids[again]))
    counts = rng.integers(1, 6, times)
    context = QueryContext(
        offsets=np.cumsum([0, *counts]),
        boxes=np.zeros((counts.sum(), 4), np.float32),
        scores=np.ones(counts.sum(), np.float32),
        embeddings=worlds.continuous(rng, counts.sum(), 8).astype(np.float32),
    )
    many = dataclasses.replace(
        predictions,
        query_embeddings=worlds.duplicated(rng, times, 8).astype(np.float32),
        query_scenes=None,
        query_boxes=None,
        context=context,
    )
    one, other = (
        psbench.evaluate(many, _made(table, test), cbgm=cbgm, det_threshold=0, memory=m) for m in (2**20, 2**28)
    )
    assert _outcome(one) == _outcome(other)


@settings(max_examples=25, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS, embedder=EMBEDDERS, cbgm=MATCHING, preset=st.sampled_from(list(PRESETS)))
def test_protocols_evaluated_together_give_what_each_gives_alone(
    seed: int, embedder: worlds.Embedder, cbgm: CBGM | None, preset: str
) -> None:
    test, first, predictions = _world(seed, embedder, 16, context=True)
    rng = np.random.default_rng(seed)
    fewer = first.table.take([0, 1, 2])
    asked = worlds.QueryList(first.queries.scenes, first.queries.boxes, first.queries.person_ids)
    protocols = [first, _made(fewer, test), worlds.protocol(rng, test, asked), worlds.protocol(rng, test, asked)]
    options = {"cbgm": cbgm, "preset": preset}
    together = psbench.evaluate_all(predictions, protocols, **options)
    alone = [psbench.evaluate(predictions, protocol, **options) for protocol in protocols]
    assert [_outcome(result) for result in together] == [_outcome(result) for result in alone]


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("cbgm", [None, CBGM(10, 3)])
@pytest.mark.parametrize("memory", [2**20, 2**28])
def test_embeddings_on_disk_give_the_same(tmp_path: Path, device: str | None, cbgm: CBGM | None, memory: int) -> None:
    _, protocol, predictions = _world(0, worlds.duplicated, 1024, context=True)
    predictions.embeddings.tofile(tmp_path / "embeddings")
    shape = predictions.embeddings.shape
    on_disk = dataclasses.replace(
        predictions, embeddings=np.memmap(tmp_path / "embeddings", np.float32, mode="r", shape=shape)
    )
    options = {"cbgm": cbgm, "device": device, "memory": memory, "det_threshold": 0.0}
    assert _outcome(psbench.evaluate(on_disk, protocol, **options)) == _outcome(
        psbench.evaluate(predictions, protocol, **options)
    )
