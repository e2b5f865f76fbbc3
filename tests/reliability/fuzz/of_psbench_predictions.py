"""Folders of predictions and of one's own pictures, loaded, checked, evaluated and searched."""

from __future__ import annotations

import atexit
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random

import numpy as np

from psbench import Predictions
from psbench.folders import load_predictions
from psbench.inference.search_cost import SearchCost, read_cost, write_cost
from psbench.leaderboard import validate
from psbench.leaderboard.card import Rules
from psbench.leaderboard.measuring import measure
from psbench.own_gallery import OwnGallery, is_gallery, read_gallery, write_gallery
from psbench.own_pictures import PictureFile
from psbench_data import InputError, PersonSearchDataset, load
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from tests.leaderboard.making import honest, pairwise
from tests.reliability.fuzz.grammar import bytes_changed
from tests.reliability.fuzz.grammar_tables import parquet_changed, sealed
from tests.reliability.fuzz.target import Target
from tests.tiny_plans import FEW

FOLDER = "predictions"


@cache
def dataset() -> PersonSearchDataset:
    """A few drawn scenes in CUHK-SYSU's format, without pictures; this process's own."""
    folder = tempfile.mkdtemp(prefix="psbench-fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    root = Path(folder) / "cuhk_sysu"
    write_cuhk_sysu(dataclasses.replace(FEW, train_scenes=4, train_identities=1), root, images=False)
    return load("cuhk_sysu", root=root)


def tell(remarks: list[str]) -> None:
    """Have remarks looked at like an error's sentences: they too are shown to a user."""
    if remarks:
        raise InputError(remarks)


@contextmanager
def told_like_commands() -> Iterator[None]:
    """Tell what the file system refuses as commands do: a folder, say, where a file is to be written."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from error


def _make_detections(folder: Path) -> None:
    data = dataset()
    plain, queries = honest(data), len(honest(data).query_embeddings)
    around = {
        "counts": np.ones(queries, int),
        "boxes": plain.query_boxes,
        "scores": np.ones(queries),
        "embeddings": plain.query_embeddings,
    }
    honest(data, context=around).save(folder / FOLDER)


def _make_pairs(folder: Path) -> None:
    pairwise(dataset(), dataset().protocols).save(folder / FOLDER)
    cost = SearchCost(hardware="a CPU", queries=1, scenes=1, pairs=1, seconds={"query": 1, "scenes": 1, "pairs": 1})
    write_cost(cost, folder / FOLDER)


def _judge(folder: Path) -> None:
    folder, rules = folder / FOLDER, Rules()
    load_predictions(folder)
    remarks = validate(folder, dataset(), submitted=True)
    run = measure(folder, dataset(), rules, seed=0)
    tell([*remarks, *run.review])


def _cost(folder: Path) -> object:
    return read_cost(folder / FOLDER)


def _shards_changed(random: Random, files: dict[str, bytes], place: str = FOLDER) -> dict[str, bytes]:
    """A shard, and a manifest that is right about it."""
    path = random.choice([path for path in files if path.startswith(f"{place}/") and path.endswith(".parquet")])
    change = random.choice((bytes_changed, parquet_changed, parquet_changed))
    changed = {path: change(random, files[path])}
    return changed | sealed(random, files | changed, f"{place}/manifest.json")


def _make_index(folder: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"{i:064x}" for i in range(3)]
    pictures = [PictureFile(f"below/{i}.jpg", name, 10, 1, 1) for i, name in enumerate([*names, names[0]])]
    boxes = np.tile(np.float32([0, 0, 4, 8]), (5, 1))
    people = Predictions.from_arrays(
        names,
        counts=[2, 3, 0],
        boxes=boxes,
        scores=rng.random(5),
        embeddings=rng.standard_normal((5, 4)),
        query_embeddings=np.zeros((0, 4)),
    )
    write_gallery(OwnGallery(Path("pictures"), "made up", "0" * 64, pictures, people), folder / "index")


def _search_index(folder: Path) -> object:
    if not is_gallery(folder / "index"):
        raise InputError(f"{folder / 'index'}: not an index.")
    gallery = read_gallery(folder / "index")
    found, _ = gallery.rank(np.ones(gallery.people.embeddings.shape[1], np.float32), threshold=0.1, top=3)
    return [match.places for match in found]


def _index_changed(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """A shard of an index, or of the people in it, and manifests that are right about it."""
    [people] = {path.rpartition("/")[0] for path in files if path.count("/") == 2}
    if random.random() < 0.4:
        own = {path: content for path, content in files.items() if path.count("/") == 1}
        return _shards_changed(random, own, "index")
    changed = _shards_changed(random, files, people)
    digest = sha256(changed.get(f"{people}/manifest.json", b"")).hexdigest()
    with suppress(ValueError, RecursionError, TypeError):
        manifest = json.loads(files["index/manifest.json"]) | {"people_sha256": digest}
        changed["index/manifest.json"] = json.dumps(manifest).encode()
    return changed


_ALL = (f"{FOLDER}/manifest.json", f"{FOLDER}/*.parquet")
_IN_INDEX = tuple(f"index/{place}*.{ending}" for place in ("", "*/") for ending in ("json", "parquet"))
TARGETS = (
    Target("predictions folder", _make_detections, _ALL, _judge, _shards_changed),
    Target("pairwise predictions folder", _make_pairs, _ALL, _judge, _shards_changed),
    Target("cost.json of a search", _make_pairs, (f"{FOLDER}/cost.json",), _cost),
    Target("index of one's own pictures", _make_index, _IN_INDEX, _search_index, _index_changed),
)
