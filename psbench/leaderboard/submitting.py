"""Submission: from predictions folders and a card to an entry, computed and never typed."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from psbench.leaderboard import BOARD
from psbench.leaderboard.card import Card
from psbench.leaderboard.entry import Date, Entry, Run, board_of, file_name_of
from psbench.leaderboard.folder import ENTRIES
from psbench.leaderboard.measuring import measure, protocol_names, rule_faults
from psbench.leaderboard.validating import validate
from psbench.leaderboard.wholeness import counts_of, part_faults
from psbench.shards import MANIFEST, read_kind, sha256_of
from psbench_data import InputError, PersonSearchDataset
from psbench_data.atomic import place_faults
from psbench_data.names import given_path


def submit(
    folders: str | Path | Sequence[str | Path],
    *,
    dataset: PersonSearchDataset,
    card: Card | str | Path,
    board: str | Path = BOARD,
    date: str | None = None,
    replace: bool = False,
    device: str | None = None,
    progress: bool = False,
) -> Path:
    """Check predictions, evaluate them under every protocol by psbench's own rules, and write the entry.

    Args:
        folders: predictions folders, one for each seed of the card, in their order.
        dataset: that was predicted on.
        card: of the method, or its file.
        board: the folder of the leaderboards.
        date: YYYY-MM-DD; today if not given.
        replace: whether the method's earlier entry may be overwritten.
        device: where torch computes similarities, for example "cuda"; numpy without one.
        progress: whether to show bars.

    Returns:
        The entry's file, board/entries/<board>/<method>.json. Where this very submission was made before, it stays.

    Raises:
        InputError: listing everything that is wrong with the folders, the card, or the place; nothing is written then.
    """
    given = [given_path(folder) for folder in ([folders] if isinstance(folders, str | Path) else folders)]
    board = given_path(board)
    card = card if isinstance(card, Card) else Card.load(given_path(card))
    folder = board / ENTRIES / board_of(dataset.name, dataset.options, synthetic=dataset.synthetic)
    path = folder / file_name_of(card.method.name)
    if not replace and _is_made(path, card, given, dataset, date):
        return path
    date = datetime.date.today().isoformat() if date is None else date
    faults = [*place_faults(path), *_occupied(path, card.method.name, replace), *_date_faults(date)]
    counts = counts_of(dataset, map(dataset.protocol, dataset.protocols))
    faults += part_faults(dataset.name, folder.name, counts, synthetic=dataset.synthetic)
    if len(given) != len(card.training.seeds):
        faults.append(
            f"{len(given)} predictions folders for {len(card.training.seeds)} seeds. Name one seed a folder in the "
            "card, in the folders' order."
        )
    if faults := faults + _folder_faults(given, dataset, card, progress):
        raise InputError(faults)
    runs = [
        measure(folder, dataset, card.rules, seed=seed, device=device, progress=progress)
        for folder, seed in zip(given, card.training.seeds, strict=True)
    ]
    made_entry(runs, dataset, card, date).write(path)
    return path


def made_entry(runs: Iterable[Run], dataset: PersonSearchDataset, card: Card, date: str) -> Entry:
    """The sealed entry of runs that were measured on a dataset."""
    return Entry(
        dataset=dataset.name,
        options=dataset.options,
        synthetic=dataset.synthetic,
        fingerprint=dataset.fingerprint,
        card=card,
        runs=tuple(runs),
        psbench=version("psbench"),
        date=date,
    ).sealed()


def _is_made(path: Path, card: Card, folders: Sequence[Path], dataset: PersonSearchDataset, date: str | None) -> bool:
    """Whether an entry is there that this version made of the same, for example by a command that was killed then."""
    try:
        entry = Entry.load(path)
        manifests = [sha256_of(folder / MANIFEST) for folder in folders]
    except (InputError, OSError):
        return False
    there = entry.card, entry.fingerprint, entry.psbench, [run.manifest for run in entry.runs]
    return there == (card, dataset.fingerprint, version("psbench"), manifests) and date in (None, entry.date)


def _occupied(path: Path, name: str, replace: bool) -> list[str]:
    """Why an entry that is there must stay."""
    if not path.is_file():
        return []
    try:
        there = Entry.load(path).card.method.name
    except InputError as error:
        return [f"{fault} Remove it first, if it is to be replaced." for fault in error.faults]
    if there != name:
        return [
            f"{path}: is the entry of {there!r}, whose name becomes the same file name as {name!r}. Choose another "
            "name."
        ]
    if not replace:
        return [f"{path}: {name!r} has an entry already. Replace it (--replace), or choose another name."]
    return []


def _date_faults(date: str) -> list[str]:
    try:
        TypeAdapter(Date).validate_python(date)
    except ValidationError:
        return [f"date is {date!r}, expected YYYY-MM-DD. Leave it out for today."]
    return []


def _folder_faults(folders: Sequence[Path], dataset: PersonSearchDataset, card: Card, progress: bool) -> list[str]:
    """Everything that is wrong with the folders, and in which they do not fit the card and each other."""
    faults: list[str] = []
    kinds: Counter[str] = Counter()
    for folder in folders:
        try:
            kind = read_kind(folder)
            kinds[kind] += 1
            protocols = protocol_names(dataset, card.rules) if kind == "pairwise" else None
            validate(folder, dataset, protocols=protocols, submitted=True, progress=progress)
        except InputError as error:
            faults += error.faults
    if len(kinds) > 1:
        said = ", ".join(f"{count} of {kind}" for kind, count in kinds.items())
        faults.append(f"predictions of two kinds ({said}). Submit seeds of one method, all of one kind.")
    faults += [fault for kind in kinds for fault in rule_faults(card.rules, kind)]
    there = [folder for folder in folders if (folder / MANIFEST).is_file()]
    first: dict[str, Path] = {}
    for folder in there:
        digest = sha256_of(folder / MANIFEST)
        if first.setdefault(digest, folder) is not folder:
            faults.append(f"{folder}: the same predictions as {first[digest]}. Give those of another seed.")
    return faults
