"""Similarities in tiles and of single pairs, on every backend, against sums in exact arithmetic."""

import math

import numpy as np
import pytest

from psbench import Predictions
from psbench.evaluation.arrays import arrays_on
from psbench.evaluation.similarities import Similarities, Tiles
from tests.judging import worlds
from tests.judging.oracle import dot

DEVICES = [None, "cpu"]


def _predictions(seed: int, detections: int, queries: int, dim: int) -> Predictions:
    rng = np.random.default_rng(seed)
    return Predictions.from_arrays(
        ["scene"],
        counts=[detections],
        boxes=np.tile([0, 0, 20, 40], (detections, 1)),
        scores=np.ones(detections),
        embeddings=worlds.continuous(rng, detections, dim) * 3,
        query_embeddings=worlds.continuous(rng, queries, dim) * rng.uniform(0.5, 2, (queries, 1)),
    )


def _exact(predictions: Predictions, rows: np.ndarray, *, normalise: bool) -> np.ndarray:
    embeddings = predictions.embeddings[rows]
    if normalise:
        embeddings = (embeddings / np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)).astype(np.float32)
    return np.array([[dot(query, other) for other in embeddings] for query in predictions.query_embeddings])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("memory", [1, 150, 700, 2**20])
@pytest.mark.parametrize("together", [False, True])
def test_tiles_go_through_the_gallery_and_are_as_close_as_they_say(
    device: str | None, normalise: bool, memory: int, together: bool
) -> None:
    predictions = _predictions(0, 40, 9, 5)
    rows = np.arange(3, 34) if together else np.random.default_rng(0).permutation(40)[:31]
    similarities = Similarities(predictions, rows, arrays_on(device), memory, normalise=normalise)
    expected = _exact(predictions, rows, normalise=normalise)
    queries = np.array([7, 0, 3])
    tolerance = similarities.tolerance(queries)
    for _ in range(2):
        end = tiles = 0
        for tile in similarities.tiles(queries):
            assert tile.stretch.start == end
            end = tile.stretch.stop
            tiles += 1
            values = similarities.arrays.get(tile.values)
            assert values.dtype == np.float32
            assert (abs(values - expected[queries, tile.stretch]) <= tolerance[:, None]).all()
        assert (end, tiles) == (len(rows), similarities.num_tiles)
        # Once the whole gallery is there, or not, pairs get the same similarities.
        detections = np.array([30, 0, 4])
        exact = similarities.arrays.get(similarities.exact(queries, detections))
        assert exact.tolist() == pytest.approx(expected[queries, detections], rel=1e-12)
        assert exact.dtype == np.float64


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_any_number_of_pairs_get_the_similarity_that_each_has_alone(device: str | None, count: int) -> None:
    similarities = Similarities(_predictions(1, 30, 4, 64), np.arange(30), arrays_on(device), 2**20)
    queries, detections = np.random.default_rng(count).integers(0, [[4], [30]], (2, count))
    found = similarities.arrays.get(similarities.exact(queries, detections))
    pairs = zip(queries, detections, strict=True)
    alone = [similarities.arrays.get(similarities.exact(*map(np.atleast_1d, pair))).item() for pair in pairs]
    assert found.tolist() == alone
    assert found.dtype == np.float64


