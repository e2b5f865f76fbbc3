"""Planning, writing and drawing worlds; `make bench`."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from psbench_data import UNLABELED
from psbench_data.synthetic.formats import FORMATS, default_spec, official_spec, write
from psbench_data.synthetic.world import World, plan
from tests.benchmarks.calibrated import bare_decode
from tests.benchmarks.conftest import OfficialData

pytestmark = pytest.mark.bench


@pytest.mark.parametrize("name", FORMATS)
def test_plan(name: str, calibrated: Callable[..., float]) -> None:
    """At official size."""
    spec = official_spec(name)
    worlds: list[World] = []
    calibrated(lambda: worlds.append(plan(spec)), bare_decode(), rounds=3, setup=worlds.clear)
    for split in worlds[0].splits:
        people = split.people[split.people != UNLABELED]
        counts = (len(split), len(split.people), len(people), len(np.unique(people)))
        assert counts == tuple(of(split.name) for of in (spec.scenes, spec.boxes, spec.labelled, spec.identities))


@pytest.mark.parametrize("name", ["prw", "lsps"])
def test_write(name: str, calibrated: Callable[..., float], tmp_path: Path) -> None:
    """At official size, without pictures; the other two formats take too long to be written several times."""
    spec, folders = official_spec(name), (tmp_path / str(i) for i in count())
    calibrated(lambda: write(name, spec, next(folders), images=False), bare_decode(), rounds=3)


@pytest.mark.parametrize("name", FORMATS)
def test_official_size_is_written_in_bounded_memory(name: str, official_root: OfficialData) -> None:
    root = official_root(name)
    if name == "prw":
        assert (root / "query_info.txt").read_bytes().count(b"\r\n") == 2057
    assert official_root.peaks[name] < 3


@pytest.mark.parametrize("size", [(120, 176), (600, 800), (1080, 1920)], ids=lambda size: f"{size[1]}x{size[0]}")
def test_draw_20_scenes(size: tuple[int, int], calibrated: Callable[..., float], tmp_path: Path) -> None:
    spec = default_spec(
        "prw", train_scenes=10, test_scenes=10, train_identities=5, test_identities=4, image_size=size, places=6
    )
    folders = (tmp_path / str(i) for i in count())
    calibrated(lambda: write("prw", spec, next(folders)), bare_decode(), rounds=3)
