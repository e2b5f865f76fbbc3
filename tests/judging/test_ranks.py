"""Where right detections stand, counted in tiles, against plain loops over all similarities."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest

from psbench import CBGM, PRESETS, Predictions
from psbench.evaluation.arrays import arrays_on
from psbench.evaluation.cbgm import Revisions
from psbench.evaluation.counting import Counter, Reached, reached
from psbench.evaluation.judging import prepared
from psbench.evaluation.matching import revisions
from psbench.evaluation.ranks import rank, right_detections
from psbench.evaluation.search import Asked, Search
from psbench.evaluation.similarities import Similarities, Tile, Tiles
from psbench_data import Protocol
from tests.judging import worlds
from tests.judging.oracle import dot


class _Rank(NamedTuple):
    """A row of `Ranks`."""

    target: int
    detection: int
    similarity: float
    at_least: int
    right_at_least: int
    again_at_least: int


def _drawn(seed: int, embedder: worlds.Embedder, *, context: bool = False) -> tuple[Predictions, list[Protocol]]:
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    first = worlds.protocol(rng, test)
    asked = worlds.QueryList(first.queries.scenes, first.queries.boxes, first.queries.person_ids)
    predictions = worlds.predictions(rng, test, first, embedder, 16, far=3, context=context)
    return predictions, [first, worlds.protocol(rng, test, asked)]


def _expected(
    search: Search, similarities: Similarities, revised: dict[tuple[int, int], float], only: np.ndarray
) -> Iterator[_Rank]:
    """Sort and count one by one; all but one of the times that a scene is searched are with the plain similarities."""
    gallery, targets = search.gallery, search.targets
    people = similarities.embeddings(np.arange(len(gallery.rows)))
    for q in np.flatnonzero(search.counted).tolist():
        plain = [dot(similarities.queries[search.embedded[q]], one) for one in people]
        values = [revised.get((q, d), plain[d]) for d in range(len(people))]
        times = search.visits.times(np.array([q]))[0]
        items = [
            (value, d)
            for d, scene in enumerate(gallery.scenes)
            for value in [*[values[d]] * min(times[scene], 1), *[plain[d]] * (times[scene] - 1)]
        ]
        near: dict[int, list[int]] = {}
        for target, d in zip(*search.candidates, strict=True):
            if targets.queries[target] == q:
                near.setdefault(int(target), []).append(int(d))
        right = {target: max(found, key=lambda d: (values[d], -d)) for target, found in near.items()}
        for target, d in right.items():
            own = values[d]
            again = [
                plain[r] >= own and search.visits.again(np.array([q]), gallery.scenes[[r]])[0] for r in right.values()
            ]
            yield _Rank(
                target,
                d,
                own,
                sum(value >= own and only[other] for value, other in items),
                sum(values[other] >= own for other in right.values()),
                sum(again),
            )


def _assert_ranked(
    predictions: Predictions, protocols: list[Protocol], preset: str, cbgm: CBGM | None, memory: int, seed: int | None
) -> int:
    rules = PRESETS[preset]
    protocols = protocols[:1] if rules.query == "detection" else protocols
    searches, similarities = prepared(predictions, protocols, rules, 0.2, cbgm=cbgm, memory=memory)
    count = len(searches[0].gallery.rows)
    only = None if seed is None else np.random.default_rng(seed).random(count) < 0.6
    ranked = 0
    for search, ranks in zip(searches, rank(searches, similarities, only=only), strict=True):
        queries = np.flatnonzero(search.embedded >= 0)
        asked = Asked(search, queries, np.arange(len(queries)))
        [matched] = revisions([asked], similarities, Tiles(similarities, asked.embedded))
        pairs = zip(queries[matched.queries].tolist(), matched.detections.tolist(), strict=True)
        revised = dict(zip(pairs, matched.after.tolist(), strict=True))
        everything = np.ones(count, bool) if only is None else only
        expected = sorted(_expected(search, similarities, revised, everything))
        columns = (
            ranks.targets,
            ranks.detections,
            ranks.similarities,
            ranks.at_least,
            ranks.right_at_least,
            ranks.again_at_least,
        )
        found = [_Rank(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
        assert [row._replace(similarity=0) for row in found] == [row._replace(similarity=0) for row in expected]
        assert [row.similarity for row in found] == pytest.approx([row.similarity for row in expected], abs=1e-9)
        assert [column.dtype for column in columns] == [np.float64 if i == 2 else np.int64 for i in range(6)]
        ranked += len(found)
    return ranked


EMBEDDERS = [worlds.continuous, worlds.duplicated, worlds.alike, worlds.coarse]


@pytest.mark.parametrize("preset", ["default", "seqnet", "oim", "pcnet", "alignps"])
@pytest.mark.parametrize("seed", range(4))
def test_right_detections_stand_where_plain_loops_put_them(
    seed: int, preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How float32 rounds a normalised embedding is nobody's rule.
    embedder = worlds.continuous if PRESETS[preset].normalise else EMBEDDERS[seed]
    world = _drawn(seed, embedder)
    ranked = _assert_ranked(*world, preset, None, 2**28, None)
    monkeypatch.setattr("psbench.evaluation.counting._REACHED_AT_ONCE", 5)
    monkeypatch.setattr("psbench.evaluation.arrays.NumpyArrays.batch", 30)
    assert _assert_ranked(*world, preset, None, 1_000, seed) == ranked > 0


@pytest.mark.parametrize("preset", ["default", "seqnet", "oim", "pstr"])
@pytest.mark.parametrize("seed", range(3))
def test_matched_with_their_company_they_stand_where_plain_loops_put_them(seed: int, preset: str) -> None:
    world = _drawn(seed, worlds.continuous, context=True)
    cbgm = CBGM([1, 3, 10][seed], 3)
    assert _assert_ranked(*world, preset, cbgm, 2**28, None) == _assert_ranked(*world, preset, cbgm, 1_000, seed)


def test_right_detections_come_by_rising_similarity() -> None:
    predictions, protocols = _drawn(1, worlds.coarse)
    [search], similarities = prepared(predictions, protocols[:1], PRESETS["default"], 0.2)
    queries = np.flatnonzero(search.counted)[::-1]
    asked = Asked(search, queries, np.arange(len(queries)))
    owner, target, detection, similarity = right_detections(asked, similarities, Revisions.none())
    rows = list(zip(owner.tolist(), similarity.tolist(), strict=True))
    assert rows == sorted(rows)
    assert (search.targets.queries[target] == queries[owner]).all()
    assert similarity.tolist() == [
        dot(predictions.query_embeddings[search.embedded[queries[o]]], one)
        for o, one in zip(owner, similarities.embeddings(detection), strict=True)
    ]


@pytest.mark.parametrize("scale", [1e-20, 1, 1e15])
def test_edges_lie_just_beyond_what_rounding_can_do(scale: float) -> None:
    predictions, protocols = _drawn(0, lambda *drawn: worlds.continuous(*drawn) * scale)
    [search], similarities = prepared(predictions, protocols[:1], PRESETS["default"], 0.2)
    queries = np.flatnonzero(search.counted)
    asked = Asked(search, queries, np.arange(len(queries)))
    owner, _, detection, right = right_detections(asked, similarities, Revisions.none())
    low, high = Counter(asked, similarities, owner, right, detection).edges
    assert (low.dtype, high.dtype) == (np.float32, np.float32)
    margin = similarities.tolerance(queries)[owner]
    for beyond in (right - low - margin, high - right - margin):
        assert (beyond > 0).all()
        assert (beyond < 2 * np.spacing(np.float32(abs(right) + margin))).all()


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize(
    ("batch", "at_once"), [(1, 1), (7, 5), (7, 6), (7, 8), (14, 1), (14, 6), (21, 10**6), (10**6, 3)]
)
def test_detections_that_reach_the_least_similarity_are_gone_through_row_by_row(
    device: str | None, batch: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psbench.evaluation.counting._REACHED_AT_ONCE", at_once)
    arrays = arrays_on(device)
    monkeypatch.setattr(arrays, "batch", batch, raising=False)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4, (9, 7)).astype(np.float32)
    lowest = np.float32([0, 3, np.inf, 1, 2, 5, np.inf, 1, 3])
    found, end = [], 0
    for among in reached(arrays, Tile(slice(100, 107), arrays.put(values)), lowest):
        assert among.rows.start == end < among.rows.stop
        assert len(among.offsets) == among.rows.stop - end + 1
        assert (among.offsets[0], among.offsets[-1]) == (0, len(among.detections))
        # As few steps as hold so many detections.
        last_step = (among.rows.stop - 1) // max(1, batch // 7) * max(1, batch // 7)
        assert among.rows.stop == 9 or len(among.detections) >= at_once
        assert last_step <= end or among.offsets[last_step - end] < at_once
        found += _by_row(among)
        end = among.rows.stop
    assert end == 9
    expected = [(row, 100 + column) for row, column in np.argwhere(values >= lowest[:, None]).tolist()]
    assert [pair[:2] for pair in found] == expected
    assert [value for *_, value in found] == values[values >= lowest[:, None]].tolist()


def _by_row(among: Reached) -> list[tuple[int, int, float]]:
    rows = np.repeat(np.arange(among.rows.start, among.rows.stop), np.diff(among.offsets))
    return list(zip(rows.tolist(), among.detections.tolist(), among.values.tolist(), strict=True))
