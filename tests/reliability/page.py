"""`python -m tests.reliability.page`: write what campaigns found into the tables of docs/reliability.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from psbench_data.atomic import new_file
from tests.reliability.record import Row, read

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_PLACE = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_PACKAGES = ("python", "torch", "numpy")


def with_tables(page: str, rows: Sequence[Row]) -> str:
    """The page, with each campaign's table where it says `<!-- measured: CAMPAIGN -->` and, below, `<!-- end -->`."""
    return _PLACE.sub(lambda at: f"{at[1]}{table([row for row in rows if row.campaign == at[2]])}\n{at[3]}", page)


def table(rows: Sequence[Row]) -> str:
    """Markdown: each fault, how often it was tried, and what happened; below it when, and on what."""
    lines = ["| fault | tried | what happened |", "| --- | --: | --- |"]
    for row in rows:
        happened = "; ".join(f"{count:,} {what}" for what, count in row.outcomes.items() if count)
        wrong = f". **{row.failed:,} ought not to have**" if row.failed else ""
        lines.append(f"| {row.fault} | {row.tried:,} | {happened}{wrong}{row.note and f'. {row.note}'} |")
    if len(rows) > 1:
        lines.append(f"| **all** | **{sum(row.tried for row in rows):,}** | |")
    when = sorted({f"{row.date}, " + ", ".join(f"{of} {row.versions[of]}" for of in _PACKAGES) for row in rows})
    return "\n".join([*lines, "", *(f"{line}.  " for line in when)])


if __name__ == "__main__":
    with new_file(PAGE) as partial:
        partial.write_text(with_tables(PAGE.read_text("utf-8"), read()), "utf-8")
