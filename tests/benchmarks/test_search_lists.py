"""Speed and memory of search lists, read and written; `make bench`. Compare within one run."""

import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from scipy.io import loadmat, savemat

from psbench_data.sources.search_lists import search_rows
from psbench_data.synthetic.search_list_writer import ListedSearch, write_search_lists

pytestmark = pytest.mark.bench
SCENES = 6978


def _searches(queries: int, gallery: int) -> list[ListedSearch]:
    rng = np.random.default_rng(0)
    searches = []
    for i in range(queries):
        scenes = rng.permutation(SCENES)[: gallery + 1].astype(np.int32)
        boxes = rng.integers(1, [500, 400, 200, 400], (4, 4))
        places = list(zip(scenes[:4].tolist(), boxes, strict=True))
        searches.append(ListedSearch(f"p{i}", places[0], places[1:], scenes[4:]))
    return searches


def _write(path: Path, queries: int, gallery: int) -> None:
    pool = [f"s{number}.jpg" for number in range(1, SCENES + 1)]
    write_search_lists(path, path.stem, pool, _searches(queries, gallery), empty="absent")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "TestG4000.mat"
    _write(path, 200, 4000)
    return path


def _tell(benchmark: BenchmarkFixture, by_scipy: float, capsys: pytest.CaptureFixture[str]) -> None:
    ratio = by_scipy / benchmark.stats["median"]
    benchmark.extra_info["times as fast as scipy"] = round(ratio, 1)
    with capsys.disabled():
        print(f"\n{benchmark.name}: {ratio:.1f} times as fast as scipy")


def test_read(benchmark: BenchmarkFixture, written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = perf_counter()
    loadmat(written)
    by_scipy = perf_counter() - start
    benchmark.pedantic(lambda: sum(1 for _ in search_rows(written, "TestG4000")), rounds=3)
    _tell(benchmark, by_scipy, capsys)


def test_write(benchmark: BenchmarkFixture, written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = {"TestG4000": loadmat(written)["TestG4000"]}
    start = perf_counter()
    savemat(tmp_path / "scipy.mat", content, do_compression=True)
    by_scipy = perf_counter() - start
    pool, searches = [f"s{number}.jpg" for number in range(1, SCENES + 1)], _searches(200, 4000)
    path = tmp_path / "TestG4000.mat"
    benchmark.pedantic(lambda: write_search_lists(path, "TestG4000", pool, searches, empty="absent"), rounds=3)
    _tell(benchmark, by_scipy, capsys)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux")
def test_full_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """2,900 queries with 4,000 entries each, as in CUHK-SYSU: within a minute and 400 MB, each in its own process."""
    path = tmp_path / "TestG4000.mat"
    write = f"from tests.benchmarks.test_search_lists import _write; _write(Path({str(path)!r}), 2900, 4000)"
    read = f"for _ in search_rows(Path({str(path)!r}), 'TestG4000'): pass"
    for name, program in {"write": write, "read": read}.items():
        seconds, megabytes = _measured(program)
        with capsys.disabled():
            print(f"\n{name} 2,900 x 4,000: {seconds:.1f} s, {megabytes:.0f} MB")
        assert seconds < 60
        assert megabytes < 400


def _measured(program: str) -> tuple[float, float]:
    """The seconds that a program takes after its imports, and its peak memory in MB."""
    lines = [
        "import re, time",
        "from pathlib import Path",
        "from psbench_data.sources.search_lists import search_rows",
        "start = time.perf_counter()",
        program,
        "seconds = time.perf_counter() - start",
        "status = Path('/proc/self/status').read_text()",
        "print(seconds, int(re.search(r'VmHWM:\\s*(\\d+)', status)[1]) / 1024)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, capture_output=True, text=True)
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)
