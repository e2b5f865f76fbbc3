"""Tables in LaTeX, for the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from psbench.reporting.layout import SYNTHETIC, Shown, Text, explanations, label, shown, text
from psbench.reporting.sheet import Line, Sheet

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    # At the beginning of a line these would belong to the end of the one before.
    **{character: f"{{{character}}}" for character in "[]*"},
    "†": r"\textdagger{}",
    "°": r"\textdegree{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "✓": r"$\checkmark$",
    "Δ": r"$\Delta$",
}
_END = r" \\"


def to_latex(sheet: Sheet) -> str:
    """A floating table, no wider than the page, and what was measured below; needs booktabs, graphicx and amssymb."""
    columns, labels = shown(sheet), [heading for _, heading in sheet.table.labels]
    width = len(labels) + len(columns)
    lines = []
    for block in sheet.blocks:
        if block is not sheet.blocks[0]:
            lines.append(r"\midrule")
        if block.heading:
            lines.append(rf"\multicolumn{{{width}}}{{@{{}}l}}{{\textit{{{escaped(block.heading)}}}}}" + _END)
        lines += [_line(line, columns) for line in block.lines]
    caption = f"{sheet.table.title}. {SYNTHETIC}" if sheet.synthetic else f"{sheet.table.title}."
    notes = [f"[{i}] {note}" for i, note in enumerate(sheet.notes, start=1)]
    return "\n".join(
        [
            "% Needs \\usepackage{booktabs}, \\usepackage{graphicx} and \\usepackage{amssymb}.",
            r"\begin{table*}",
            r"\centering\small",
            rf"\caption{{{escaped(caption)}}}",
            rf"\label{{tab:{sheet.table.name}}}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{@{{}}{'l' * len(labels)}{'r' * len(columns)}@{{}}}}",
            r"\toprule",
            *_headings(labels, columns),
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\par\medskip\begin{minipage}{\textwidth}\footnotesize",
            *(escaped(words) + r"\par" for words in explanations(sheet)),
            r"\end{minipage}",
            r"\end{table*}",
            *_below(notes),
            "",
        ]
    )


def _below(notes: Sequence[str]) -> list[str]:
    """Beneath the float, which could not be broken where there are more notes than a page holds."""
    if not notes:
        return []
    return [r"{\footnotesize\parindent=0pt", *(escaped(words) + r"\par" for words in notes), "}"]


def _headings(labels: Sequence[str], columns: Sequence[Shown]) -> list[str]:
    """Datasets above metrics, each spanning its columns, above what of them is shown."""
    empty, rules, spans, at = [""] * len(labels), [], [], len(labels) + 1
    for heading, group in groupby(columns, key=lambda column: column.columns.heading):
        number = len(list(group))
        spans.append(rf"\multicolumn{{{number}}}{{c}}{{{escaped(heading)}}}")
        rules.append(rf"\cmidrule(lr){{{at}-{at + number - 1}}}")
        at += number
    metrics = [escaped(column.metric.heading) if column.kind != "difference" else "" for column in columns]
    rows = [" & ".join([*empty, *spans]) + _END, "".join(rules), " & ".join([*map(escaped, labels), *metrics]) + _END]
    kinds = [escaped(column.heading) for column in columns]
    return [*rows, " & ".join([*empty, *kinds]) + _END] if any(kinds) else rows


def _line(line: Line, columns: Sequence[Shown]) -> str:
    labels = [escaped(label(line, i)) for i in range(len(line.labels))]
    return " & ".join([*labels, *(_cell(text(line, column)) for column in columns)]) + _END


def _cell(cell: Text) -> str:
    number = rf"\textbf{{{escaped(cell.text)}}}" if cell.best else escaped(cell.text)
    below = [
        rf"{{\scriptsize {escaped(cell.interval)}}}" if cell.interval else "",
        r"{\scriptsize\itshape synthetic}" if cell.synthetic else "",
    ]
    stacked = [number + (rf"\textsuperscript{{{cell.note}}}" if cell.note else ""), *filter(None, below)]
    if len(stacked) == 1:
        return stacked[0]
    return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{(_END + '[-2pt]').join(stacked)}\end{{tabular}}"


def escaped(words: str) -> str:
    """Text as LaTeX takes it."""
    return re.sub(r".", lambda match: _ESCAPES.get(match[0], match[0]), " ".join(words.split()))
