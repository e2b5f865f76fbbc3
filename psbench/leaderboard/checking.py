"""Checks of entries that need no predictions, no images and no annotations: of every change to the leaderboards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from psbench.leaderboard import BOARD
from psbench.leaderboard.entry import Entry, Result, Run
from psbench.leaderboard.folder import ENTRIES, PUBLISHED, entry_files, place_fault, twin_texts
from psbench.leaderboard.measuring import rule_faults
from psbench.leaderboard.wholeness import counts_in, part_faults
from psbench_data import InputError, available
from psbench_data.errors import near_names
from psbench_data.registry import known_version

_ROUNDING = 1e-9
_SUBMIT = "Submit it again with `psbench submit`."
_OWN_PROTOCOLS = "coco"
"""The dataset of which each tree has protocols of its own."""


def check(paths: Sequence[str | Path] = (), board: str | Path = BOARD) -> list[str]:
    """Check entries, where they lie, and that the pages show them; nothing is changed.

    Args:
        paths: files of entries; all of the board by default.
        board: the folder of the leaderboards.

    Returns:
        What is wrong, a sentence each that begins with a file.
    """
    board = Path(board)
    there = sorted(path for path in (board / ENTRIES).rglob("*") if path.is_symlink() or not path.is_dir())
    chosen = [Path(path) for path in paths] or there
    entries, unread = _loaded([*chosen, *there])
    faults = [fault for path in chosen for fault in unread.get(path, ())]
    faults += [fault for path in chosen if path in entries for fault in _file_faults(path, entries[path], board)]
    faults += _repeated({path: entries[path] for path in there if path in entries})
    # Of entries that cannot be right, pages cannot be made.
    return faults or _page_faults(board)


def reviews(board: str | Path = BOARD) -> list[str]:
    """What a maintainer has to look at that shows only among entries, a sentence each that begins with a file.

    Args:
        board: the folder of the leaderboards, in which nothing is wrong.

    Raises:
        InputError: an entry cannot be read.
    """
    entries = [(path, Entry.load(path)) for path in entry_files(Path(board))]
    return [
        f"{path}: {text}"
        for i, (path, entry) in enumerate(entries)
        for text in twin_texts(entry, [other for _, other in entries[:i]])
    ]


def _loaded(paths: Sequence[Path]) -> tuple[dict[Path, Entry], dict[Path, list[str]]]:
    """The entries of files, each read once, and what is wrong with those that are none."""
    entries: dict[Path, Entry] = {}
    faults: dict[Path, list[str]] = {}
    for path in dict.fromkeys(paths):
        if path.is_symlink():
            faults[path] = [f"{path}: a link, expected the file of an entry. Put the file itself there."]
            continue
        try:
            entries[path] = Entry.load(path)
        except InputError as error:
            faults[path] = error.faults
    return entries, faults


def _file_faults(path: Path, entry: Entry, board: Path) -> Iterator[str]:
    if fault := place_fault(path, entry, board):
        yield fault
    yield from (f"{path}: {fault} {_SUBMIT}" for fault in entry_faults(entry))


def entry_faults(entry: Entry) -> Iterator[str]:
    """What cannot be in an entry, a sentence each."""
    names = [name for name in available() if name != "synthetic"]
    if entry.dataset not in names:
        yield f"dataset {entry.dataset!r} is none of psbench's. {near_names(entry.dataset, names)}"
    if len(entry.card.training.seeds) != len(entry.runs):
        yield f"{len(entry.runs)} runs for {len(entry.card.training.seeds)} seeds on the card, expected one each."
    elif list(entry.card.training.seeds) != [run.seed for run in entry.runs]:
        yield f"the runs are of seeds {[run.seed for run in entry.runs]}, the card's are {entry.card.training.seeds}."
    if len({run.manifest for run in entry.runs}) < len(entry.runs):
        yield "two runs are of the same predictions."
    first = entry.runs[0]
    for name in dict.fromkeys(name for run in entry.runs for name in run.results):
        if any(name not in run.results for run in entry.runs):
            yield f"{name}: not in all runs, expected the same protocols in each."
            continue
        same = {
            (r.version, r.digest, r.gallery_size, r.queries, r.skipped)
            for r in (run.results[name] for run in entry.runs)
        }
        if len(same) > 1:
            yield f"{name}: the runs are not of one protocol: version, digest or numbers of queries differ."
        if entry.dataset in names and entry.dataset != _OWN_PROTOCOLS:
            yield from _protocol_faults(entry.dataset, name, first.results.get(name))
    yield from part_faults(entry.dataset, entry.board, counts_in(entry), synthetic=entry.synthetic)
    if entry.card.rules.protocols and set(entry.card.rules.protocols) != set(first.results):
        yield f"results of {', '.join(first.results)}, expected those of the card's rules.protocols."
    for number, run in enumerate(entry.runs):
        yield from (f"run {number}: {fault}" for fault in _run_faults(entry, run))


def _protocol_faults(dataset: str, protocol: str, result: Result | None) -> Iterator[str]:
    version = known_version(dataset, protocol)
    if version is None:
        yield f"{protocol}: {dataset} can have no such protocol."
    elif result is not None and result.version != version:
        yield f"{protocol}: of version {result.version}, while this psbench has {version}."


def _run_faults(entry: Entry, run: Run) -> Iterator[str]:
    if run.kind != entry.runs[0].kind:
        yield f"{run.kind} predictions, while run 0 is of {entry.runs[0].kind}."
    if (run.detection is None) != (run.kind == "pairwise"):
        yield f"detection of {run.kind} predictions is {'missing' if run.detection is None else 'not defined'}."
    yield from rule_faults(entry.card.rules, run.kind)
    if not run.results:
        yield "it has no results."
    for name, result in run.results.items():
        yield from (f"{name}: {fault}" for fault in _number_faults(result))


def _number_faults(result: Result) -> Iterator[str]:
    if result.skipped > result.queries:
        yield f"{result.skipped} of {result.queries} queries were skipped."
    numbers = {"map": result.map, "top1": result.top1, "top5": result.top5, "top10": result.top10}
    counted = result.skipped < result.queries
    for name, value in numbers.items():
        if (value is not None) != counted:
            yield f"{name} is {value} with {result.queries - result.skipped} queries that count."
    tops = [value for name, value in numbers.items() if name != "map" and value is not None]
    if tops != sorted(tops):
        yield f"top1, top5 and top10 are {tops}, expected none below the one before."
    for name, interval in (("map", result.map_interval), ("top1", result.top1_interval)):
        value = numbers[name]
        if interval is not None and value is not None:
            low, high = interval
            if not low - _ROUNDING <= value <= high + _ROUNDING:
                yield f"{name} is {value}, outside its interval {list(interval)}."
        elif interval is not None:
            yield f"{name} has an interval and no value."


def _repeated(entries: Mapping[Path, Entry]) -> list[str]:
    """That a board has two entries of one name."""
    files: dict[tuple[str, str], list[Path]] = {}
    for path, entry in entries.items():
        files.setdefault((entry.board, entry.card.method.name.casefold()), []).append(path)
    return [
        f"{path}: {first.name} is of a method of this name, too. Keep one of them."
        for first, *others in files.values()
        for path in others
    ]


def _page_faults(board: Path) -> list[str]:
    """Which rendered pages are not what the entries and published numbers give."""
    from psbench.leaderboard.rendering import render

    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "leaderboards"
        (copy / ENTRIES).mkdir(parents=True)
        if (board / PUBLISHED).is_file():
            shutil.copyfile(board / PUBLISHED, copy / PUBLISHED)
        if (board / ENTRIES).is_dir():
            shutil.copytree(board / ENTRIES, copy / ENTRIES, symlinks=True, dirs_exist_ok=True)
        try:
            rendered = render(copy)
        except InputError as error:
            return [fault.replace(str(copy), str(board)) for fault in error.faults]
        return [
            f"{board / page.relative_to(copy)}: not what its entries and numbers give. "
            "Run `psbench leaderboard render` and commit what it writes."
            for page in rendered
            if not (board / page.relative_to(copy)).is_file()
            or (board / page.relative_to(copy)).read_bytes() != page.read_bytes()
        ]
