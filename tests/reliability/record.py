"""What campaigns found, kept in `measured.json` beside this file; docs/reliability.md shows it as tables."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from psbench.hardware import versions
from psbench_data.atomic import new_file

MEASURED = Path(__file__).with_name("measured.json")


@dataclass(frozen=True)
class Row:
    """One fault that was tried many times.

    Attributes:
        campaign: the subcommand of `python -m tests.reliability` that tried it.
        fault: what was done to what, as the table prints it: "`psbench train` killed".
        tried: how often.
        outcomes: how often each thing happened, in the words of the table; they add up to `tried`.
        failed: how many of them ought not to have happened.
        note: what a reader must know to understand the row, or nothing.
        date: YYYY-MM-DD.
        versions: of what it ran on.
    """

    campaign: str
    fault: str
    tried: int
    outcomes: dict[str, int]
    failed: int = 0
    note: str = ""
    date: str = field(default_factory=lambda: datetime.date.today().isoformat())
    versions: dict[str, str] = field(default_factory=versions)

    def __post_init__(self) -> None:
        """Refuse a row whose numbers do not belong together."""
        if sum(self.outcomes.values()) != self.tried or not 0 <= self.failed <= self.tried:
            raise ValueError(f"{self.fault}: tried {self.tried}, {self.outcomes}, {self.failed} failed")


def read(path: Path = MEASURED) -> list[Row]:
    """All rows, in the table's order; none where nothing was measured yet."""
    return [Row(**row) for row in json.loads(path.read_text("utf-8"))] if path.exists() else []


def keep(rows: Iterable[Row], path: Path = MEASURED) -> None:
    """Put rows in the place of those of the same campaign and fault, and new ones behind the others."""
    kept = {(row.campaign, row.fault): row for row in read(path)} | {(row.campaign, row.fault): row for row in rows}
    with new_file(path) as partial:
        text = json.dumps([dataclasses.asdict(row) for row in kept.values()], indent=1, ensure_ascii=False)
        partial.write_text(text + "\n", "utf-8")
