"""What doctor says of a folder before it looks into a tree: where the tree is, or how near the folder is to one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from psbench_data.integrity.findings import Finding
from psbench_data.sources.layouts import TITLES, Located, traits_of


@dataclass(frozen=True)
class Nearness:
    """How near a folder is to a dataset's tree: the labels of the traits that it has, and of those it lacks."""

    title: str
    present: list[str]
    absent: list[str]


def nearness(root: Path, only: str | None = None) -> list[Nearness]:
    """How near a folder is to each dataset, or to one."""
    return [Nearness(title, *traits_of(root, name)) for name, title in TITLES.items() if only in (None, name)]


def about_folder(given: Path, place: Located) -> list[Finding]:
    """What is wrong with the folder as it was given."""
    return [Finding("error", "folder", str(given), "", place.what, place.remedy)] if place.what else []
