"""A finding: one thing that doctor noticed, where it is and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from psbench_data.sources.source import Remark

Severity = Literal["error", "warning", "info"]
"""`error`: something cannot be used. `warning`: it can, and is not as it should be. `info`: worth knowing."""

TOPICS = {
    "folder": "the folder",
    "missing-file": "files that are not there",
    "unreadable": "files and folders that cannot be read",
    "annotation": "annotations that cannot be used",
    "reader": "a reader broke",
    "odd-annotation": "odd annotations",
    "count": "counts that differ from the published",
    "missing-image": "images that are not there",
    "empty-image": "images of zero bytes",
    "damaged-image": "images that do not decode",
    "image-size": "images of another size than the list of sizes says",
    "unlisted-image": "images that no scene uses",
    "box-outside": "boxes outside their image",
    "box-over-border": "boxes over the border of their image",
    "box-without-area": "boxes without area",
    "query-without-person": "queries whose person is not annotated in their scene",
    "query-box": "queries whose box is not the person's",
    "unanswerable-query": "queries whose person is in no scene of their gallery",
    "repeated-scene": "galleries that list a scene twice",
    "own-scene": "galleries with the query's own scene",
    "person-twice": "scenes with one person twice",
    "identity-without-box": "identities without a box",
    "identity-with-one-box": "identities with one box",
}
"""What findings are about, as JSON names it and as the text heads it."""


@dataclass(frozen=True)
class Finding:
    """One thing that was noticed.

    Attributes:
        severity: see `Severity`.
        topic: one of TOPICS.
        file: the file, relative to the dataset's root if it is inside.
        where: the row, line or query in it, or "".
        what: what was found, and what was expected.
        remedy: what to do.
    """

    severity: Severity
    topic: str
    file: str
    where: str
    what: str
    remedy: str


_PLACE = re.compile(r"((?:row|line|frame|images|annotations|queries|people|categories|info|the file)\b[^:]*): ")
_REMEDY = re.compile(r"\.\s+(?=[A-Z])")


def relative(file: Path | str, root: Path) -> str:
    """A file's name as findings give it: relative to the root where it is inside, with `/`."""
    try:
        return Path(file).relative_to(root).as_posix()
    except ValueError:
        return str(file)


def finding_of_fault(fault: str, root: Path) -> Finding:
    """A sentence of an InputError, `<path>: <where>: <what>. <remedy>`, in its parts.

    The reverse of what the readers put together. A sentence of another form is kept whole, as `what`.
    """
    # The root itself may contain what divides the parts.
    start = len(str(root)) if fault.startswith(str(root)) else 0
    end = fault.find(": ", start)
    if end < 0:
        return Finding("error", "annotation", ".", "", fault.rstrip("."), "")
    file, rest = fault[:end], fault[end + 2 :]
    place = _PLACE.match(rest)
    if place:
        rest = rest[place.end() :]
    what, *remedy = _REMEDY.split(rest, maxsplit=1)
    where = place[1] if place else ""
    return Finding("error", "annotation", relative(file, root), where, what.rstrip("."), "".join(remedy))


def finding_of_remark(remark: Remark, root: Path, severity: Severity = "warning") -> Finding:
    """Something odd that a reader noted."""
    return Finding(severity, "odd-annotation", relative(remark.file, root), remark.where, remark.what, remark.remedy)


def without_repeats(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, the first time it was met: protocols share files, so one fault can be met by several."""
    return list(dict.fromkeys(findings))


def grouped(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Findings by topic, topics as first met."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.topic, []).append(finding)
    return groups
