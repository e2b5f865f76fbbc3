"""What many tests need: golden data, a small synthetic world, a cache of their own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import psbench
import psbench_data
from psbench_data import PersonSearchDataset
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from psbench_data.synthetic.world import WorldSpec
from tests.browser import CHROMIUM

if TYPE_CHECKING:
    from playwright.sync_api import Browser

GOLDENS = Path(__file__).parent / "goldens"
EVALUATION = GOLDENS / "evaluation"
SMALL_WORLD = WorldSpec(
    train_scenes=12,
    test_scenes=54,
    train_identities=6,
    test_identities=8,
    appearances=(2, 4),
    people=(1, 3),
    image_size=(96, 128),
    places=4,
)

FIRST = (
    "test_reproduction_scripts.py",
    "test_goldens.py",
    "test_prediction_processes.py",
    "test_own_method.py",
    "test_resume.py",
    "test_training_processes.py",
    "test_oim_caffe.py",
    "test_search_processes.py",
    "test_pcnet.py",
)
"""Files that take longest: begun first, so that the processes that share the tests end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of `FIRST` before all others, which stay as they are."""
    order = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def arrays_of(name: str) -> dict[str, np.ndarray]:
    """Detections and embeddings for a golden tree."""
    with np.load(EVALUATION / f"{name}.npz") as arrays:
        return dict(arrays)


def predictions_of(arrays: dict[str, np.ndarray], *, context: bool) -> psbench.Predictions:
    """Golden detections as predictions, with what is around the queries or without."""
    around = {part: arrays[f"query_det_{part}"] for part in ("counts", "boxes", "scores", "embeddings")}
    return psbench.Predictions.from_arrays(
        arrays["image_names"],
        counts=arrays["det_counts"],
        boxes=arrays["det_boxes"],
        scores=arrays["det_scores"],
        embeddings=arrays["det_embeddings"],
        query_embeddings=arrays["query_embeddings"],
        context=around if context else None,
    )


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A Chromium that is there already; without one, or what drives it, a test that asks for it is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="drives the browser: pip install --group test")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PSBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def golden() -> PersonSearchDataset:
    """The golden tree in CUHK-SYSU's format."""
    return psbench_data.load("cuhk_sysu", root=EVALUATION / "cuhk_sysu")


@pytest.fixture(scope="session")
def golden_arrays() -> dict[str, np.ndarray]:
    """Detections and embeddings for the golden tree."""
    return arrays_of("cuhk_sysu")


@pytest.fixture(scope="session")
def golden_expected() -> dict:
    """What the reference evaluators give."""
    return json.loads((EVALUATION / "expected.json").read_text())["cuhk_sysu"]


@pytest.fixture(scope="session")
def golden_predictions(golden_arrays: dict[str, np.ndarray]) -> psbench.Predictions:
    """The golden detections as predictions, with the queries' context."""
    return predictions_of(golden_arrays, context=True)


@pytest.fixture(scope="session")
def world_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic tree in CUHK-SYSU's format, with pictures."""
    root = tmp_path_factory.mktemp("world") / "cuhk_sysu"
    write_cuhk_sysu(SMALL_WORLD, root)
    return root


@pytest.fixture(scope="session")
def world(world_root: Path) -> PersonSearchDataset:
    """The small synthetic tree, loaded."""
    return psbench_data.load("cuhk_sysu", root=world_root)
