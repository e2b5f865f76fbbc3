"""Verification: an entry's numbers computed again from the predictions that it was made of."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from psbench.leaderboard.entry import Entry, Run
from psbench.leaderboard.measuring import measure, protocol_names
from psbench.leaderboard.wholeness import counts_of, part_faults
from psbench.shards import MANIFEST, sha256_of
from psbench_data import InputError, PersonSearchDataset, available, load
from psbench_data.names import given_path

TOLERANCE = 1e-6
Outcome = Literal["verified", "wrong", "not verified"]


def verify(
    entry: Entry,
    folders: Sequence[str | Path],
    dataset: PersonSearchDataset,
    *,
    device: str | None = None,
    progress: bool = False,
) -> list[str]:
    """Compute an entry again and compare everything that was measured, numbers to 1e-6.

    Args:
        entry: as it was loaded.
        folders: the predictions of its runs, in their order.
        dataset: that was predicted on, opened with the entry's options.
        device: where torch computes similarities, for example "cuda"; numpy without one.
        progress: whether to show a bar.

    Returns:
        What does not agree, a sentence each; nothing if the entry is verified.
    """
    wanted = {
        "dataset": (entry.dataset, dataset.name),
        "options": (entry.options, dataset.options),
        "synthetic": (entry.synthetic, dataset.synthetic),
        "fingerprint": (entry.fingerprint, dataset.fingerprint),
    }
    faults = [
        f"{name}: {said!r} in the entry, {there!r} of {dataset.root}. Give the data that was predicted on."
        for name, (said, there) in wanted.items()
        if said != there
    ]
    counts = counts_of(dataset, map(dataset.protocol, protocol_names(dataset, entry.card.rules)))
    faults += part_faults(entry.dataset, entry.board, counts, synthetic=dataset.synthetic)
    if len(folders) != len(entry.runs):
        faults.append(f"{len(folders)} predictions folders for {len(entry.runs)} runs. Give one for each, in order.")
    if faults:
        return faults
    for number, (run, folder) in enumerate(zip(entry.runs, map(given_path, folders), strict=True)):
        faults += [f"run {number}: {fault}" for fault in _run_faults(entry, run, folder, dataset, device, progress)]
    return faults


def _run_faults(
    entry: Entry, run: Run, folder: Path, dataset: PersonSearchDataset, device: str | None, progress: bool
) -> list[str]:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return [f"{manifest}: not there. Give the folder of the predictions."]
    if sha256_of(manifest) != run.manifest:
        return [f"{manifest}: its SHA-256 is not the entry's. Give the predictions that were submitted, unchanged."]
    try:
        again = measure(folder, dataset, entry.card.rules, seed=run.seed, device=device, progress=progress)
    except InputError as error:
        return error.faults
    said, found = run.model_dump(mode="json"), again.model_dump(mode="json")
    # How a sign is worded may change; that there is one does not.
    said["review"], found["review"] = bool(run.review), bool(again.review)
    return list(_differences(said, found))


def _differences(said: Any, found: Any, at: str = "") -> Iterator[str]:
    """Where two values of JSON differ, in words; numbers by more than the tolerance."""
    if isinstance(said, dict) and isinstance(found, dict):
        for name in sorted({*said, *found}):
            yield from _differences(said.get(name), found.get(name), f"{at}.{name}" if at else name)
    elif isinstance(said, list) and isinstance(found, list) and len(said) == len(found):
        for i, pair in enumerate(zip(said, found, strict=True)):
            yield from _differences(*pair, f"{at}[{i}]")
    elif not _equal(said, found):
        yield f"{at}: {said!r} in the entry, {found!r} computed again."


def _equal(said: Any, found: Any) -> bool:
    if isinstance(said, float) and isinstance(found, float):
        return math.isclose(said, found, rel_tol=0, abs_tol=TOLERANCE)
    return type(said) is type(found) and said == found


@dataclass(frozen=True)
class Verification:
    """What became of an entry's verification: how it ended, and why it is not verified."""

    outcome: Outcome
    reasons: tuple[str, ...] = ()


class Verifier:
    """Verifies entries with what is at hand of predictions and data.

    Args:
        predictions: a folder; predictions folders are looked for everywhere below it.
        roots: pairs of a dataset's or a board's name and its folder; of several for one name, that with the entry's
            fingerprint is taken.
        device, progress: as for `verify`.
    """

    def __init__(
        self,
        predictions: Path,
        roots: Sequence[tuple[str, Path]],
        *,
        device: str | None = None,
        progress: bool = False,
    ) -> None:
        if not predictions.is_dir():
            raise InputError(f"{predictions}: no such folder. Give the one that holds the predictions folders.")
        self._folders = folders_below(predictions)
        self._roots, self._device, self._progress = list(roots), device, progress
        self._opened: dict[tuple[Path, str], PersonSearchDataset] = {}

    def verify(self, path: Path) -> Verification:
        """Verify the entry of a file."""
        try:
            entry = Entry.load(path)
            dataset = self._dataset(entry)
        except InputError as error:
            return Verification("wrong", tuple(error.faults))
        missing = [
            f"run {number}: no predictions folder whose {MANIFEST} has the SHA-256 {run.manifest[:12]}..."
            for number, run in enumerate(entry.runs)
            if run.manifest not in self._folders
        ]
        if dataset is None:
            missing.append(f"no --root of {entry.dataset} or {entry.board} was given")
        if missing or dataset is None:
            return Verification("not verified", tuple(missing))
        folders = [self._folders[run.manifest] for run in entry.runs]
        faults = verify(entry, folders, dataset, device=self._device, progress=self._progress)
        return Verification("wrong", tuple(faults)) if faults else Verification("verified")

    def _dataset(self, entry: Entry) -> PersonSearchDataset | None:
        """The data of an entry, or else any that was given for it, to be refused."""
        if entry.dataset not in available():
            raise InputError(f"dataset {entry.dataset!r}: psbench knows none of this name.")
        roots = [root for name, root in self._roots if name in (entry.board, entry.dataset)]
        opened = [self._open(root, entry.dataset, entry.options) for root in roots]
        fitting = [dataset for dataset in opened if dataset.fingerprint == entry.fingerprint]
        return next(iter([*fitting, *opened]), None)

    def _open(self, root: Path, name: str, options: Mapping[str, int]) -> PersonSearchDataset:
        key = root, f"{name} {sorted(options.items())}"
        if key not in self._opened:
            self._opened[key] = load(name, root=root, **options)
        return self._opened[key]


def folders_below(top: Path) -> dict[str, Path]:
    """The predictions folders below a folder, and itself, by the SHA-256 of their manifests; links are not followed."""
    found: dict[str, Path] = {}
    for folder, below, files in os.walk(top):
        below.sort()
        manifest = Path(folder) / MANIFEST
        if MANIFEST in files and manifest.is_file() and not manifest.is_symlink():
            found.setdefault(sha256_of(manifest), Path(folder))
    return found
