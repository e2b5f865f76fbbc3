"""Speed of judging at the official sizes; `make bench`.

Everything is a ratio within one run, in CPU seconds: to the bare matrix product of the same operands, and to the loop
over queries and scenes that the field runs. Drawn data of the official sizes, without pictures.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import psbench
import psbench_data
from psbench import CBGM, Predictions
from psbench_data import PersonSearchDataset, Protocol, Scenes
from psbench_data.synthetic.formats import official_spec, write
from tests.benchmarks.plain_loop import average_precisions

pytestmark = pytest.mark.bench
DIM = 256
SIZES = ("gallery-50", "gallery-100", "gallery-500", "gallery-1000", "gallery-2000", "gallery-4000")


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], PersonSearchDataset]:
    root = tmp_path_factory.mktemp("official")

    def of_name(name: str) -> PersonSearchDataset:
        if not (root / name).exists():
            write(name, official_spec(name), root / name, images=False)
        return psbench_data.load(name, root=root / name)

    return of_name


def made_up(test: Scenes, protocol: Protocol) -> Predictions:
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
    queries = rng.standard_normal((len(protocol.queries), DIM)) + 0.5 * of_person[protocol.queries.person_ids]
    company = rng.standard_normal((len(queries), 5, DIM))
    company[:, 0] = queries
    unit = [a / np.linalg.norm(a, axis=-1, keepdims=True) for a in (embeddings, queries, company)]
    return Predictions.from_arrays(
        test.names,
        counts=counts,
        boxes=boxes,
        scores=np.ones(len(boxes)),
        embeddings=unit[0],
        query_embeddings=unit[1],
        context={
            "counts": np.full(len(queries), 5),
            "boxes": np.tile([0.0, 0, 10, 20], (5 * len(queries), 1)),
            "scores": np.ones(5 * len(queries)),
            "embeddings": unit[2].reshape(-1, DIM),
        },
    )


def cpu_seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """The least of some rounds; the first, in which modules are loaded, is none of them."""
    work()
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def bare_product(predictions: Predictions) -> float:
    def product() -> None:
        for start in range(0, len(predictions.query_embeddings), 1024):
            predictions.query_embeddings[start : start + 1024] @ predictions.embeddings.T

    return cpu_seconds(product)


def resident() -> float:
    """GiB, now."""
    return _status("VmRSS")


def peak_gib(work: Callable[[], object]) -> float:
    """The most that is resident while it runs, operands and all."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    work()
    return _status("VmHWM")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 2**20


def report(title: str, **figures: float) -> None:
    print(f"\n{title}: " + ", ".join(f"{name} {value:.3g}" for name, value in figures.items()), file=sys.stderr)


def test_prw_takes_at_most_five_bare_products(official: Callable[[str], PersonSearchDataset]) -> None:
    dataset = official("prw")
    protocol = dataset.protocol("regular")
    predictions = made_up(protocol.scenes, protocol)
    product = bare_product(predictions)
    plain = cpu_seconds(lambda: psbench.evaluate(predictions, protocol))
    matched = cpu_seconds(lambda: psbench.evaluate(predictions, protocol, cbgm=CBGM(30, 4)))
    chosen = range(0, len(protocol.queries), 100)
    start = time.process_time()
    expected = average_precisions(predictions, protocol, chosen)
    loop = (time.process_time() - start) * len(protocol.queries) / len(chosen)
    found = psbench.evaluate(predictions, protocol).per_query["ap"][list(chosen)]
    assert found.to_numpy() == pytest.approx(expected, abs=2e-4)
    before = resident()
    above = peak_gib(lambda: psbench.evaluate(predictions, protocol, cbgm=CBGM(30, 4))) - before
    figures = {"product": product, "plain": plain, "ratio": plain / product, "cbgm": matched / plain}
    report("PRW", **figures, loop=loop / plain, gib_above=above)
    assert above < 1
    assert plain <= 5 * product
    assert matched <= 3 * plain
    assert loop >= 100 * plain


def test_cuhk_sysu_takes_at_most_eight_bare_products(official: Callable[[str], PersonSearchDataset]) -> None:
    dataset = official("cuhk_sysu")
    protocols = [dataset.protocol(size) for size in SIZES]
    predictions = made_up(protocols[0].scenes, protocols[0])
    product = bare_product(predictions)
    plain = cpu_seconds(lambda: psbench.evaluate_all(predictions, protocols))
    matched = cpu_seconds(lambda: psbench.evaluate_all(predictions, protocols, cbgm=CBGM(10, 3)))
    largest = cpu_seconds(lambda: psbench.evaluate(predictions, protocols[-1]))
    chosen = range(0, len(protocols[-1].queries), 100)
    start = time.process_time()
    average_precisions(predictions, protocols[-1], chosen)
    loop = (time.process_time() - start) * len(protocols[-1].queries) / len(chosen)
    figures = {"product": product, "plain": plain, "ratio": plain / product, "cbgm": matched / plain}
    before = resident()
    above = peak_gib(lambda: psbench.evaluate_all(predictions, protocols, cbgm=CBGM(10, 3))) - before
    report("CUHK-SYSU, six sizes", **figures, loop_at_4000=loop / largest, gib_above=above)
    assert above < 1
    assert plain <= 8 * product
    assert matched <= 3 * plain
    assert loop >= 100 * largest


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
    """Memory is all that the process has resident: operands, tables and what was left of making them up."""
    protocol, predictions = _million(tmp_path, scenes)
    found = []
    start, wall = time.process_time(), time.perf_counter()
    peak = peak_gib(lambda: found.append(psbench.evaluate(predictions, protocol)))
    taken, wall = time.process_time() - start, time.perf_counter() - wall
    report(f"{scenes:,} scenes", cpu=taken, wall=wall, peak_gib=peak, map=found[0].map)
    assert peak < 2
