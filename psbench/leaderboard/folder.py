"""The folder of the leaderboards: published.csv, and entries/BOARD/METHOD.json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from psbench.leaderboard.entry import Entry
from psbench.leaderboard.reported import Reported, read
from psbench_data import InputError
from psbench_data.faults import Collected

ENTRIES = "entries"
PUBLISHED = "published.csv"


def link_of(entry: Entry) -> str:
    """An entry's file, seen from the folder."""
    return f"{ENTRIES}/{entry.board}/{entry.file_name}"


def entry_files(folder: Path, board: str = "*") -> list[Path]:
    """The files of all entries, or those of one board, but none that a killed process did not finish."""
    return sorted((folder / ENTRIES).glob(f"{board}/[!.]*.json"))


def place_fault(path: Path, entry: Entry, folder: Path) -> str | None:
    """What is wrong with the place of an entry's file."""
    place = folder / link_of(entry)
    if path.resolve() == place.resolve():
        return None
    return f"{path}: belongs at {place}, by its dataset and method. Move it there."


def twin_texts(entry: Entry, others: Iterable[Entry]) -> list[str]:
    """Which entries of a board have predictions and numbers of this one under another name, a sentence each.

    The same predictions by other rules of the card, as with and without CBGM, are another entry.
    """
    runs = [(run.manifest, run.results) for run in entry.runs]
    return [
        f"to be reviewed: the predictions of {link_of(other)}"
        for other in others
        if (other.board, other.file_name) != (entry.board, entry.file_name) and other.board == entry.board
        if any((run.manifest, run.results) in runs for run in other.runs)
    ]


def read_folder(folder: Path, *, board: str = "*", progress: bool = False) -> tuple[list[Reported], list[Entry]]:
    """The published numbers, of which a folder may have none, and the entries.

    Args:
        folder: the leaderboards.
        board: with the entries of one board alone.
        progress: show a bar.

    Raises:
        InputError: listing what is wrong with the published numbers and with the entries and their places.
    """
    from tqdm import tqdm

    reported: list[Reported] = []
    entries: list[Entry] = []
    with Collected() as faults:
        with faults.step():
            reported = read(folder / PUBLISHED) if (folder / PUBLISHED).exists() else []
        for path in tqdm(entry_files(folder, board), desc="entries", unit="entry", disable=not progress, delay=2):
            with faults.step():
                entries.append(Entry.load(path))
                if fault := place_fault(path, entries[-1], folder):
                    raise InputError(fault)
    return reported, entries
