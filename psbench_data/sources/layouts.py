"""What the trees of the datasets look like from outside: which one a folder is, holds or lies in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from psbench_data.errors import InputError

TITLES = {
    "cuhk_sysu": "CUHK-SYSU",
    "movienet_cs": "MovieNet-CS",
    "prw": "PRW",
    "lsps": "LSPS",
    "coco": "COCO-style data",
}
"""The datasets' names as printed."""
_LEVELS_BELOW, _LEVELS_ABOVE = 2, 3
_FOLDERS_SCANNED = 500
_SNIFFED = 1 << 20
_FILES_SNIFFED = 50


@dataclass(frozen=True)
class Trait:
    """Something that a dataset's tree has.

    Attributes:
        label: as printed.
        patterns: what to look for; one of them is enough.
        required: whether its reader can do nothing without it.
        telling: whether no other dataset's tree has it.
    """

    label: str
    patterns: tuple[str, ...]
    required: bool = False
    telling: bool = True


def _trait(label: str, *patterns: str, required: bool = False, telling: bool = True) -> Trait:
    return Trait(label, patterns or (label,), required, telling)


TRAITS = {
    # The first one, which wins where two have as many signs: an export keeps the images in the folders that they had.
    "coco": (_trait("test.json with images and annotations", "test.json"),),
    "cuhk_sysu": (
        _trait("annotation/Images.mat", required=True, telling=False),
        _trait("annotation/pool.mat", required=True),
        _trait("annotation/test/train_test", required=True, telling=False),
        _trait("annotation/test/train_test/Train.mat"),
        # MovieNet-CS has TestG2000.mat and TestG4000.mat, too.
        _trait("annotation/test/train_test/TestG50.mat, ...", *(f"annotation/**/TestG{n}.mat" for n in (50, 100, 500))),
        _trait("Image/SSM/s<number>.jpg", "[Ii]mage/SSM/s[0-9]*.jpg", "[Ii]mage/s[0-9]*.jpg"),
    ),
    "movienet_cs": (
        _trait("annotation/Images.mat", required=True, telling=False),
        _trait("annotation/pool_<size>.mat", "annotation/pool_*.mat", required=True),
        _trait("annotation/test/train_test", required=True, telling=False),
        _trait("annotation/test/train_test/Train_app<n>.mat", "annotation/test/train_test/Train_app*.mat"),
        _trait(
            "annotation/test/train_test/TestG<size>.mat", "annotation/test/train_test/TestG[124]*000.mat", telling=False
        ),
        _trait("Image/tt<movie>...", "Image/tt[0-9]*", "Image/SSM/tt[0-9]*", "frames_CS-*"),
    ),
    "prw": (
        _trait("frame_train.mat", required=True),
        _trait("frame_test.mat", required=True),
        _trait("annotations", required=True, telling=False),
        _trait("annotations/<frame>.jpg.mat", "annotations/*.jpg.mat"),
        _trait("query_info.txt", "query_info*.txt", telling=False),
        _trait("frames/c<camera>s<sequence>_<frame>.jpg", "frames/c[0-9]s[0-9]_*.jpg"),
    ),
    "lsps": (
        *(
            _trait(f"{split}_frame_{what}.txt", required=True)
            for split in ("train", "test")
            for what in ("coord", "id")
        ),
        _trait("query_info.txt", telling=False),
        _trait("test/<frame>.jpg", "test/*_*_*_*.jpg", telling=False),
    ),
}
"""By which signs each dataset is known."""


@dataclass(frozen=True)
class Located:
    """What was found out about a folder.

    Attributes:
        root: the tree's top folder, if one was found; the folder as given otherwise.
        name: the dataset, None if there is none.
        what: what is wrong with the folder as given; "" if nothing is.
        remedy: what to do about it.
        recognised: whether anything was.
    """

    root: Path
    name: str | None
    what: str = ""
    remedy: str = ""
    recognised: bool = True


def traits_of(root: Path, name: str) -> tuple[list[str], list[str]]:
    """The labels of the traits of a dataset that a folder has, and of those that it lacks."""
    has = {trait.label: _seen(root, trait) for trait in TRAITS[name]}
    return [label for label in has if has[label]], [label for label in has if not has[label]]


def recognise(root: Path) -> str | None:
    """The dataset that a folder is the root of, complete or not."""
    best, best_score = None, (0, 0)
    for name, traits in TRAITS.items():
        present = [trait for trait in traits if _seen(root, trait)]
        score = (sum(trait.telling for trait in present), len(present))
        if score[0] and score > best_score:
            best, best_score = name, score
    return best


