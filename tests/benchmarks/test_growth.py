"""Load and growth: `psbench evaluate` from the disk, and ten times as many scenes or entries; `make bench`.

Each size is timed in turns with a tenth of it. Nothing may take more than fifteen times as long for ten times as much:
linear, and a half more for caches that no longer suffice and for what else the machine does.
`python -m tests.benchmarks.growth_figure` draws docs/growth.png.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

import psbench
import psbench_data
from psbench import Predictions
from psbench.inference import predict_into
from psbench.leaderboard.rendering import render
from psbench.zoo import Detections
from tests.benchmarks.calibrated import Kernel, cpu_seconds
from tests.benchmarks.memory import peak_gib, resident
from tests.benchmarks.test_judging import DIM, _million, made_up, product_of
from tests.browser import Visit
from tests.leaderboard.made_up import entry_of, result, write

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.bench
LINEAR = 10 * 1.5
DETECTIONS = 6
OPEN = """
import sys, psbench_data
dataset = psbench_data.load("coco", root=sys.argv[1])
print(len(dataset.split("test")), len(dataset.protocol("regular").queries), len(dataset.protocols))
"""


class Fixed(nn.Module):
    """A model that costs nothing, and finds the same people in every image."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("embeddings", torch.randn(DETECTIONS, DIM, generator=generator))
        self.register_buffer("boxes", torch.tensor([2.0, 2, 20, 40]).repeat(DETECTIONS, 1))
        self.register_buffer("scores", torch.linspace(0.9, 0.5, DETECTIONS))

    def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[Detections]:
        return [
            Detections(
                boxes=torch.cat([known, self.boxes]),
                scores=torch.cat([torch.ones(len(known)), self.scores]),
                embeddings=torch.cat([self.embeddings[: len(known)], self.embeddings]),
            )
            for known in include or [torch.zeros(0, 4)] * len(images)
        ]

    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        return [self.embeddings[: len(of_image)] for of_image in boxes]


def own_data(root: Path, scenes: int) -> Path:
    """One's own data: the same tiny picture under many names, of six cameras, and a person in twenty scenes."""
    root.mkdir()
    Image.new("RGB", (64, 64)).save(root / "one.jpg")
    size = {"width": 64, "height": 64}
    images = [{"id": i, "file_name": "one.jpg", "name": f"s{i}", "camera_id": i % 6, **size} for i in range(scenes)]
    people = [{"id": i, "image_id": i, "bbox": [2, 2, 18, 38], "person_id": i // 20} for i in range(scenes)]
    (root / "test.json").write_text(json.dumps({"images": images, "annotations": people}))
    return root


def board(folder: Path, entries: int) -> Path:
    """A board of many entries."""
    for i, low in enumerate(np.random.default_rng(0).uniform(0.1, 0.9, entries).tolist()):
        results = {"regular": result(low + 0.01, interval=(low, low + 0.02))}
        write(folder, entry_of(f"method {i}", [results], backbone=f"ResNet-{i % 200}"))
    return folder


def test_evaluate_from_the_disk(
    tmp_path: Path, official_root: Callable[[str], Path], calibrated: Callable[..., float], benchmark: BenchmarkFixture
) -> None:
    """PRW's size, four protocols, from the start of the process to the printed table: CPU seconds, all cores."""
    root = official_root("prw")
    dataset = psbench_data.load("prw", root=root)
    protocols = [dataset.protocol(name) for name in dataset.protocols]
    predictions = made_up(protocols[0].scenes, *protocols)
    folder = predictions.save(tmp_path / "predictions")
    command = [sys.executable, "-m", "psbench", "evaluate", str(folder), "--data", "prw", "--root", str(root)]
    printed: list[str] = []

    def evaluating() -> None:
        printed.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    calibrated(evaluating, product_of(predictions), rounds=3)
    assert all(name in printed[-1] for name in dataset.protocols)
    assert benchmark.stats.stats.median < 15


@pytest.mark.parametrize("scenes", [10_000, 100_000])
def test_evaluation(tmp_path: Path, calibrated: Callable[..., float], scenes: int) -> None:
    """1,000 queries in the whole gallery; with a million scenes, too, memory is bounded, see `test_judging`."""
    smaller, larger = (_million(tmp_path, many) for many in (scenes, 10 * scenes))
    tenth = Kernel("a tenth", lambda: psbench.evaluate(smaller[1], smaller[0]))
    assert calibrated(lambda: psbench.evaluate(larger[1], larger[0]), tenth, rounds=1) <= LINEAR
    for file in tmp_path.glob("*.f32"):
        file.unlink()


@pytest.mark.parametrize("scenes", [100, 1_000])
def test_prediction(tmp_path: Path, calibrated: Callable[..., float], scenes: int) -> None:
    """All but the model: decoding a tiny picture, pieces, writing and finishing, with queries and their context."""
    numbers = count()

    def predicting(many: int) -> Callable[[], Path]:
        dataset = psbench_data.load("coco", root=own_data(tmp_path / f"{many}", many))
        options = {"protocols": ["regular"], "context": True, "workers": 0, "progress": False}
        return lambda: predict_into(Fixed(), dataset, tmp_path / f"predictions-{next(numbers)}", **options)

    assert calibrated(predicting(10 * scenes), Kernel("a tenth", predicting(scenes)), rounds=3) <= LINEAR


@pytest.mark.parametrize("scenes", [1_000, 10_000])
def test_loading(tmp_path: Path, calibrated: Callable[..., float], scenes: int) -> None:
    """A predictions folder of six detections a scene."""

    def loading(many: int) -> Callable[[], Predictions]:
        detections = DETECTIONS * many
        embeddings = np.random.default_rng(0).standard_normal((detections, DIM), dtype=np.float32)
        folder = Predictions.from_arrays(
            [f"s{i}" for i in range(many)],
            counts=np.full(many, DETECTIONS),
            boxes=np.tile(np.array([[10, 10, 50, 110]], np.float32), (detections, 1)),
            scores=np.ones(detections, np.float32),
            embeddings=embeddings,
            query_embeddings=embeddings[:1_000],
        ).save(tmp_path / f"{many}")
        return lambda: Predictions.load(folder)

    smaller, larger = loading(scenes), loading(10 * scenes)
    assert calibrated(larger, Kernel("a tenth", smaller), rounds=3) <= LINEAR
    loaded: list[Predictions] = []
    before = resident()
    above = peak_gib(lambda: loaded.append(larger())) - before
    # Not twice what it holds; and a quarter of a GiB for a shard on its way.
    assert above < 1.4 * loaded[0].embeddings.nbytes / 2**30 + 0.25


@pytest.mark.parametrize("scenes", [10_000, 100_000])
def test_opening(
    tmp_path: Path, calibrated: Callable[..., float], monkeypatch: pytest.MonkeyPatch, scenes: int
) -> None:
    """From the cache, with queries, in a process of its own; a million scenes within a second of all that it does."""
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path / "cache"))

    def opening(many: int) -> Callable[[], object]:
        root = own_data(tmp_path / f"{many}", many)
        command = [sys.executable, "-c", OPEN, str(root)]
        # Parsed by the first one; told by its digest from the second one on.
        for _ in range(2):
            subprocess.run(command, check=True, capture_output=True)
        return lambda: subprocess.run(command, check=True, capture_output=True)

    smaller, larger = opening(scenes), opening(10 * scenes)
    assert calibrated(larger, Kernel("a tenth", smaller), rounds=5) <= LINEAR
    before = cpu_seconds()
    larger()
    assert cpu_seconds() - before < 1


