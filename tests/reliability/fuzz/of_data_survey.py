"""`psbench-data doctor` on damaged trees, which must report and never raise, and damaged tables in the cache."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from random import Random
from unittest.mock import patch

import psbench_data
from psbench_data import InputError, IntegrityReport, doctor
from tests.data.own_data import own_document, write_own_data
from tests.reliability.fuzz.mat_damage import damaged_mat
from tests.reliability.fuzz.of_data_official import touch, write_small
from tests.reliability.fuzz.target import Target

_TRUTH = "truth.json"


def _examine(format_name: str, folder: Path) -> int:
    """With images decoded; where nothing is recognised, named: a report that says all on a terminal and as JSON."""
    report = doctor(folder)
    looked = _looked_at(report)
    if report.name is None:
        looked += _looked_at(report := doctor(folder, format_name))
    return looked + (touch(psbench_data.load(format_name, root=folder)) if report.ok else 0)


def _looked_at(report: IntegrityReport) -> int:
    if broken := [finding.what for finding in report.findings if finding.topic == "reader"]:
        raise AssertionError(f"doctor itself: {broken[0]}")
    text = report.text(100)
    if unprintable := sorted({c for c in text if not (c.isprintable() or c == "\n")}):
        raise AssertionError(f"the report would print {unprintable!r:.100}")
    return len(text) + len(json.loads(report.to_json())["findings"])


def _doctor(format_name: str, *damaged: str, mat: bool = False) -> Target:
    make = _make_own if format_name == "coco" else partial(write_small, format_name, images=True)
    special = damaged_mat if mat else None
    return Target(f"doctor on a tree of {format_name}", make, damaged, partial(_examine, format_name), special)


def _make_own(folder: Path) -> None:
    document = own_document()
    document["images"] = document["images"][:6]
    document["annotations"] = [row for row in document["annotations"] if row["image_id"] < 106]
    write_own_data(folder, document)
    for path in folder.glob("day/*"):
        if int(path.stem) >= 6:
            path.unlink()


def _make_cached(folder: Path) -> None:
    (folder / "cache").mkdir()
    write_small("prw", folder / "prw")
    (folder / _TRUTH).write_text(json.dumps(_opened(folder)))


def _opened(folder: Path) -> dict[str, str]:
    """Fingerprint and digests of what is opened with the cache that is in the folder, too."""
    with patch.dict(os.environ, {"PSBENCH_CACHE": str(folder / "cache")}):
        dataset = psbench_data.load("prw", root=folder / "prw")
        touch(dataset)
        return {"": dataset.fingerprint, **{name: dataset.protocol(name).digest for name in dataset.protocols}}


def _read_cached(folder: Path) -> None:
    """A damaged cache changes nothing: it is built again."""
    try:
        facts = _opened(folder)
    except InputError as error:
        raise AssertionError(f"the data is sound, and was refused: {error}") from error
    if facts != json.loads((folder / _TRUTH).read_text()):
        raise AssertionError("the cache gave something else than the data has")


def _tables_changed(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """Tables in each other's place: whole, and wrong."""
    one, other = random.choices(list(files), k=2)
    return {one: files[other], other: files[one]}


TARGETS = (
    _doctor("cuhk_sysu", "annotation/**/*.mat", "*.txt", "Image/SSM/*", mat=True),
    _doctor("prw", "*.mat", "annotations/*.mat", "*.txt", "frames/*", mat=True),
    _doctor("lsps", "*.txt", "test/*"),
    _doctor("movienet_cs", "annotation/**/*.mat", "Image/*", mat=True),
    _doctor("coco", "test.json", "day/*"),
    Target("tables in the cache (.arrow)", _make_cached, ("cache/**/*.arrow",), _read_cached, _tables_changed),
)
