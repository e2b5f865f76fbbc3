"""Reads everything that a tree's annotations say, and turns what the readers complain of into findings."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from psbench_data import matlab
from psbench_data.errors import InputError, near_names
from psbench_data.integrity.attempting import MisuseError, attempt, is_dir, is_file
from psbench_data.integrity.expected_files import EVERYTHING, IMAGES, NOTHING, ExpectedFile
from psbench_data.integrity.findings import Finding, finding_of_remark, relative
from psbench_data.protocol import Protocol
from psbench_data.registry import open_source
from psbench_data.scenes import Scenes
from psbench_data.sources.search_lists import search_rows
from psbench_data.sources.source import Remark, Source, Split
from psbench_data.sources.text_files import lines


@dataclass
class Annotations:
    """What could be read.

    Attributes:
        source: the reader, None where the folder is not such a tree.
        splits: both splits, or neither.
        usable: where they have faults, what can be looked at all the same.
        protocols: those that could be read.
        findings: what could not, and what was odd.
    """

    source: Source | None = None
    splits: dict[str, Scenes] = field(default_factory=dict)
    usable: dict[str, Scenes] = field(default_factory=dict)
    protocols: dict[str, Protocol] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def read_annotations(
    name: str,
    root: Path,
    expected: Sequence[ExpectedFile],
    *,
    wanted: Sequence[str] | None,
    synthetic: bool,
    progress: bool,
    options: dict[str, Any],
) -> Annotations:
    """Read both splits and the protocols, uncached.

    Args:
        name: the dataset.
        root: its tree.
        expected: its files.
        wanted: the protocols to read; all that have their files if None.
        synthetic: whether the data is drawn.
        progress: whether to show a progress bar.
        options: of the reader.

    Raises:
        InputError: an option or a wanted protocol is unknown.
    """
    from tqdm import tqdm

    read = Annotations()
    options = _possible_options(name, root, expected, options)
    read.source = source = attempt(partial(_open, name, root, options), root, read.findings)
    splits = attempt(source.scenes, root, read.findings) if source else None
    _check_wanted(name, source if splits else None, expected, wanted or ())
    if source is None or splits is None:
        _read_singly(expected, root, read.findings)
        if source:
            read.usable = _opened(source, attempt(source.usable_scenes, root, read.findings) or {})
            read.findings += _remarks(source, root)
        return read
    read.splits = _opened(source, splits)
    available = attempt(source.protocols, root, read.findings) or {}
    # Of one's own data none is there where nobody can be searched for: this one says why.
    names = wanted or available or (["regular"] if name == "coco" else [])
    for protocol in tqdm(names, "protocols", unit="protocol", disable=not progress):
        step = partial(_protocol, source, protocol, read.splits["test"], synthetic)
        if (parsed := attempt(step, root, read.findings)) is not None:
            read.protocols[protocol] = parsed
    _check_unread_training_lists(source, expected, root, read.findings)
    read.findings += _remarks(source, root)
    return read


def _opened(source: Source, splits: dict[str, Split]) -> dict[str, Scenes]:
    return {split: Scenes(part.table, source.image_root, part.identities) for split, part in splits.items()}


def query_file(source: Source, protocol: str) -> Path:
    """The file that a protocol's queries are in."""
    files = source.protocol_files(protocol) or source.scene_files()
    size = protocol.removeprefix("gallery-")
    return next((file for file in files if file.name == f"TestG{size}.mat"), files[0])


def _open(name: str, root: Path, options: dict[str, Any]) -> Source:
    try:
        return open_source(name, root, **options)
    except InputError as error:
        # What is wrong with a tree begins with its path, what is wrong with the options does not.
        if not all(fault.startswith(str(root)) for fault in error.faults):
            raise MisuseError(error) from error
        raise


def _protocol(source: Source, name: str, test: Scenes, synthetic: bool) -> Protocol:
    version = source.protocol_version(name) or 0
    return Protocol(name, source.protocol(name, test), test, dataset=source.name, synthetic=synthetic, version=version)


def _possible_options(
    name: str, root: Path, expected: Iterable[ExpectedFile], options: dict[str, Any]
) -> dict[str, Any]:
    """For MovieNet-CS the smallest training list that is there, where none was asked for."""
    if name != "movienet_cs" or "train_subset" in options:
        return options
    numbers = (re.search(r"Train_app(\d+)\.mat$", file.path) for file in expected if is_file(root / file.path))
    there = sorted(int(match[1]) for match in numbers if match)
    return {**options, "train_subset": there[0]} if there and 10 not in there else options


def _check_wanted(name: str, source: Source | None, expected: Iterable[ExpectedFile], wanted: Collection[str]) -> None:
    """Refuse protocols that do not exist; of one's own data they are only known where it can be read."""
    if not wanted or (name == "coco" and source is None):
        return
    known = {user for file in expected for user in file.needed_by} - {EVERYTHING, IMAGES, NOTHING}
    available = source.protocols() if source else {}
    for protocol in wanted:
        if protocol not in known and (source is None or source.protocol_version(protocol) is None):
            raise InputError(f"no protocol is called {protocol!r}. {near_names(protocol, known | set(available))}")


def _read_singly(expected: Iterable[ExpectedFile], root: Path, findings: list[Finding]) -> None:
    """Where the reader gave up at one file, tell at least which of the others are damaged."""
    told = {finding.file for finding in findings}
    for file in expected:
        path = root / file.path
        parts = sorted(path.glob("*.mat")) if file.kind == "annotations" and is_dir(path) else [path]
        for part in parts:
            if is_file(part) and relative(part, root) not in told and NOTHING not in file.needed_by:
                attempt(partial(_read_alone, part, file), root, findings)


def _read_alone(path: Path, file: ExpectedFile) -> None:
    if path.suffix == ".txt":
        for _ in lines(path):
            pass
    elif path.suffix == ".json":
        from psbench_data.sources.coco_file import read_coco

        read_coco(path, lambda *_: None).require_sound()
    elif path.name.startswith("TestG"):
        # The large ones do not fit into memory at once.
        for _ in search_rows(path, file.variables[0]):
            pass
    elif file.variables:
        matlab.read_any(path, file.variables)


def _check_unread_training_lists(
    source: Source, expected: Iterable[ExpectedFile], root: Path, findings: list[Finding]
) -> None:
    """MovieNet-CS has five training lists of which one is read: the others are at least opened."""
    read = set(source.scene_files())
    for file in expected:
        path = root / file.path
        if path.name.startswith("Train_app") and is_file(path) and path not in read:
            attempt(partial(_read_alone, path, file), root, findings)


def _remarks(source: Source, root: Path) -> list[Finding]:
    return [
        finding_of_remark(remark, root, "info" if _known(source, remark) else "warning") for remark in source.remarks
    ]


def _known(source: Source, remark: Remark) -> bool:
    """Whether the authors' own files have this oddity."""
    return source.name == "cuhk_sysu" and remark.file.name == "Images.mat" and "without area" in remark.what
