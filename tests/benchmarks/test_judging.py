"""Speed of judging at the official sizes; `make bench`.

Ratios: to the bare matrix product of the same operands, to the evaluation without CBGM, and to the loop over queries
and scenes that the field runs. Drawn data of the official sizes, without pictures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import psbench
import psbench_data
from psbench import CBGM, Predictions
from psbench_data import Protocol, Scenes
from psbench_data.synthetic.formats import FORMATS
from tests.benchmarks.calibrated import Kernel
from tests.benchmarks.memory import in_new_process, peak_gib, resident
from tests.benchmarks.plain_loop import average_precisions

pytestmark = pytest.mark.bench
DIM = 256
SIZES = ("gallery-50", "gallery-100", "gallery-500", "gallery-1000", "gallery-2000", "gallery-4000")


@dataclass(frozen=True)
class Case:
    """Predictions that are judged, and how many products of its operands an evaluation may take."""

    protocols: Sequence[Protocol]
    predictions: Predictions
    cbgm: CBGM
    products: float

    @property
    def largest(self) -> Protocol:
        return self.protocols[-1]

    def evaluate(self, cbgm: CBGM | None = None) -> None:
        psbench.evaluate_all(self.predictions, self.protocols, cbgm=cbgm)

    def evaluate_largest(self) -> None:
        psbench.evaluate(self.predictions, self.largest)


@pytest.fixture(scope="module", params=["prw", "cuhk_sysu"])
def case(request: pytest.FixtureRequest, official_root: Callable[[str], Path]) -> Case:
    names, cbgm, products = {
        "prw": (("regular",), CBGM(30, 4), 5),
        "cuhk_sysu": (SIZES, CBGM(10, 3), 8),
    }[request.param]
    dataset = psbench_data.load(request.param, root=official_root(request.param))
    protocols = [dataset.protocol(name) for name in names]
    return Case(protocols, made_up(protocols[0].scenes, *protocols), cbgm, products)


def made_up(test: Scenes, *protocols: Protocol) -> Predictions:
    """Every person detected, and as many false alarms as half the scenes; people resemble themselves a little."""
    rng = np.random.default_rng(0)
    of_person = rng.standard_normal((test.num_identities, DIM))
    counts = np.diff(test.offsets) + rng.integers(0, 2, len(test))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    place = np.repeat(offsets[:-1] - test.offsets[:-1], np.diff(test.offsets)) + np.arange(len(test.boxes))
    boxes, embeddings = np.tile([0.0, 0, 10, 20], (offsets[-1], 1)), rng.standard_normal((offsets[-1], DIM))
    boxes[place] = test.boxes
    labelled = test.person_ids >= 0
    embeddings[place[labelled]] += 0.5 * of_person[test.person_ids[labelled]]
    asked = [np.column_stack([p.queries.scenes, p.queries.person_ids, p.queries.boxes]) for p in protocols]
    # In the protocol's order where there is one: what several share is asked once.
    rows, first = np.unique(np.concatenate(asked), axis=0, return_index=True)
    rows = rows[np.argsort(first)]
    scenes, person_ids = rows[:, :2].astype(int).T
    queries = rng.standard_normal((len(rows), DIM)) + 0.5 * of_person[person_ids]
    company = rng.standard_normal((len(queries), 5, DIM))
    company[:, 0] = queries
    unit = [a / np.linalg.norm(a, axis=-1, keepdims=True) for a in (embeddings, queries, company)]
    around = np.tile([0.0, 0, 10, 20], (len(queries), 5, 1))
    around[:, 0] = rows[:, 2:]
    return Predictions.from_arrays(
        test.names,
        counts=counts,
        boxes=boxes,
        scores=np.ones(len(boxes)),
        embeddings=unit[0],
        query_embeddings=unit[1],
        query_scenes=[test.names[scene] for scene in scenes],
        query_boxes=rows[:, 2:],
        context={
            "counts": np.full(len(queries), 5),
            "boxes": around.reshape(-1, 4),
            "scores": np.ones(5 * len(queries)),
            "embeddings": unit[2].reshape(-1, DIM),
        },
    )


def product_of(predictions: Predictions) -> Kernel:
    """All query embeddings by all gallery embeddings, a thousand queries at a time."""

    def product() -> None:
        for start in range(0, len(predictions.query_embeddings), 1024):
            predictions.query_embeddings[start : start + 1024] @ predictions.embeddings.T

    return Kernel("product of its operands", product)


def report(title: str, **figures: float) -> None:
    print(f"\n{title}: " + ", ".join(f"{name} {value:.3g}" for name, value in figures.items()), file=sys.stderr)


def test_evaluation(case: Case, calibrated: Callable[..., float]) -> None:
    """PRW in at most 5 products, the six sizes of CUHK-SYSU together in at most 8."""
    assert calibrated(case.evaluate, product_of(case.predictions)) <= case.products


def test_cbgm(case: Case, calibrated: Callable[..., float]) -> None:
    evaluation = Kernel("evaluation without CBGM", case.evaluate)
    assert calibrated(lambda: case.evaluate(case.cbgm), evaluation) <= 3


def test_evaluation_beside_the_loop(case: Case, calibrated: Callable[..., float]) -> None:
    """A hundred times as fast as the loop, at the largest gallery; which runs for every hundredth query only."""
    queries = len(case.largest.queries)
    chosen = range(0, queries, 100)
    expected: list[float] = []

    def loop() -> None:
        expected[:] = average_precisions(case.predictions, case.largest, chosen)

    ratio = calibrated(case.evaluate_largest, Kernel("loop, every 100th query", loop), rounds=3)
    found = psbench.evaluate(case.predictions, case.largest).per_query["ap"][list(chosen)]
    assert found.to_numpy() == pytest.approx(expected, abs=2e-4)
    assert 100 * ratio <= queries / len(chosen)


def test_memory_above_the_operands_is_bounded(case: Case) -> None:
    before = resident()
    above = peak_gib(lambda: case.evaluate(case.cbgm)) - before
    report(case.largest.dataset, gib_above=above)
    assert above < 1


@pytest.mark.parametrize("name", FORMATS)
def test_every_protocol(name: str, official_root: Callable[[str], Path], calibrated: Callable[..., float]) -> None:
    dataset = psbench_data.load(name, root=official_root(name))
    protocols = [dataset.protocol(protocol) for protocol in dataset.protocols]
    predictions = made_up(protocols[0].scenes, *protocols)
    calibrated(lambda: psbench.evaluate_all(predictions, protocols), product_of(predictions), rounds=3)


def _million(folder: Path, scenes: int) -> tuple[Protocol, Predictions]:
    """A gallery of `scenes`, six detections each, their embeddings in a file; 1,000 queries, three matches each."""
    from psbench_data.galleries import QueryList, by_rule
    from psbench_data.scenes import Scenes, scenes_table

    rng = np.random.default_rng(0)
    names = [f"s{i}.jpg" for i in range(scenes)]
    people = np.full((scenes, 1), -1)
    people[: 4 * 1000, 0] = np.repeat(np.arange(1000), 4)
    boxes = np.tile(np.array([[10, 10, 50, 110]], np.float32), (scenes, 1, 1))
    test = Scenes(scenes_table(names, names, list(boxes), list(people)), folder, [str(i) for i in range(1000)])
    queries = QueryList(np.arange(0, 4000, 4), np.tile([10, 10, 50, 110], (1000, 1)), np.arange(1000))
    protocol = Protocol("regular", by_rule(test, queries), test, dataset="made up", synthetic=True, version=1)
    asked = rng.standard_normal((1000, DIM), dtype=np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    file = folder / f"embeddings-{scenes}.f32"
    with file.open("wb") as stream:
        for start in range(0, 6 * scenes, 24_000):
            block = rng.standard_normal((24_000, DIM), dtype=np.float32)
            block /= np.linalg.norm(block, axis=1, keepdims=True)
            if start == 0:
                # Like its person, and like others: not every query is easy.
                block[::6] = 0.3 * np.repeat(asked, 4, axis=0) + 0.95 * block[::6]
            block.tofile(stream)
    predictions = Predictions.from_arrays(
        names,
        counts=np.full(scenes, 6),
        boxes=np.tile(np.array([[10, 10, 50, 110]] + 5 * [[200, 10, 240, 110]], np.float32), (scenes, 1)),
        scores=np.ones(6 * scenes, np.float32),
        embeddings=np.memmap(file, np.float32, "r", shape=(6 * scenes, DIM)),
        query_embeddings=asked,
    )
    return protocol, predictions


@pytest.mark.parametrize("scenes", [10_000, 100_000, 1_000_000])
def test_cost_grows_with_the_gallery_and_memory_does_not(tmp_path: Path, scenes: int) -> None:
    """Memory is all that a process of its own has resident: operands, tables and what was left of making them up."""
    figures = in_new_process(_evaluated, tmp_path, scenes)
    report(f"{scenes:,} scenes", **figures)
    assert figures["peak_gib"] < 2


def _evaluated(folder: Path, scenes: int) -> dict[str, float]:
    protocol, predictions = _million(folder, scenes)
    found = []
    start, wall = time.process_time(), time.perf_counter()
    peak = peak_gib(lambda: found.append(psbench.evaluate(predictions, protocol)))
    taken, wall = time.process_time() - start, time.perf_counter() - wall
    return {"cpu": taken, "wall": wall, "peak_gib": peak, "map": found[0].map}
