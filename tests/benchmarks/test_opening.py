"""Opening datasets of official size, parsed and from the cache, each in a process of its own; `make bench`.

What is asserted are ratios within one run; the seconds and megabytes are printed for docs/performance.md.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import psbench_data
from psbench_data.synthetic.formats import official_spec, write

pytestmark = pytest.mark.bench
LARGEST = {"cuhk_sysu": "gallery-4000", "prw": "regular", "lsps": "regular", "movienet_cs": "gallery-10000"}
PROGRAM = """
import json, re, sys, time
name, root, protocol = sys.argv[1:]
start = time.perf_counter()
import psbench_data
imported = time.perf_counter()
dataset = psbench_data.load(name, root=root)
task = dataset.protocol(protocol)
opened = time.perf_counter()
people = sum(len(scene.boxes) for split in ("train", "test") for scene in dataset.split(split))
iterated = time.perf_counter()
print(json.dumps({
    "import": imported - start,
    "open": opened - imported,
    "iterate": iterated - opened,
    # Not getrusage, which counts what the process that started this one held, too.
    "megabytes": int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024,
    "scenes": len(dataset.split("train")) + len(dataset.split("test")),
    "boxes": people,
    "queries": len(task.queries),
}))
"""


def _open(name: str, root: Path, cache: Path) -> dict[str, float]:
    command = [sys.executable, "-c", PROGRAM, name, str(root), LARGEST[name]]
    environment = {**os.environ, "PSBENCH_CACHE": str(cache)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=LARGEST)
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    root = tmp_path_factory.mktemp("official") / request.param
    write(request.param, official_spec(request.param), root, images=False)
    return request.param, root


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux")
def test_official_size(tree: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, root = tree
    first = _open(name, root, tmp_path)
    # The first open of files that were written just now does not yet remember their digest.
    _open(name, root, tmp_path)
    warm = [_open(name, root, tmp_path) for _ in range(5)]
    best = {key: min(run[key] for run in warm) for key in first}
    with capsys.disabled():
        print(
            f"\n{name}: {best['scenes']:,.0f} scenes, {best['boxes']:,.0f} boxes, {best['queries']:,.0f} queries; "
            f"first open with {LARGEST[name]} {first['open']:.2f} s and {first['megabytes']:.0f} MB; warm "
            f"{best['open']:.3f} s and {best['megabytes']:.0f} MB ({first['open'] / best['open']:.0f} times as fast); "
            f"import {best['import']:.2f} s; iterating {best['iterate']:.2f} s"
        )
    assert first["megabytes"] < 3000
    assert max(run["megabytes"] for run in warm) < 300
    if name == "cuhk_sysu":
        assert first["open"] > 50 * best["open"]


def test_iterate_scenes(benchmark: BenchmarkFixture, tree: tuple[str, Path]) -> None:
    name, root = tree
    scenes = psbench_data.load(name, root=root).split("train")
    benchmark(lambda: sum(len(scene.boxes) for scene in scenes))


@pytest.mark.parametrize("module", ["numpy", "psbench_data", "psbench"])
def test_import(benchmark: BenchmarkFixture, module: str) -> None:
    benchmark.pedantic(subprocess.run, ([sys.executable, "-c", f"import {module}"],), {"check": True}, rounds=5)
