"""Work is done in blocks that fit into caches and memory: nothing depends on their sizes, however small they are."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import psbench
from psbench import CBGM, PRESETS, Evaluation
from psbench.evaluation.listing import listing_of
from psbench.evaluation.losses import error_analysis
from psbench.evaluation.similarities import Similarities
from psbench.evaluation.spread import spread
from tests.judging import worlds

SIZES = {
    "arrays.NumpyArrays.batch": 70,
    "arrays.TorchArrays.batch": 70,
    "arrays.PAIRS_AT_ONCE": 3,
    "counting._REACHED_AT_ONCE": 5,
    "losses._DETECTIONS_AT_ONCE": 3,
    "matching._AT_ONCE": 11,
    "similarities.PAIRS_AT_ONCE": 3,
    "similarities._QUERIES_AT_ONCE": 2,
    "spread._AT_ONCE": 70,
    "visits._AT_ONCE": 90,
}
MEMORY = 600
"""Bytes: stretches of a few dozen detections, and blocks of a few queries."""


def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in SIZES.items():
        monkeypatch.setattr(f"psbench.evaluation.{name}", size)

    def similarities(predictions: Any, rows: Any, arrays: Any, memory: int, **options: Any) -> Similarities:
        return Similarities(predictions, rows, arrays, MEMORY, **options)

    monkeypatch.setattr("psbench.evaluation.judging.Similarities", similarities)


def _frames(seed: int, device: str | None, options: dict[str, Any]) -> Iterator[pd.DataFrame]:
    """All that is told of a world."""
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng, size=20, people=5, identities=6)
    asked = worlds.queries(rng, test, most=12)
    protocols = [worlds.protocol(rng, test, asked) for _ in range(2)]
    embedder = [worlds.continuous, worlds.duplicated, worlds.coarse][seed % 3]
    predictions = worlds.predictions(rng, test, protocols[0], embedder, 5, far=8, context=True)
    results: list[Evaluation] = psbench.evaluate_all(predictions, protocols, device=device, **options)
    for result in results:
        yield from (result.per_query, result.per_box)
    lost = error_analysis(predictions, protocols[0], device=device, **options)
    yield from (lost.per_query, lost.per_box)
    counted = spread(listing_of(predictions, protocols[0], results[0]), bins=20)
    yield pd.DataFrame({"edge": counted.edges[:-1], "right": counted.right, "wrong": counted.wrong})


@pytest.mark.parametrize(("seed", "device"), [*((seed, None) for seed in range(6)), (6, "cpu")])
def test_sizes_of_blocks_change_nothing(seed: int, device: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    cbgm = [None, CBGM(k1=4, k2=3)][seed % 2]
    options = {"preset": list(PRESETS)[seed % len(PRESETS)], "cbgm": cbgm, "det_threshold": 0.0}
    whole = list(_frames(seed, device, options))
    _small(monkeypatch)
    for one, other in zip(whole, _frames(seed, device, options), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
