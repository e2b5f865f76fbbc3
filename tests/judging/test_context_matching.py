"""What CBGM makes of single similarities, against every assignment tried out, and what is kept of it."""

import dataclasses
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from psbench import CBGM, PRESETS, Predictions
from psbench.evaluation.cbgm import Revisions
from psbench.evaluation.gallery import GalleryDetections
from psbench.evaluation.judging import prepared
from psbench.evaluation.matching import _peaks, revisions
from psbench.evaluation.search import Asked, Search
from psbench.evaluation.similarities import Similarities, Tiles
from psbench_data import InputError, Protocol, Scenes
from psbench_data.galleries import protocol_table
from psbench_data.scenes import scenes_table
from tests.judging import worlds
from tests.judging.oracle import dot

Changes = dict[tuple[int, int], tuple[float, float]]
"""By query and detection, a similarity before and after."""
EXACT = 1e-9


def _drawn(seed: int, embedder: worlds.Embedder, dim: int = 4) -> tuple[Predictions, Protocol]:
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    protocol = worlds.protocol(rng, test)
    return worlds.predictions(rng, test, protocol, embedder, dim, far=3, context=True), protocol


def _changes(revised: Revisions) -> Changes:
    pairs = zip(revised.queries.tolist(), revised.detections.tolist(), strict=True)
    values = zip(revised.before.tolist(), revised.after.tolist(), strict=True)
    return dict(zip(pairs, values, strict=True))


def _most_similar(search: Search, similarities: Similarities, q: int) -> tuple[list[float], list[int]]:
    """A query's similarities to all detections, and the k1 most similar of those that are searched with CBGM."""
    assert search.cbgm is not None
    scenes = search.gallery.scenes
    query = similarities.queries[search.embedded[q]]
    similar = [dot(query, one) for one in similarities.embeddings(np.arange(len(scenes)))]
    searched = search.visits.revised(np.array([q]))[0][scenes]
    best = sorted(np.flatnonzero(searched).tolist(), key=lambda d: (-similar[d], d))
    return similar, best[: search.cbgm.k1]


def _tried_out(search: Search, similarities: Similarities, queries: np.ndarray) -> Changes:
    """Among the scenes of the k1 most similar detections, in each the assignment with the largest sum."""
    assert search.cbgm is not None
    assert search.context is not None
    gallery, context, changes = search.gallery, search.context, Changes()
    people = similarities.embeddings(np.arange(len(gallery.rows)))
    for i, q in enumerate(queries.tolist()):
        row = search.embedded[q]
        similar, best = _most_similar(search, similarities, q)
        company = context.embeddings[context.offsets[row] : context.offsets[row + 1]][: search.cbgm.k2]
        for scene in {int(gallery.scenes[d]) for d in best}:
            there = range(gallery.offsets[scene], gallery.offsets[scene + 1])
            weights = np.array([[dot(one, people[d]) for d in there] for one in company])
            smaller, larger = sorted(weights.shape)
            rows_first = len(company) == smaller
            chosen = max(
                ([*zip(range(smaller), p, strict=True)] for p in permutations(range(larger), smaller)),
                key=lambda pairs: sum(weights[pair if rows_first else pair[::-1]] for pair in pairs),
            )
            pairs = chosen if rows_first else [pair[::-1] for pair in chosen]
            for a, b in pairs:
                largest = max(weights[pair] for pair in pairs)
                after = (largest + similar[there[b]]) / 2 if search.rules.cbgm == "mean" else largest
                if a == 0 and abs(after - similar[there[b]]) > EXACT:
                    changes[i, there[b]] = similar[there[b]], after
    return changes


