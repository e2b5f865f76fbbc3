"""What several benchmarks need: the ratio to a kernel, and datasets of official size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from psbench_data.synthetic.formats import official_spec, write
from tests.benchmarks.calibrated import calibrate, cpu_seconds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """CPU seconds for what is calibrated; pytest-benchmark reads its timer from a mark."""
    for item in items:
        if "calibrated" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.benchmark(timer=cpu_seconds))


@pytest.fixture
def calibrated(benchmark: BenchmarkFixture) -> Callable[..., float]:
    """`calibrate` of this test's benchmark, once."""
    return partial(calibrate, benchmark)


@pytest.fixture(scope="session")
def official_root(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a dataset of official size, without pictures, when it is first asked for."""
    folder = tmp_path_factory.mktemp("official")

    def root(name: str) -> Path:
        if not (folder / name).exists():
            write(name, official_spec(name), folder / name, images=False)
        return folder / name

    return root
