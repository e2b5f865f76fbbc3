"""Which of the expected files are there: sizes, numbers of files in folders, digests, and what is missing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from psbench_data.integrity.attempting import is_dir, is_file, unreadable
from psbench_data.integrity.expected_files import EVERYTHING, IMAGES, NOTHING, ExpectedFile
from psbench_data.integrity.findings import Finding, Severity
from psbench_data.sources.image_list_files import IMAGE_SUFFIXES

_DEPTH = 4


@dataclass(frozen=True)
class FileState:
    """An expected file, or folder of many, as it is.

    Attributes:
        path: relative to the root.
        purpose: what it holds.
        needed_by: who needs it, see `ExpectedFile`; empty where it is optional.
        present: whether it is there.
        bytes: its size, of a folder that of all its files together; None where it is missing.
        files: the number of files in a folder; None for a file.
        sha256: of an annotation file; of a folder over the sorted names and digests of its files.
    """

    path: str
    purpose: str
    needed_by: tuple[str, ...]
    present: bool
    bytes: int | None = None
    files: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class FolderListing:
    """The files in a folder and in those below it.

    Attributes:
        sizes: bytes by path, relative to the listed folder, with `/`.
        failed: why folders could not be listed.
    """

    sizes: dict[str, int]
    failed: list[OSError]


def list_folder(folder: Path, suffixes: tuple[str, ...], depth: int = _DEPTH) -> FolderListing:
    """Every file with one of the suffixes (any case), at most so many folders deep."""
    sizes: dict[str, int] = {}
    failed: list[OSError] = []

    def enter(path: Path, prefix: str, levels: int) -> None:
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir() and levels > 1:
                        enter(Path(entry.path), f"{prefix}{entry.name}/", levels - 1)
                    elif entry.name.lower().endswith(suffixes) and not entry.is_dir():
                        # A link that leads nowhere has no size, and counts as empty.
                        sizes[prefix + entry.name] = entry.stat().st_size if entry.is_file() else 0
        except OSError as error:
            failed.append(error)

    enter(folder, "", depth)
    return FolderListing(sizes, failed)


def survey(expected: Sequence[ExpectedFile], root: Path) -> list[FileState]:
    """Look at every expected file."""
    return [_look(file, root) for file in expected]


def missing_files(
    expected: Sequence[ExpectedFile], states: Sequence[FileState], root: Path, wanted: Collection[str]
) -> list[Finding]:
    """The files without which something cannot be used.

    Args:
        expected: the files.
        states: what `survey` said of them.
        root: the tree.
        wanted: the protocols that were asked for; of any other protocol the files may be missing.
    """
    absent = {file.path for file, state in zip(expected, states, strict=True) if not state.present}
    lonely_groups = {
        group: members
        for group in {file.one_of for file in expected if file.one_of}
        if absent.issuperset(members := [file.path for file in expected if file.one_of == group])
    }
    findings = []
    for file in expected:
        # The images are looked at one by one elsewhere.
        if file.path not in absent or IMAGES in file.needed_by:
            continue
        users = [user for user in file.needed_by if user == EVERYTHING or user in wanted]
        group = lonely_groups.get(file.one_of, [])
        if users:
            findings.append(_missing(file, f"needed by {', '.join(users)}", "error"))
        elif group[:1] == [file.path]:
            others = ", ".join(PurePosixPath(path).name for path in group[1:])
            instead = f"this or one of {others} is needed" if others else "needed by every protocol"
            findings.append(_missing(file, instead, "error"))
        elif half := _half_protocols(file, expected, absent):
            findings.append(_missing(file, f"without it the other files of {', '.join(half)} are of no use", "warning"))
    return _with_misplaced(findings, root)


def unreadable_files(states: Sequence[FileState], root: Path) -> list[Finding]:
    """The annotation files that are there and cannot be opened, and the folders that cannot be listed."""
    findings = []
    for state in states:
        if state.present and NOTHING not in state.needed_by and not state.files and not state.sha256:
            try:
                _touch(root / state.path)
            except OSError as error:
                findings.append(unreadable(root / state.path, error, root))
    return findings


def _touch(path: Path) -> None:
    """Raise OSError where a file or folder cannot be read."""
    if path.is_dir():
        next(path.iterdir(), None)
    else:
        path.open("rb").close()


def _look(file: ExpectedFile, root: Path) -> FileState:
    path = root / file.path
    digested = NOTHING not in file.needed_by
    if file.kind == "file":
        if not is_file(path):
            return FileState(file.path, file.purpose, file.needed_by, present=False)
        sha = _sha256(path) if digested else None
        return FileState(file.path, file.purpose, file.needed_by, True, path.stat().st_size, sha256=sha)
    if not is_dir(path):
        return FileState(file.path, file.purpose, file.needed_by, present=False)
    listing = list_folder(path, IMAGE_SUFFIXES if file.kind == "images" else (".mat",))
    digested = file.kind == "annotations" and bool(listing.sizes)
    sha = _folder_sha256(path, sorted(listing.sizes)) if digested else None
    total = sum(listing.sizes.values())
    # A folder that may not be listed is there all the same.
    present = bool(listing.sizes or listing.failed)
    return FileState(file.path, file.purpose, file.needed_by, present, total, len(listing.sizes), sha)


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        # `unreadable_files` tells why.
        return None


def _folder_sha256(folder: Path, names: Sequence[str]) -> str:
    sha = hashlib.sha256()
    for name in names:
        sha.update(f"{name}:{_sha256(folder / name)}\n".encode())
    return sha.hexdigest()


def _half_protocols(file: ExpectedFile, expected: Sequence[ExpectedFile], absent: Collection[str]) -> list[str]:
    """The protocols for which this file is missing and another one is there."""
    return [
        protocol
        for protocol in file.needed_by
        if protocol not in (NOTHING, EVERYTHING)
        and any(protocol in other.needed_by and other.path not in absent for other in expected)
    ]


def _missing(file: ExpectedFile, who: str, severity: Severity) -> Finding:
    return Finding(severity, "missing-file", file.path, "", f"not there ({file.purpose}); {who}", file.remedy)


def _with_misplaced(findings: list[Finding], root: Path) -> list[Finding]:
    """The same findings; where a file of the missing one's name lies elsewhere in the tree, the remedy names it."""
    names = {PurePosixPath(finding.file).name.lower() for finding in findings}
    elsewhere: dict[str, str] = {}
    for folder, folders, files in os.walk(root) if names else ():
        if len(Path(folder).relative_to(root).parts) >= _DEPTH:
            folders.clear()
        for file in names.intersection(map(str.lower, files)):
            written = next(name for name in files if name.lower() == file)
            elsewhere.setdefault(file, (Path(folder) / written).relative_to(root).as_posix())
    return [
        replace(finding, remedy=f"There is {found}: if it is this file, move it to {finding.file}.")
        if (found := elsewhere.get(PurePosixPath(finding.file).name.lower()))
        else finding
        for finding in findings
    ]