@pytest.mark.parametrize("preset", ["default", "seqnet", "pcnet", "pstr"])
@pytest.mark.parametrize("seed", range(6))
def test_matched_similarities_are_those_of_every_assignment_tried_out(
    seed: int, preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions, protocol = _drawn(seed, worlds.continuous)
    cbgm = CBGM([1, 3, 30][seed % 3], [1, 3, 4][seed % 3])
    for memory, at_once in ((2**20, 2**19), (400, 7)):
        monkeypatch.setattr("psbench.evaluation.matching._AT_ONCE", at_once)
        [search], similarities = prepared(predictions, [protocol], PRESETS[preset], 0.2, cbgm=cbgm, memory=memory)
        queries = np.flatnonzero(search.embedded >= 0)[seed % 2 :: 2]
        asked = Asked(search, queries, np.arange(len(queries)))
        [revised] = revisions([asked], similarities, Tiles(similarities, asked.embedded))
        assert (np.diff(np.column_stack([revised.queries, revised.detections]) @ [10**6, 1]) > 0).all()
        expected = _tried_out(search, similarities, queries)
        found = {pair: values for pair, values in _changes(revised).items() if abs(values[1] - values[0]) > EXACT}
        assert found.keys() == expected.keys()
        for pair, values in found.items():
            assert values == pytest.approx(expected[pair], abs=EXACT)


def _reordered(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """Whole numbers with the same sum, which float32 rounds in as many ways as there are orders."""
    return rng.permuted(np.tile(rng.integers(2**20, 2**22, dim), (n, 1)), axis=1)


@pytest.mark.parametrize("seed", range(4))
def test_what_a_matrix_product_rounds_away_does_not_decide_who_is_looked_at(seed: int) -> None:
    """Nor does how long the queries of others are."""
    predictions, protocol = _drawn(seed, _reordered, dim=64)
    lengths = np.random.default_rng(seed).permutation(2.0 ** np.arange(-30, 30, 10))[: len(protocol.queries)]
    asked_for = np.repeat(lengths[:, None], 64, axis=1).astype(np.float32)
    predictions = dataclasses.replace(predictions, query_embeddings=asked_for)
    [search], similarities = prepared(predictions, [protocol], PRESETS["default"], 0.2, cbgm=CBGM(3, 1))
    queries, scenes = np.arange(len(lengths)), search.gallery.scenes
    [revised] = revisions([Asked(search, queries, queries)], similarities, Tiles(similarities, queries))
    looked_at = {(q, int(scenes[d])) for q in queries.tolist() for d in _most_similar(search, similarities, q)[1]}
    # No query is among its company: it is matched in every scene.
    assert {(q, int(scenes[d])) for q, d in _changes(revised)} == looked_at


@pytest.mark.parametrize("at_once", [1, 7, 2**19])
@pytest.mark.parametrize("stretch", [slice(0, 30), slice(0, 4), slice(4, 30), slice(11, 12)])
def test_peaks_are_the_largest_similarities_in_each_scene(
    at_once: int, stretch: slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psbench.evaluation.matching._AT_ONCE", at_once)
    counts = np.array([0, 5, 0, 1, 6, 1, 2, 0, 0, 3, 4, 1, 1, 6, 0])
    nothing = np.zeros(0)
    gallery = GalleryDetections(np.cumsum([0, *counts]), nothing, nothing, nothing, nothing)
    values = np.random.default_rng(0).standard_normal((5, stretch.stop - stretch.start)).astype(np.float32)
    found = _peaks(gallery, stretch, values)
    scenes = gallery.scenes[stretch]
    expected = [
        [max(row[scenes == scene], default=-np.inf) for scene in range(scenes[0], scenes[-1] + 1)] for row in values
    ]
    assert (found.tolist(), found.dtype) == (expected, np.float32)


def test_searches_matched_together_get_what_each_gets_alone() -> None:
    predictions, first = _drawn(5, worlds.continuous)
    rng = np.random.default_rng(0)
    others = [worlds.protocol(rng, first.scenes, worlds.QueryList(*_columns(first))) for _ in range(2)]
    searches, similarities = prepared(predictions, [first, *others], PRESETS["default"], 0.2, cbgm=CBGM(3, 3))
    block = np.arange(len(predictions.query_embeddings))
    asked = [Asked(search, block[number:], block[number:]) for number, search in enumerate(searches)]
    tiles = Tiles(similarities, block)
    together = revisions(asked, similarities, tiles)
    alone = [revisions([of], similarities, tiles)[0] for of in asked]
    assert [_changes(revised) for revised in together] == [_changes(revised) for revised in alone]
    assert len({str(_changes(revised)) for revised in alone}) == 3


def _columns(protocol: Protocol) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return protocol.queries.scenes, protocol.queries.boxes, protocol.queries.person_ids


def _stage(
    scenes: list[list[list[float]]], company: list[list[float]], k1: int
) -> tuple[list[tuple[int, float, float]], Search]:
    """What becomes of people with such embeddings, for a query [1, 0] with such company."""
    names, person = [f"{i}.jpg" for i in range(len(scenes))], np.array([[0, 0, 20, 40]])
    test = Scenes(scenes_table(names, names, [person] * len(names), [np.array([0])] * len(names)), Path(), ["p"])
    table = protocol_table([0], person, [0], [np.arange(len(names))], [np.array([0])], [person])
    counts = [len(people) for people in scenes]
    predictions = Predictions.from_arrays(
        names,
        counts=counts,
        # Of equal scores, the boxes decide on the order.
        boxes=np.array([[i, 0, i + 20, 40] for count in counts for i in range(count)]),
        scores=np.ones(sum(counts)),
        embeddings=[one for people in scenes for one in people],
        query_embeddings=[[1.0, 0.0]],
        context={
            "counts": [len(company)],
            "boxes": np.tile(person, (len(company), 1)),
            "scores": np.ones(len(company)),
            "embeddings": company,
        },
    )
    protocol = Protocol("stage", table, test, dataset="stage", synthetic=True, version=1)
    [search], similarities = prepared(predictions, [protocol], PRESETS["default"], 0.5, cbgm=CBGM(k1, len(company)))
    asked = Asked(search, np.array([0]), np.array([0]))
    [revised] = revisions([asked], similarities, Tiles(similarities, np.array([0])))
    return [(d, *values) for (_, d), values in _changes(revised).items()], search


def test_the_query_alone_changes_nothing() -> None:
    changed, _ = _stage([[[1, 0]], [[0.5, 0], [0.25, 1]], []], [[1, 0]], 3)
    assert changed == []


def test_a_query_detected_anew_is_matched_with_who_is_most_similar_to_that() -> None:
    changed, _ = _stage([[[1, 0]], [[0.5, 0], [0.25, 1]], []], [[0, 1]], 3)
    assert changed == [(0, 1, 0), (2, 0.25, 1)]


def test_company_lifts_whom_the_query_is_matched_with() -> None:
    # The neighbour is [0, 2]: with the second person, the query left with the first, the sum is 0.5 + 4.
    changed, _ = _stage([[[0.5, 0], [0.75, 2]], [[0.25, 3]]], [[1, 0], [0, 2]], 3)
    assert changed == [(0, 0.5, 4)]


def test_between_equals_at_the_cut_the_first_scenes_are_looked_at() -> None:
    scenes = [[[0.25, 1]], [[0.5, 1]], [[0.25, 1], [0.25, 2]], [[0.25, 1]]]
    for k1, expected in ((1, [1]), (2, [0, 1]), (3, [0, 1, 3]), (4, [0, 1, 3]), (5, [0, 1, 3, 4])):
        changed, search = _stage(scenes, [[0, 1]], k1)
        assert [d for d, _, _ in changed] == expected
        assert search.gallery.scenes.tolist() == [0, 1, 2, 2, 3]


def test_without_matching_and_without_queries_nothing_is_revised() -> None:
    predictions, protocol = _drawn(0, worlds.continuous)
    [search], similarities = prepared(predictions, [protocol], PRESETS["default"], 0.2)
    rows = np.arange(2)
    tiles = Tiles(similarities, rows)
    assert revisions([], similarities, tiles) == []
    for revised in revisions([Asked(search, rows, rows)] * 2, similarities, tiles):
        columns = revised.queries, revised.detections, revised.before, revised.after
        assert [column.dtype for column in columns] == [np.int64, np.int64, np.float64, np.float64]
        assert [len(column) for column in columns] == [0] * 4


@pytest.mark.parametrize("count", [0, 1, 2, 12])
def test_revisions_are_looked_up_by_pair(count: int) -> None:
    rng = np.random.default_rng(count)
    pairs = sorted({(int(q), int(d)) for q, d in rng.integers(0, [4, 9], (count, 2))})
    before, after = rng.random((2, len(pairs)))
    known = np.array(pairs, np.int64).reshape(-1, 2)
    revised = Revisions(known[:, 0], known[:, 1], before, after)
    every = np.array([(q, d) for q in range(5) for d in range(20)])
    for asked in (every, every[::-1], every[:3], every[:0], known[:1], known):
        similarities = rng.random(len(asked))
        place = [pairs.index(pair) if pair in pairs else None for pair in map(tuple, asked.tolist())]
        for values, found in (
            (after, revised.applied(asked[:, 0], asked[:, 1], similarities)),
            (before, revised.plain(asked[:, 0], asked[:, 1], similarities)),
        ):
            plain = zip(place, similarities, strict=True)
            assert found.tolist() == [similarity if i is None else values[i] for i, similarity in plain]
        changed = revised.changed(asked[:, 0], asked[:, 1])
        assert (changed.tolist(), changed.dtype) == ([i is not None for i in place], bool)


@pytest.mark.parametrize("k", [0, -1, 1.5, "1", None])
@pytest.mark.parametrize("name", ["k1", "k2"])
def test_matching_needs_whole_numbers(name: str, k: Any) -> None:
    with pytest.raises(InputError, match=rf"CBGM\(.*{name}={k!r}.*\): expected whole numbers, at least 1 each\."):
        CBGM(**{name: k})


def test_numbers_of_matching_are_kept_as_pythons() -> None:
    cbgm = CBGM(np.int64(7), np.int32(1))
    assert (cbgm, type(cbgm.k1), type(cbgm.k2)) == (CBGM(7, 1), int, int)
    assert (CBGM().k1, CBGM().k2) == (10, 3)
