"""Speed and memory of search lists, read and written, beside scipy; `make bench`."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from psbench_data.sources.search_lists import search_rows
from psbench_data.synthetic.search_list_writer import ListedSearch, write_search_lists
from tests.benchmarks.calibrated import Kernel, bare_decode

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


def test_read(calibrated: Callable[..., float], written: Path) -> None:
    by_scipy = Kernel("scipy's loadmat", lambda: loadmat(written))
    calibrated(lambda: sum(1 for _ in search_rows(written, "TestG4000")), by_scipy, rounds=3)


def test_write(calibrated: Callable[..., float], tmp_path: Path) -> None:
    pool, searches = [f"s{number}.jpg" for number in range(1, SCENES + 1)], _searches(200, 4000)
    path = tmp_path / "TestG4000.mat"
    calibrated(lambda: write_search_lists(path, "TestG4000", pool, searches, empty="absent"), bare_decode())


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
