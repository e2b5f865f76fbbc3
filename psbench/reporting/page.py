"""Tables as pages that need nothing beside them: numbers, pictures, and curves that answer the pointer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from psbench.reporting.curves import draw_curves, panels
from psbench.reporting.dots import draw_dots
from psbench.reporting.layout import SYNTHETIC, Shown, explanations, label, shown, text
from psbench.reporting.pages import rendered
from psbench.reporting.sheet import Sheet
from psbench.reporting.style import css_colours, inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Span:
    """A heading over some columns."""

    words: str
    width: int


@dataclass(frozen=True)
class Section:
    """A table, ready for the page; each row of it is a block's heading, or labels and cells."""

    name: str
    title: str
    synthetic: bool
    labels: tuple[str, ...]
    groups: tuple[Span, ...]
    metrics: tuple[Span, ...]
    kinds: tuple[tuple[str, str], ...]
    columns: int
    blocks: tuple[Any, ...]
    explanations: tuple[str, ...]
    notes: tuple[str, ...]
    picture: str
    curves: str


def to_page(sheets: Sequence[Sheet], *, title: str) -> str:
    """A page of tables, several of them below a list.

    Args:
        sheets: the tables.
        title: of the page.
    """
    sections = [_section(sheet) for sheet in sheets]
    return rendered("tables.html", title=title, sections=sections, warning=SYNTHETIC, colours=css_colours())


def figure_of(sheet: Sheet, *, title: str) -> Figure | None:
    """A table's picture, curves where it has an axis; None where there is nothing to draw."""
    if sheet.table.axis:
        return draw_curves(sheet, title=title) if panels(sheet) else None
    return draw_dots(sheet, title=title) if shown(sheet) else None


def _section(sheet: Sheet) -> Section:
    columns, name, figure = shown(sheet), sheet.table.name, figure_of(sheet, title="")
    return Section(
        name=name,
        title=sheet.table.title,
        synthetic=sheet.synthetic,
        labels=tuple(heading for _, heading in sheet.table.labels),
        groups=_spans([(column.columns.heading, column.columns.heading) for column in columns]),
        metrics=_spans([(str(column.at), column.metric.heading) for column in columns]),
        kinds=tuple((column.kind, column.heading) for column in columns) if sheet.measured else (),
        columns=len(columns),
        blocks=tuple(_block(sheet, b, columns) for b in range(len(sheet.blocks))),
        explanations=tuple(explanations(sheet)),
        notes=sheet.notes,
        picture=inline_svg(figure, name) if figure else "",
        curves=_curves(sheet) if figure and sheet.table.axis else "",
    )


def _spans(headings: Sequence[tuple[str, str]]) -> tuple[Span, ...]:
    """Equal headings that stand side by side as one; each is what tells it from its neighbours, and its words."""
    grouped = [list(group) for _, group in groupby(headings, key=lambda heading: heading[0])]
    return tuple(Span(group[0][1], len(group)) for group in grouped)


def _block(sheet: Sheet, at: int, columns: Sequence[Shown]) -> dict[str, Any]:
    block = sheet.blocks[at]
    rows = [
        {
            "labels": [label(line, i) for i in range(len(line.labels))],
            "cells": [{"kind": column.kind, "says": text(line, column)} for column in columns],
            "reported_only": line.reported_only,
        }
        for line in block.lines
    ]
    return {"heading": block.heading, "rows": rows}


def _curves(sheet: Sheet) -> str:
    """What the page's script has to know of each curve, as JSON that is safe within HTML."""
    axis = sheet.table.axis
    curves = [
        {
            "id": f"{sheet.table.name}-{curve.gid}",
            "name": curve.name,
            "kind": curve.kind,
            "metric": panel.metric,
            "axis": axis.heading if axis else "",
            "colour": f"var(--c{curve.colour[1:]})",
            "points": [[point.x, point.y, point.low, point.high] for point in curve.points],
        }
        for panel in panels(sheet)
        for curve in panel.curves
    ]
    return json.dumps(curves).replace("<", "\\u003c")
