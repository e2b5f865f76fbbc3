"""Planning and writing worlds of official size, without pictures; `make bench`. Figures depend on the machine."""

import resource
import sys
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from psbench_data import UNLABELED
from psbench_data.synthetic.formats import FORMATS, default_spec, official_spec, write
from psbench_data.synthetic.spec import WorldSpec
from psbench_data.synthetic.world import World, plan

pytestmark = pytest.mark.bench


@pytest.mark.parametrize("name", FORMATS)
def test_plan(benchmark: BenchmarkFixture, name: str) -> None:
    spec = official_spec(name)
    world: World = benchmark.pedantic(plan, (spec,), rounds=1)
    for split in world.splits:
        people = split.people[split.people != UNLABELED]
        counts = (len(split), len(split.people), len(people), len(np.unique(people)))
        assert counts == tuple(of(split.name) for of in (spec.scenes, spec.boxes, spec.labelled, spec.identities))


@pytest.mark.parametrize("name", FORMATS)
def test_write(benchmark: BenchmarkFixture, name: str, tmp_path: Path) -> None:
    benchmark.pedantic(write, (name, official_spec(name), tmp_path / "tree"), {"images": False}, rounds=1)
    if name == "prw":
        assert (tmp_path / "tree/query_info.txt").read_bytes().count(b"\r\n") == 2057
    # Of this process so far: Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    benchmark.extra_info["peak memory, GiB"] = round(peak, 2)
    assert peak < 3


@pytest.mark.parametrize("size", [(120, 176), (600, 800), (1080, 1920)])
def test_draw_100_scenes(benchmark: BenchmarkFixture, size: tuple[int, int], tmp_path: Path) -> None:
    spec: WorldSpec = default_spec(
        "prw", train_scenes=50, test_scenes=50, train_identities=25, test_identities=10, image_size=size
    )
    folders = (tmp_path / str(i) for i in range(100))
    benchmark.pedantic(lambda: write("prw", spec, next(folders)), rounds=1)