def locate(given: Path, wanted: str | None, test: str | Path | None = None) -> Located:
    """Find the tree that is meant by a folder: itself, or the one tree below or above it.

    Args:
        given: any path.
        wanted: the dataset that it should be, None for any.
        test: the file of the test set, where it was named: only one's own data has files of any name.
    """
    if not given.is_dir():
        return _no_folder(given, wanted)
    if test is not None and wanted in (None, "coco"):
        return Located(given, "coco")
    empty = next(given.iterdir(), None) is None
    here = recognise(given)
    if here is not None and wanted in (None, here):
        return Located(given, here)
    for candidates in (*_below(given), _above(given)):
        trees = [(root, name) for root in candidates if (name := recognise(root)) and wanted in (None, name)]
        if len(trees) == 1:
            root, name = trees[0]
            what = f"this is not the top folder of {TITLES[name]}, {root} is"
            return Located(root, name, what, "Give that folder as root.")
        if trees:
            listed = ", ".join(f"{root} ({TITLES[name]})" for root, name in trees)
            return Located(given, None, f"this folder holds several trees: {listed}", "Give one of them.")
    if here is not None and wanted is not None:
        what = f"this is a tree of {TITLES[here]}, not of {TITLES[wanted]}"
        return Located(given, None, what, f"Give the folder of {TITLES[wanted]}, or the name {here}.")
    # Nothing else is there, so that is what was meant, whatever it holds.
    if wanted in (None, "coco") and ((given / "test.json").is_file() or name_the_test_set(given)):
        return Located(given, "coco")
    meant = TITLES[wanted] if wanted else "a dataset"
    what = f"this folder is {'empty' if empty else f'not recognised as a tree of {meant}'}"
    remedy = "Give the dataset's top folder, and check that its archive was extracted in full."
    # A dataset that was asked for is examined all the same: the list of its files says what is missing.
    return Located(given, wanted, what, remedy, recognised=False)


def name_the_test_set(root: Path) -> str:
    """What to do where test.json is missing and COCO-style files of other names are there; "" where none is."""
    files = islice((path for pattern in ("*.json", "*/*.json") for path in sorted(root.glob(pattern))), _FILES_SNIFFED)
    names = [path.relative_to(root).as_posix() for path in files if path.is_file() and _is_coco(path)]
    if not names:
        return ""
    there = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    return f"Name the file of the test set as an option, -O test=FILE: there is {there}."


def require_root(name: str, root: Path) -> None:
    """Check that `root` is a tree of dataset `name` that has what its reader cannot do without.

    Raises:
        InputError: naming what is missing and, where it can be told, the dataset or folder that was meant.
    """
    # An intact tree costs a look at these few files and no search.
    missing = [trait.label for trait in TRAITS[name] if trait.required and not _has(root, trait)]
    if not missing:
        return
    place = locate(root, name)
    if place.what and place.recognised:
        raise InputError(f"{root}: {place.what}. {place.remedy}")
    raise InputError(
        f"{root / label}: expected in a tree of {TITLES[name]}, and not there. "
        "Check that root is the dataset's top folder and that its archive was extracted in full."
        for label in missing
    )


def _has(root: Path, trait: Trait) -> bool:
    found = any(
        (root / pattern).exists() if not set("*[") & set(pattern) else next(root.glob(pattern), None)
        for pattern in trait.patterns
    )
    return found and ("test.json" not in trait.patterns or _is_coco(root / "test.json"))


def _seen(root: Path, trait: Trait) -> bool:
    """Whether a folder has it, as far as can be seen."""
    try:
        return _has(root, trait)
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


def _no_folder(given: Path, wanted: str | None) -> Located:
    if not given.exists():
        what, remedy = "this folder does not exist", "Check the spelling."
        if wanted:
            remedy += f" Expected the folder that holds {TRAITS[wanted][0].label} of {TITLES[wanted]}."
    elif given.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z"):
        what, remedy = "this is an archive, not a folder", "Extract it and give the folder that comes out."
    else:
        what, remedy = "this is a file, not a folder", "Give the dataset's top folder."
        inside = next((folder for folder in given.resolve().parents[:_LEVELS_ABOVE] if recognise(folder)), None)
        if inside is not None and wanted in (None, name := recognise(inside)):
            remedy = f"It lies in a tree of {TITLES[name or '']}: give {inside}."
    return Located(given, None, what, remedy)
