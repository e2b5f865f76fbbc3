"""The report of an examination, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from psbench_data.integrity.counting import Count
from psbench_data.integrity.findings import Finding, Severity
from psbench_data.integrity.images import Depth
from psbench_data.integrity.locating import Nearness
from psbench_data.integrity.survey import FileState


@dataclass
class IntegrityReport:
    """What doctor found out about a folder.

    Attributes:
        given: the folder as given.
        root: the dataset's top folder; the folder as given where none was found.
        name: the dataset, None if the folder is none.
        title: its printed name, "" if there is none.
        synthetic: whether it was written by `psbench-data synthesize`.
        variants: how the tree differs from the official one without harm.
        looked_for: where nothing was recognised, how near the folder is to each dataset.
        images: how closely images were looked at: `decode`, `headers` or `skip`.
        protocols: those that can be used.
        files: every expected file.
        counts: scenes, people, queries; each with the published number, if there is one.
        fingerprints: of the splits, as predictions carry them: they do not depend on how files were saved.
        findings: everything that was noticed, errors first.
    """

    given: Path
    root: Path
    name: str | None = None
    title: str = ""
    synthetic: bool = False
    variants: list[str] = field(default_factory=list)
    looked_for: list[Nearness] = field(default_factory=list)
    images: Depth = "decode"
    protocols: list[str] = field(default_factory=list)
    files: list[FileState] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    fingerprints: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether it can be used: both splits could be read, and there is no error."""
        return bool(self.fingerprints) and not self.of_severity("error")

    @property
    def exit_status(self) -> int:
        """Of the command: 0 without errors, 1 with errors. (2 is for a command that was called wrongly.)"""
        return 0 if self.ok else 1

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of every annotation file by its path, to compare two copies."""
        return {file.path: file.sha256 for file in self.files if file.sha256}

    def of_severity(self, severity: Severity) -> Sequence[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def text(self, width: int = 100) -> str:
        """For a terminal of so many columns; of many equal findings the first few."""
        from psbench_data.integrity.text import report_text

        return report_text(self, width)

    def to_json(self) -> str:
        """Everything, with all findings. Paths inside the dataset are relative to its root."""
        try:
            written_by = version("psbench")
        except PackageNotFoundError:
            written_by = "unknown"
        return json.dumps(
            {
                "schema": 1,
                "psbench_version": written_by,
                "ok": self.ok,
                "given": str(self.given),
                "root": str(self.root),
                "name": self.name,
                "title": self.title,
                "synthetic": self.synthetic,
                "variants": self.variants,
                "looked_for": [asdict(entry) for entry in self.looked_for],
                "images": self.images,
                "protocols": self.protocols,
                "files": [asdict(entry) for entry in self.files],
                "counts": [asdict(entry) for entry in self.counts],
                "digests": self.digests,
                "fingerprints": self.fingerprints,
                "findings": [asdict(entry) for entry in self.findings],
            },
            indent=1,
        )
