"""Which dataset a folder is, holds or lies in, also where its tree is incomplete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from psbench_data.integrity.findings import Finding
from psbench_data.sources.layouts import LAYOUTS

_LEVELS_BELOW, _LEVELS_ABOVE = 2, 3
_FOLDERS_SCANNED = 500
_SNIFFED = 1 << 20


@dataclass(frozen=True)
class Trait:
    """Something that a dataset's tree has.

    Attributes:
        label: as printed.
        patterns: what to look for; one of them is enough.
        telling: whether no other dataset's tree has it.
    """

    label: str
    patterns: tuple[str, ...]
    telling: bool = True


def _trait(label: str, *patterns: str, telling: bool = True) -> Trait:
    return Trait(label, patterns or (label,), telling)


TRAITS = {
    "cuhk_sysu": (
        _trait("annotation/Images.mat", telling=False),
        _trait("annotation/pool.mat"),
        _trait("annotation/test/train_test/Train.mat"),
        # MovieNet-CS has TestG2000.mat and TestG4000.mat, too.
        _trait("annotation/test/train_test/TestG50.mat, ...", *(f"annotation/**/TestG{n}.mat" for n in (50, 100, 500))),
        _trait("Image/SSM/s<number>.jpg", "[Ii]mage/SSM/s[0-9]*.jpg", "[Ii]mage/s[0-9]*.jpg"),
    ),
    "movienet_cs": (
        _trait("annotation/Images.mat", telling=False),
        _trait("annotation/pool_<size>.mat", "annotation/pool_*.mat"),
        _trait("annotation/test/train_test/Train_app<n>.mat", "annotation/test/train_test/Train_app*.mat"),
        _trait(
            "annotation/test/train_test/TestG<size>.mat", "annotation/test/train_test/TestG[124]*000.mat", telling=False
        ),
        _trait("Image/tt<movie>...", "Image/tt[0-9]*", "Image/SSM/tt[0-9]*", "frames_CS-*"),
    ),
    "prw": (
        _trait("frame_train.mat"),
        _trait("frame_test.mat"),
        _trait("annotations/<frame>.jpg.mat", "annotations/*.jpg.mat"),
        _trait("query_info.txt", "query_info*.txt", telling=False),
        _trait("frames/c<camera>s<sequence>_<frame>.jpg", "frames/c[0-9]s[0-9]_*.jpg"),
    ),
    "lsps": (
        *(_trait(f"{split}_frame_{what}.txt") for split in ("train", "test") for what in ("coord", "id")),
        _trait("query_info.txt", telling=False),
        _trait("test/<frame>.jpg", "test/*_*_*_*.jpg", telling=False),
    ),
    "coco": (_trait("test.json with images and annotations", "test.json"),),
}
"""By which signs each dataset is known."""


@dataclass(frozen=True)
class Nearness:
    """How near a folder is to a dataset's tree: the labels of the traits that it has, and of those it lacks."""

    title: str
    present: list[str]
    absent: list[str]


@dataclass
class Place:
    """What was found out about a folder.

    Attributes:
        root: the tree's top folder, if one was found; the folder as given otherwise.
        name: the dataset, None if there is none.
        findings: what is wrong with the folder as given.
        recognised: whether anything was.
    """

    root: Path
    name: str | None
    findings: list[Finding] = field(default_factory=list)
    recognised: bool = True


def nearness(root: Path, only: str | None = None) -> list[Nearness]:
    """How near a folder is to each dataset, or to one."""
    found = []
    for name, traits in TRAITS.items():
        if only not in (None, name):
            continue
        has = {trait.label: _has(root, trait) for trait in traits}
        present, absent = ([label for label in has if has[label] is there] for there in (True, False))
        found.append(Nearness(LAYOUTS[name][0], present, absent))
    return found