@pytest.mark.parametrize(
    ("detections", "queries", "dim", "memory"),
    [
        *((detections, 9, 5, memory) for detections in (1, 40) for memory in (1, 19, 20, 150, 700, 720, 2**20)),
        (40, 2, 12, 100),
        (40, 0, 3, 100),
        (0, 9, 5, 100),
        (5_000, 1_100, 1, 2**20),
    ],
)
def test_tiles_and_stretches_fit_into_the_memory(detections: int, queries: int, dim: int, memory: int) -> None:
    similarities = Similarities(
        _predictions(0, detections, queries, dim), np.arange(detections), arrays_on(None), memory
    )
    stretch, block = similarities.stretch, similarities.block
    assert min(stretch, block) >= 1
    assert stretch == 1 or 4 * stretch * dim <= memory
    assert block == 1 or 4 * stretch * block <= memory
    assert similarities.num_tiles == math.ceil(detections / stretch)
    # As much as fits, for as many queries at once as a block has at most.
    wide = max(dim, min(queries, 1024))
    assert stretch >= max(1, detections) or 4 * (stretch + 1) * wide > memory
    # Blocks of one size, as few as can be.
    most = max(1, memory // (4 * stretch))
    blocks = math.ceil(queries / most)
    assert math.ceil(queries / block) == blocks
    assert block == max(1, math.ceil(queries / max(1, blocks)))


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("dim", [1, 2**17])
def test_tolerance_is_the_bound_for_sums_in_any_order(dim: int, normalise: bool) -> None:
    """That of Higham, gamma = D u / (1 - D u), and a thousandth for the lengths, however long."""
    lengths, longest = [0.5, 2.0, 1e25], 3.0
    predictions = Predictions.from_arrays(
        ["scene"],
        counts=[2],
        boxes=np.tile([0, 0, 20, 40], (2, 1)),
        scores=np.ones(2),
        embeddings=np.outer([longest, 1], np.eye(1, dim)),
        query_embeddings=np.outer(lengths, np.eye(1, dim)),
    )
    similarities = Similarities(predictions, np.arange(2), arrays_on(None), 2**24, normalise=normalise)
    unit = 2.0**-24
    gamma = dim * unit / (1 - dim * unit)
    least = gamma * np.array(lengths) * (1 if normalise else longest)
    tolerance = similarities.tolerance(np.arange(3))
    assert (least < tolerance).all()
    assert (tolerance <= least * 1.0011).all()


def test_products_too_small_for_float32_are_within_the_tolerance() -> None:
    """Below the least normal number, each may be lost, and so may what it is added to."""
    predictions = _predictions(0, 2, 2, 64)
    tiny = 0.99 * 2.0**-75
    predictions.embeddings[:] = predictions.query_embeddings[:] = tiny
    similarities = Similarities(predictions, np.arange(2), arrays_on(None), 2**20)
    [tile] = similarities.tiles(np.arange(2))
    tolerance = similarities.tolerance(np.arange(2))
    assert (abs(64 * tiny**2 - tile.values) <= tolerance).all()
    assert (tolerance >= 64 * 2 * 2.0**-126).all()
    assert (tolerance < 64 * 3 * 2.0**-126).all()


@pytest.mark.parametrize("device", DEVICES)
def test_only_a_gallery_of_one_tile_is_kept(device: str | None) -> None:
    predictions, queries = _predictions(0, 40, 9, 5), np.arange(4)
    for memory, kept in ((2**20, True), (300, False)):
        similarities = Similarities(predictions, np.arange(40), arrays_on(device), memory)
        tiles = Tiles(similarities, queries)
        one, other = list(tiles), list(tiles)
        assert [tile.stretch for tile in one] == [tile.stretch for tile in other]
        assert (one[0] is other[0], len(one) == 1) == (kept, kept)


def test_a_stretch_that_was_multiplied_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[np.ndarray] = []
    monkeypatch.setattr("psbench.evaluation.similarities.hand_back", handed.append)
    predictions = _predictions(0, 40, 9, 5)
    rows = np.array([9, 4, 7, 20, 39, 0, 1, 2])
    spans = {2: [(4, 9), (7, 20), (0, 39), (1, 2)], 4: [(4, 20), (0, 39)], 8: []}
    for memory, stretch in ((100, 2), (150, 4), (2**20, 8)):
        handed.clear()
        similarities = Similarities(predictions, rows, arrays_on(None), memory)
        assert similarities.stretch == stretch
        assert len(list(similarities.tiles(np.arange(2)))) == 8 // stretch
        embeddings = [predictions.embeddings[first : last + 1].tolist() for first, last in spans[stretch]]
        assert [block.tolist() for block in handed] == embeddings