@pytest.mark.parametrize("entries", [100, 1_000])
def test_rendering(tmp_path: Path, calibrated: Callable[..., float], entries: int) -> None:
    """README.md and index.html from a board's entries."""
    smaller, larger = (board(tmp_path / f"{many}", many) for many in (entries, 10 * entries))
    assert calibrated(lambda: render(larger), Kernel("a tenth", lambda: render(smaller)), rounds=3) <= LINEAR


def until_painted(page: Page, action: str = "") -> float:
    """Seconds from the beginning of an action to the frame that shows what it did."""
    frame = "await new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
    script = f"async () => {{ const start = performance.now(); {action}; {frame}; return performance.now() - start; }}"
    return page.evaluate(script) / 1000


@pytest.mark.parametrize("entries", [100, 1_000, 10_000])
def test_board_in_a_browser(tmp_path: Path, benchmark: BenchmarkFixture, browser: Browser, entries: int) -> None:
    """Seconds on the clock, the least of three: it opens, is sorted by a number and by names, and is filtered."""
    render(board(tmp_path, entries))
    visit = Visit(browser, viewport={"width": 1400, "height": 900})
    page, address = visit.page, (tmp_path / "index.html").as_uri()
    benchmark.pedantic(lambda: until_painted(visit.open(address)), rounds=3, warmup_rounds=1)

    def column(number: int) -> str:
        return f"document.querySelector('.ranking thead th:nth-child({number}) button').click()"

    def words(typed: str) -> str:
        # The page waits 120 ms for more to be typed.
        event = "box.dispatchEvent(new Event('input', {bubbles: true})); await new Promise(r => setTimeout(r, 130))"
        return f"const box = document.querySelector('#filters [name=words]'); box.value = '{typed}'; {event}"

    actions = {"sort": [column(4)] * 3, "sort by name": [column(2)] * 3, "filter": [words(f"-{i}") for i in range(3)]}
    figures = {name: min(until_painted(page, action) for action in some) for name, some in actions.items()}
    figures["open"] = benchmark.stats.stats.min
    benchmark.extra_info |= figures
    print(f"\n{entries:,} entries: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in figures.items()))
    assert " of " in page.locator("#filters output").inner_text()
    assert not visit.wrong
    assert max(figures.values()) < 2
    visit.context.close()
