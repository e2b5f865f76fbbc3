"""What several benchmarks need: the ratio to a kernel, and datasets of official size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from psbench_data.synthetic.formats import official_spec, write
from tests.benchmarks.calibrated import calibrate, cpu_seconds
from tests.benchmarks.memory import in_new_process, peak_gib


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """CPU seconds for what is calibrated; pytest-benchmark reads its timer from a mark."""
    for item in items:
        if "calibrated" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.benchmark(timer=cpu_seconds))


@pytest.fixture
def calibrated(benchmark: BenchmarkFixture) -> Callable[..., float]:
    """`calibrate` of this test's benchmark, once."""
    return partial(calibrate, benchmark)


class OfficialData:
    """Datasets of official size, without pictures, each written when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.peaks: dict[str, float] = {}

    def __call__(self, name: str) -> Path:
        """The dataset's top folder; `peaks[name]` is the most GiB that writing it had resident."""
        if name not in self.peaks:
            self.peaks[name] = in_new_process(_write, name, self.folder / name)
        return self.folder / name


@pytest.fixture(scope="session")
def official_root(tmp_path_factory: pytest.TempPathFactory) -> OfficialData:
    return OfficialData(tmp_path_factory.mktemp("official"))


def _write(name: str, folder: Path) -> float:
    return peak_gib(lambda: write(name, official_spec(name), folder, images=False))
