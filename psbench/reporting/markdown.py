"""Tables in Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from psbench.reporting.layout import SYNTHETIC, Shown, Text, explanations, label, shown, text
from psbench.reporting.sheet import Line, Sheet


def to_markdown(sheet: Sheet, *, level: int = 1) -> str:
    """A table with heading, explanations and footnotes.

    Args:
        sheet: the table.
        level: of the heading.
    """
    columns = shown(sheet)
    headings = [heading for _, heading in sheet.table.labels] + [_heading(column) for column in columns]
    alignment = [":--"] * len(sheet.table.labels) + ["--:"] * len(columns)
    lines = [markdown_row(headings), markdown_row(alignment)]
    for block in sheet.blocks:
        if block.heading:
            lines.append(markdown_row([f"*{block.heading}*"], len(headings)))
        lines += [markdown_row(_cells(line, columns)) for line in block.lines]
    warning = [f"> **{SYNTHETIC.partition(':')[0]}:**{SYNTHETIC.partition(':')[2]}"] if sheet.synthetic else []
    notes = [f"[{i}] {plain_words(note)}" for i, note in enumerate(sheet.notes, start=1)]
    parts = [f"{'#' * level} {sheet.table.title}", *warning, "\n".join(lines), *explanations(sheet), *notes]
    return "\n\n".join(parts) + "\n"


def _heading(column: Shown) -> str:
    heading = f"{column.columns.heading} {column.metric.heading}".strip()
    return {"published": heading, "measured": f"{heading}, measured", "difference": "Δ"}[column.kind]


def _cells(line: Line, columns: Sequence[Shown]) -> list[str]:
    labels = [plain_words(label(line, i)) for i in range(len(line.labels))]
    return labels + [_cell(text(line, column)) for column in columns]


def _cell(cell: Text) -> str:
    parts = [
        f"**{cell.text}**" if cell.best else cell.text,
        f"({cell.interval})" if cell.interval else "",
        "*synthetic*" if cell.synthetic else "",
        f"[{cell.note}]" if cell.note else "",
    ]
    return " ".join(filter(None, parts))


def markdown_row(cells: Sequence[str], width: int = 0) -> str:
    """A row of a Markdown table, empty cells added up to `width`."""
    cells = [*cells, *[""] * (width - len(cells))]
    return "| " + " | ".join(re.sub(r"\\.|(\|)", _escaped, cell) for cell in cells) + " |"


def _escaped(found: re.Match[str]) -> str:
    return r"\|" if found[1] else found[0]


def plain_words(words: str) -> str:
    """Text of anybody's as plain text of one line: no markup, no HTML, no further cell of a table."""
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(" ".join(words.split()), quote=False))
