"""Tables as pictures: a line for each method, what is published and what is measured as marks on scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from psbench.reporting.layout import REPORTED_ONLY, Shown, shown
from psbench.reporting.sheet import Line, Number, Sheet
from psbench.reporting.style import GRID, INK, PAPER, QUOTED, SOFT, SYNTHETIC, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ABREAST = 5
"""Panels, at most; more of them stand in fours."""
_LINE, _GAP, _LETTER = 0.24, 0.75, 0.08
"""Inches of a line; of the space above a block, in lines; inches of a name's letter."""
_LEGEND = 6.5
"""Inches that the legend needs in one line."""


def draw_dots(sheet: Sheet, *, title: str) -> Figure:
    """Draw a table: published numbers as rings, measured ones as diamonds with their 95 % intervals.

    Args:
        sheet: the table.
        title: of the picture; may be empty.
    """
    from matplotlib.figure import Figure

    panels = list({column.at: column for column in shown(sheet)}.values())
    places = _places(sheet)
    columns = len(panels) if len(panels) <= _ABREAST else 4
    rows = -(-len(panels) // columns)
    names = _LETTER * max(len(_name(line)) for line in sheet.lines)
    size = (names + 0.4 + max(1.75 * columns, 4), rows * (max(places) * _LINE + 0.85) + 0.7)
    with styled():
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for axes in grid.ravel()[len(panels) :]:
            axes.set_visible(False)
        for axes, column in zip(grid.ravel(), panels, strict=False):
            _panel(axes, sheet.lines, places, column)
        grid[0, 0].set_ylim(max(places) + 0.7, min(places) - 0.7)
        grid[0, 0].set_yticks(places, [_name(line) for line in sheet.lines], parse_math=False)
        for first in grid[:, 0]:
            for tick, line in zip(first.get_yticklabels(), sheet.lines, strict=True):
                tick.set_color(QUOTED if line.reported_only else INK)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", parse_math=False)
        _legend(figure, sheet)
    return figure


def _places(sheet: Sheet) -> list[float]:
    """Where each line stands, from the top: a gap between blocks."""
    places, at = [], 0.0
    for block in sheet.blocks:
        for _ in block.lines:
            at += 1
            places.append(at)
        at += _GAP
    return places


def _name(line: Line) -> str:
    return f"{line.name}{REPORTED_ONLY if line.reported_only else ''}"


def _panel(axes: Axes, lines: Sequence[Line], places: Sequence[float], column: Shown) -> None:
    entry, metric = column.at
    for line, place in zip(lines, places, strict=True):
        number, synthetic = line.entries[entry].numbers[metric], line.entries[entry].synthetic
        axes.axhline(place, color=GRID, linewidth=0.7, zorder=0)
        if number.measured is not None and number.difference is not None:
            axes.plot([float(number.published), number.measured], [place, place], color=SOFT, linewidth=1, zorder=1)
        if number.published:
            edge = QUOTED if line.reported_only else SOFT
            axes.plot(float(number.published), place, "o", color=PAPER, markeredgecolor=edge, markersize=5.5, zorder=2)
        if number.measured is not None:
            _measured(axes, number.measured, number, place, synthetic=synthetic)
    axes.set_title(f"{column.columns.heading}\n{column.metric.heading}", loc="left")
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.08)


def _measured(axes: Axes, value: float, number: Number, place: float, *, synthetic: bool) -> None:
    colour = SYNTHETIC if synthetic else INK
    if number.low is not None and number.high is not None:
        axes.plot([number.low, number.high], [place, place], color=colour, linewidth=1.6, zorder=3)
    look: dict[str, Any] = {"markeredgecolor": colour, "markeredgewidth": 1.4, "markersize": 5.5, "zorder": 4}
    axes.plot(value, place, "D", color=PAPER if synthetic else colour, **look)


def _legend(figure: Figure, sheet: Sheet) -> None:
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"markersize": 5.5, "linewidth": 1.6}
    ring = look | {"marker": "o", "markerfacecolor": PAPER, "markeredgecolor": SOFT, "linestyle": "none"}
    marks = [Line2D([], [], label="published", **ring)]
    if any(e.measurement is not None and not e.synthetic for line in sheet.lines for e in line.entries):
        marks.append(Line2D([], [], marker="D", color=INK, label="measured, 95 % interval", **look))
    if sheet.synthetic:
        words = "measured on synthetic data: not comparable with what is published"
        marks.append(Line2D([], [], marker="D", color=SYNTHETIC, markerfacecolor=PAPER, label=words, **look))
    if sheet.reported_only:
        marks.append(Line2D([], [], linestyle="none", label=f"{REPORTED_ONLY} reported only"))
    # Side by side they are cut off where the picture is narrow.
    abreast = len(marks) if figure.get_figwidth() >= _LEGEND else 1
    figure.legend(handles=marks, loc="outside lower left", ncols=abreast, frameon=False, fontsize=8, handletextpad=0.4)
