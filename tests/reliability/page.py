"""`python -m tests.reliability.page`: write what campaigns found into the tables of docs/reliability.md."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from psbench_data.atomic import new_file
from tests.reliability.record import Row, read

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_PLACE = re.compile(r"(<!-- measured: (\w+)(, by fault)? -->\n).*?(<!-- end -->)", re.DOTALL)
_VANISHED = re.compile(r".*(?= vanishes while it runs)")
_PACKAGES = ("python", "torch", "numpy")


def with_tables(page: str, rows: Sequence[Row]) -> str:
    """The page with tables in place.

    Args:
        page: says `<!-- measured: CAMPAIGN -->` and, below, `<!-- end -->` where a campaign's table belongs, or
            `<!-- measured: CAMPAIGN, by command -->` or `by fault`, where rows are of a command and a fault each.
        rows: of all campaigns.
    """

    def at(place: re.Match[str]) -> str:
        chosen = [row for row in rows if row.campaign == place[2]]
        return f"{place[1]}{table(_by_fault(chosen) if place[3] else chosen)}\n{place[4]}"

    return _PLACE.sub(at, page)


def _by_fault(rows: Sequence[Row]) -> list[Row]:
    """Rows of "`command`: fault" put together."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        fault = _VANISHED.sub("what it reads", row.fault.partition(": ")[2], count=1)
        groups.setdefault(fault, []).append(row)
    return [
        dataclasses.replace(
            group[-1],
            fault=name,
            tried=sum(row.tried for row in group),
            outcomes=dict(sum((Counter(row.outcomes) for row in group), Counter[str]())),
            failed=sum(row.failed for row in group),
            note="",
        )
        for name, group in groups.items()
    ]


def table(rows: Sequence[Row]) -> str:
    """Markdown: each fault, how often it was tried, and what happened; below it when, and on what."""
    lines = ["| fault | tried | what happened |", "| --- | --: | --- |"]
    for row in rows:
        most_first = sorted(row.outcomes.items(), key=lambda outcome: -outcome[1])
        happened = [f"{count:,} x {what}" for what, count in most_first if count]
        happened += [f"**{row.failed:,} ought not to have**"] if row.failed else []
        lines.append(f"| {row.fault} | {row.tried:,} | {'<br>'.join([*happened, *([row.note] if row.note else [])])} |")
    if len(rows) > 1:
        lines.append(f"| **all** | **{sum(row.tried for row in rows):,}** | |")
    when = sorted({f"{row.date}, " + ", ".join(f"{of} {row.versions[of]}" for of in _PACKAGES) for row in rows})
    return "\n".join([*lines, "", *(f"{line}.  " for line in when)])


if __name__ == "__main__":
    with new_file(PAGE) as partial:
        partial.write_text(with_tables(PAGE.read_text("utf-8"), read()), "utf-8")
