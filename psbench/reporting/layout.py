"""How a table is laid out, whatever the format: which columns are shown, what their cells say, what is said below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from psbench.reporting.sheet import Line, Sheet
from psbench.reporting.table import Columns, Metric

Kind = Literal["published", "measured", "difference"]
SYNTHETIC = (
    "Synthetic data: numbers marked so were measured on drawn people with small networks. They show that everything "
    "runs, and say nothing about the real data or the published numbers."
)
REPORTED_ONLY = "°"
_HEADINGS: dict[Kind, str] = {"published": "published", "measured": "measured", "difference": "Δ"}


@dataclass(frozen=True)
class Shown:
    """A column that is shown.

    Attributes:
        at: its place among the table's columns, and there among the metrics.
        columns, metric: of the table.
        kind: which of its numbers.
        heading: of the kind; "" where nothing is measured and all is published.
    """

    at: tuple[int, int]
    columns: Columns
    metric: Metric
    kind: Kind
    heading: str


@dataclass(frozen=True)
class Text:
    """What a cell says.

    Attributes:
        text: the number; "" for nothing.
        best: of its block.
        interval: its 95 % interval; "" for none.
        synthetic: whether it was measured on synthetic data.
        note: number of its footnote.
    """

    text: str = ""
    best: bool = False
    interval: str = ""
    synthetic: bool = False
    note: int | None = None


def shown(sheet: Sheet) -> list[Shown]:
    """The columns of numbers: published, measured, difference for each metric, but for those that would be empty."""
    found = []
    for c, columns in enumerate(sheet.table.columns):
        for m, metric in enumerate(columns.metrics):
            numbers = [line.entries[c].numbers[m] for line in sheet.lines]
            there: dict[Kind, bool] = {
                "published": any(number.published for number in numbers),
                "measured": any(number.measured is not None for number in numbers),
                "difference": any(number.difference is not None for number in numbers),
            }
            found += [
                Shown((c, m), columns, metric, kind, _HEADINGS[kind] if sheet.measured else "")
                for kind, is_there in there.items()
                if is_there
            ]
    return found


def text(line: Line, column: Shown) -> Text:
    """What the cell of a line says."""
    entry = line.entries[column.at[0]]
    number, digits = entry.numbers[column.at[1]], column.metric.digits
    if column.kind == "published":
        return Text(number.published, number.published_best)
    if column.kind == "difference":
        # A minus sign is as wide as a plus; a hyphen is not.
        signed = "" if number.difference is None else f"{number.difference:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
        return Text(signed)
    if number.measured is None:
        return Text()
    has_interval = number.low is not None and number.high is not None
    interval = f"{number.low:.{digits}f}\N{EN DASH}{number.high:.{digits}f}" if has_interval else ""
    return Text(f"{number.measured:.{digits}f}", number.measured_best, interval, entry.synthetic, entry.note)


def label(line: Line, at: int) -> str:
    """What a label column says of a line; the first marks what can only be quoted."""
    mark = REPORTED_ONLY if line.reported_only and at == 0 else ""
    return f"{line.labels[at]}{mark}"


def explanations(sheet: Sheet) -> list[str]:
    """What has to be known to read the table, a paragraph each."""
    numbers = [number for line in sheet.lines for entry in line.entries for number in entry.numbers]
    sources = "; ".join(dict.fromkeys(source.words for source in sheet.table.sources))
    reading = ["mAP and top-1 in percent."] if any(c.cell for c in sheet.table.columns) else []
    if any(number.published_best or number.measured_best for number in numbers):
        ours = ", of measured numbers among themselves" if sheet.measured else ""
        reading.append(f"Bold: the best of a block{ours}.")
    if any(number.difference is not None for number in numbers):
        reading.append("Δ: measured less published.")
    if any(number.low is not None for number in numbers):
        reading.append("Ranges: 95 % intervals over the choice of people searched for.")
    if sheet.reported_only:
        reading.append(f"{REPORTED_ONLY} reported only: psbench has no such method.")
    told = [f"Published: {sources}.", " ".join(reading), *sheet.table.remarks]
    if sheet.bold:
        told.append("Bold is computed, not copied: " + " ".join(sheet.bold))
    return [paragraph for paragraph in told if paragraph]
