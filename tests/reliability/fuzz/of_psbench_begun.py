"""Work that was interrupted and is continued: predictions, searches, indexes of one's own pictures."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from random import Random
from unittest.mock import patch

from PIL import Image

from psbench.folders import load_predictions
from psbench.inference import predict_into, search_into
from psbench.inference.gallery import index_pictures
from psbench_data import PersonSearchDataset
from tests.models.guided import Guided
from tests.models.looks import Looks
from tests.reliability.fuzz.grammar import bytes_changed
from tests.reliability.fuzz.grammar_tables import parquet_changed
from tests.reliability.fuzz.of_psbench_predictions import told_like_commands
from tests.reliability.fuzz.target import Target
from tests.tiny_plans import FEW, drawn

Work = Callable[[Path], object]


@cache
def _dataset() -> PersonSearchDataset:
    """A few drawn scenes with pictures; this process's own."""
    folder = tempfile.mkdtemp(prefix="psbench-fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return drawn(Path(folder), FEW)


def _predict(folder: Path) -> object:
    predict_into(Looks(), _dataset(), folder / "begun", context=True, workers=0, progress=False)
    return load_predictions(folder / "begun")


def _search(folder: Path) -> object:
    protocols = _dataset().protocols[0]
    search_into(Guided(), _dataset(), folder / "begun", protocol=protocols, workers=0, progress=False)
    return load_predictions(folder / "begun")


def _index(folder: Path) -> object:
    return index_pictures(Looks(), folder / "pictures", folder / "begun", workers=0, progress=False)


@contextmanager
def _interrupted() -> Iterator[None]:
    """Let work end when all is found and little else is done."""
    with (
        patch("psbench.inference.pieces.write_manifest", side_effect=KeyboardInterrupt),
        patch("psbench.pairwise_folder.write_manifest", side_effect=KeyboardInterrupt),
    ):
        try:
            yield
        except KeyboardInterrupt:
            return
    raise AssertionError("it was not interrupted")


def _begin(work: Work, folder: Path) -> None:
    with _interrupted():
        work(folder)


def _begin_index(folder: Path) -> None:
    (folder / "pictures").mkdir()
    for i in range(3):
        Image.new("RGB", (40 + i, 60), (50 * i, 90, 10)).save(folder / "pictures" / f"{i}.png")
    _begin(_index, folder)


def _go_on(work: Work, folder: Path) -> object:
    with tempfile.TemporaryDirectory() as scratch, told_like_commands():
        return work(shutil.copytree(folder, Path(scratch) / "again"))


def _piece_changed(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    path = random.choice([path for path in files if path.endswith(".parquet")])
    return {path: random.choice((bytes_changed, parquet_changed, parquet_changed))(random, files[path])}


_FILES = tuple(f"begun/{place}*.{ending}" for place in ("", "*/") for ending in ("json", "parquet"))


def _target(name: str, make: Work, work: Work) -> Target:
    return Target(name, make, _FILES, partial(_go_on, work), _piece_changed)


TARGETS = (
    _target("prediction that is continued", partial(_begin, _predict), _predict),
    _target("search that is continued", partial(_begin, _search), _search),
    _target("index that is continued", _begin_index, _index),
)
