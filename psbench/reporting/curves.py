"""Tables as curves: each method's numbers along an axis, published ones and measured ones in one style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from psbench.reporting.ends import End, name_ends, name_where
from psbench.reporting.layout import REPORTED_ONLY
from psbench.reporting.sheet import Line, Number, Sheet
from psbench.reporting.style import INK, PAPER, SOFT, SYNTHETIC, colour, styled
from psbench.reporting.table import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["published", "measured", "synthetic"]
_WIDTH, _HEIGHT = 5.2, 3.7
"""Inches of a panel."""
_DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Point:
    """A point of a curve, and the ends of its 95 % interval."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """A method's numbers along the axis.

    Attributes:
        gid: id of what is drawn of it.
        name: of the method.
        kind: where the numbers come from.
        reported_only: whether they can only be quoted.
        points: by x.
    """

    gid: str
    name: str
    kind: Kind
    reported_only: bool
    points: tuple[Point, ...]

    @property
    def colour(self) -> str:
        """Of the method's system."""
        return colour(self.name, alone=self.reported_only)


@dataclass(frozen=True)
class Panel:
    """Curves that are comparable: of one metric, and either all synthetic or none."""

    title: str
    metric: str
    curves: tuple[Curve, ...]


def panels(sheet: Sheet) -> list[Panel]:
    """What there is to draw; a panel with a single point says nothing that the table does not."""
    axis = sheet.table.axis
    assert axis is not None, "curves have an axis"
    found: dict[tuple[str, str, bool], dict[tuple[str, Kind], list[tuple[Line, Point]]]] = {}
    for line in sheet.lines:
        for columns, entry in zip(sheet.table.columns, line.entries, strict=True):
            x = columns.x if not axis.label else _number(sheet, line, axis)
            # The demo's galleries are called as the paper's, and are smaller.
            searched = x if axis.label else getattr(entry.measurement, "gallery_size", x)
            for metric, number in zip(columns.metrics, entry.numbers, strict=True):
                for kind, point in _points(x, searched, number, synthetic=entry.synthetic):
                    panel = (columns.heading if axis.label else "", metric.heading, kind == "synthetic")
                    found.setdefault(panel, {}).setdefault((line.name, kind), []).append((line, point))
    drawn: list[Panel] = []
    for (heading, measure, synthetic), curves in found.items():
        gids = (f"p{len(drawn)}-c{c}" for c in range(len(curves)))
        own = tuple(_curve(gid, *key, points) for gid, (key, points) in zip(gids, curves.items(), strict=True))
        drawn.append(Panel(_title(heading, measure, synthetic), measure, own))
    return [panel for panel in drawn if sum(len(curve.points) for curve in panel.curves) > 1]


def _number(sheet: Sheet, line: Line, axis: Axis) -> float | None:
    value = line.values[[key for key, _ in sheet.table.labels].index(axis.label)]
    return float(value) if value else None


def _points(x: float | None, searched: float | None, number: Number, *, synthetic: bool) -> list[tuple[Kind, Point]]:
    points: list[tuple[Kind, Point]] = []
    if number.published and x is not None:
        points.append(("published", Point(x, float(number.published))))
    if number.measured is not None and searched is not None:
        kind: Kind = "synthetic" if synthetic else "measured"
        points.append((kind, Point(searched, number.measured, number.low, number.high)))
    return points


def _title(heading: str, metric: str, synthetic: bool) -> str:
    of = f"{heading}, {metric}" if heading else metric
    return f"{of} on synthetic data" if synthetic else of


def _curve(gid: str, name: str, kind: Kind, points: Sequence[tuple[Line, Point]]) -> Curve:
    ordered = tuple(sorted((point for _, point in points), key=lambda point: point.x))
    return Curve(gid, name, kind, points[0][0].reported_only, ordered)