def recognise(root: Path) -> str | None:
    """The dataset that a folder is the root of, complete or not."""
    best, best_score = None, (0, 0)
    for name, traits in TRAITS.items():
        present = [trait for trait in traits if _has(root, trait)]
        score = (sum(trait.telling for trait in present), len(present))
        if score[0] and score > best_score:
            best, best_score = name, score
    return best


def locate(given: Path, wanted: str | None) -> Place:
    """Find the tree that is meant by a folder: itself, or the one tree below or above it.

    Args:
        given: any path.
        wanted: the dataset that it should be, None for any.
    """
    if not given.is_dir():
        return _no_folder(given, wanted)
    empty = next(given.iterdir(), None) is None
    here = recognise(given)
    if here is not None and wanted in (None, here):
        return Place(given, here)
    for candidates in (*_below(given), _above(given)):
        trees = [(root, name) for root in candidates if (name := recognise(root)) and wanted in (None, name)]
        if len(trees) == 1:
            return Place(*trees[0], [_elsewhere(given, *trees[0])])
        if trees:
            listed = ", ".join(f"{root} ({LAYOUTS[name][0]})" for root, name in trees)
            return Place(
                given, None, [_about(given, f"this folder holds several trees: {listed}", "Give one of them.")]
            )
    if here is not None and wanted is not None:
        what = f"this is a tree of {LAYOUTS[here][0]}, not of {LAYOUTS[wanted][0]}"
        remedy = f"Give the folder of {LAYOUTS[wanted][0]}, or the name {here}."
        return Place(given, None, [_about(given, what, remedy)])
    meant = LAYOUTS[wanted][0] if wanted else "a dataset"
    what = f"this folder is {'empty' if empty else f'not recognised as a tree of {meant}'}"
    remedy = "Give the dataset's top folder, and check that its archive was extracted in full."
    # A dataset that was asked for is examined all the same: the list of its files says what is missing.
    return Place(given, wanted, [_about(given, what, remedy)], recognised=False)


def _has(root: Path, trait: Trait) -> bool:
    try:
        found = any(next(root.glob(pattern), None) for pattern in trait.patterns)
        return found and ("test.json" not in trait.patterns or _is_coco(root / "test.json"))
    except OSError:
        return False


def _is_coco(path: Path) -> bool:
    """Many things are called test.json."""
    with path.open("rb") as file:
        start = file.read(_SNIFFED)
        file.seek(max(path.stat().st_size - _SNIFFED, 0))
        return any(key in part for part in (start, file.read()) for key in (b'"images"', b'"annotations"'))


def _below(given: Path) -> Iterator[list[Path]]:
    """The folders one level below, then those two levels below."""
    level = [given]
    for _ in range(_LEVELS_BELOW):
        level = list(islice((child for folder in level for child in _folders_in(folder)), _FOLDERS_SCANNED))
        yield level


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []


def _above(given: Path) -> list[Path]:
    """The nearest folder above that is a tree."""
    return next(([folder] for folder in given.resolve().parents[:_LEVELS_ABOVE] if recognise(folder)), [])


def _no_folder(given: Path, wanted: str | None) -> Place:
    if not given.exists():
        what, remedy = "this folder does not exist", "Check the spelling."
    elif given.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z"):
        what, remedy = "this is an archive, not a folder", "Extract it and give the folder that comes out."
    else:
        what, remedy = "this is a file, not a folder", "Give the dataset's top folder."
        inside = next((folder for folder in given.resolve().parents[:_LEVELS_ABOVE] if recognise(folder)), None)
        if inside is not None and wanted in (None, name := recognise(inside)):
            remedy = f"It lies in a tree of {LAYOUTS[name or ''][0]}: give {inside}."
    return Place(given, None, [_about(given, what, remedy)])


def _elsewhere(given: Path, root: Path, name: str) -> Finding:
    return _about(given, f"this is not the top folder of {LAYOUTS[name][0]}, {root} is", "Give that folder as root.")


def _about(given: Path, what: str, remedy: str) -> Finding:
    return Finding("error", "folder", str(given), "", what, remedy)