def draw_curves(sheet: Sheet, *, title: str) -> Figure:
    """Draw a table's curves, each metric in a panel, synthetic data in panels of their own; the title may be empty."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    drawn, axis = panels(sheet), sheet.table.axis
    assert axis is not None, "curves have an axis"
    columns = min(len(drawn), 2) or 1
    rows = -(-len(drawn) // columns) or 1
    with styled():
        height = _HEIGHT * rows + 0.7
        # Below is room for words, which the layout does not count.
        layout = ConstrainedLayoutEngine(rect=(0, 0.28 / height, 1, 1 - 0.28 / height))
        figure = Figure(figsize=(_WIDTH * columns + 0.2, height), layout=layout)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid[len(drawn) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid, drawn, strict=False):
            _draw(figure, axes, panel, axis)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", parse_math=False)
        figure.text(0.012, 0.06 / height, _words(drawn), fontsize=7.5, color=SOFT, va="bottom")
    return figure


def _draw(figure: Figure, axes: Axes, panel: Panel, axis: Axis) -> None:
    ends, dashes = [], _dashes(panel)
    for curve in panel.curves:
        x, y = [point.x for point in curve.points], [point.y for point in curve.points]
        _intervals(axes, curve)
        axes.plot(x, y, gid=curve.gid, linestyle=dashes[curve.name], **_marks(curve))
        name = f"{curve.name}{REPORTED_ONLY}" if curve.reported_only else curve.name
        words = f"{name}, measured" if curve.kind == "measured" else name
        ends.append(End(x[-1], y[-1], words, curve.colour, bold=curve.kind != "published", gid=f"{curve.gid}-name"))
    places = sorted({point.x for curve in panel.curves for point in curve.points})
    if axis.logarithmic:
        axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.minorticks_off()
    axes.set_xlabel(axis.heading)
    axes.set_ylabel(f"{panel.metric} (%)")
    axes.grid(axis="y")
    axes.set_title(panel.title, loc="left", color=SYNTHETIC if panel.title.endswith("synthetic data") else INK)
    name_ends(figure, axes, [end for end in ends if end.x == places[-1]])
    name_where(axes, [end for end in ends if end.x < places[-1]])


def _dashes(panel: Panel) -> dict[str, str]:
    """Variants of one system share its colour: the plain one, whose name is shortest, is drawn solid."""
    names = sorted({curve.name for curve in panel.curves}, key=lambda name: (len(name), name))
    dashes: dict[str, str] = {}
    for name in names:
        before = sum(colour(other) == colour(name) for other in dashes)
        dashes[name] = _DASHES[before % len(_DASHES)]
    return dashes | {curve.name: "-" for curve in panel.curves if curve.reported_only}


def _marks(curve: Curve) -> dict[str, Any]:
    """How a curve's line and points look."""
    if curve.kind == "published":
        front = 1 if curve.reported_only else 2
        return {"color": curve.colour, "linewidth": 1.2, "marker": "o", "markersize": 3.5, "zorder": front}
    face = PAPER if curve.kind == "synthetic" else curve.colour
    return {
        "color": curve.colour,
        "linewidth": 1.9,
        "marker": "D",
        "markersize": 4.5,
        "markerfacecolor": face,
        "zorder": 3,
    }


def _intervals(axes: Axes, curve: Curve) -> None:
    known = [(p.x, p.low, p.high) for p in curve.points if p.low is not None and p.high is not None]
    if known:
        x, low, high = zip(*known, strict=True)
        axes.vlines(x, low, high, color=curve.colour, linewidth=0.9, alpha=0.6, gid=f"{curve.gid}-intervals")


def _words(drawn: Sequence[Panel]) -> str:
    kinds = {curve.kind for panel in drawn for curve in panel.curves}
    words = ["Thin lines, dots: published." if "published" in kinds else ""]
    words += ["Thick lines, diamonds: measured, with 95 % intervals." if kinds - {"published"} else ""]
    words += ["Hollow: on synthetic data, not comparable with what is published." if "synthetic" in kinds else ""]
    quoted = any(curve.reported_only for panel in drawn for curve in panel.curves)
    words += [f"Grey{REPORTED_ONLY}: reported only." if quoted else ""]
    return " ".join(filter(None, words))
