"""The pictures of a report of rankings: curves and histograms, and rankings as a figure for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from psbench.evaluation.precision_recall import DetectionCurve, RetrievalCurve
from psbench.evaluation.spread import Spread
from psbench.reporting.pictures import COLOURS, MarkKind
from psbench.reporting.ranking_rows import Row, Shot
from psbench.reporting.style import INK, SOFT, SYNTHETIC, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 3.7, 2.9
"""Inches of a curve, so that three stand side by side and one fills a small screen."""
_POINTS = 250
_SHOT, _PIXELS = 1.15, 330
"""Inches and pixels of a picture's height in a figure."""
WORDS: dict[MarkKind, str] = {"query": "query", "right": "✓ right", "wrong": "✗ wrong"}


def draw_detection(curve: DetectionCurve, *, det_threshold: float, synthetic: bool) -> Figure:
    """Precision over recall of the detections, and where those stand that the search takes."""
    with styled():
        figure, axes = _panel(synthetic)
        _percentages(axes)
        kept = np.unique(np.linspace(0, len(curve.recall) - 1, min(_POINTS, len(curve.recall))).round().astype(int))
        if len(kept):
            recall, precision = 100 * curve.recall[kept], 100 * curve.precision[kept]
            axes.plot([0, *recall], [precision[0], *precision], color=INK, drawstyle="steps-pre", linewidth=1.5)
        taken = int((curve.thresholds >= det_threshold).sum())
        if taken:
            x, y = 100 * curve.recall[taken - 1], 100 * curve.precision[taken - 1]
            axes.plot(x, y, "D", color=COLOURS["query"], markersize=5, clip_on=False, zorder=3)
            axes.annotate(
                f"searched: score ≥ {det_threshold:g}",
                (x, y),
                xytext=(-7, -11) if x > 50 else (8, -11),
                textcoords="offset points",
                ha="right" if x > 50 else "left",
                fontsize=8,
                color=COLOURS["query"],
            )
    return figure


def draw_retrieval(curve: RetrievalCurve, *, synthetic: bool) -> Figure:
    """Precision over recall of the rankings."""
    with styled():
        figure, axes = _panel(synthetic)
        _percentages(axes)
        edges = np.linspace(0, 1, _POINTS + 1)
        values = 100 * curve.at(edges[1:])
        axes.stairs(values, 100 * edges, color=INK, fill=True, alpha=0.1)
        axes.stairs(values, 100 * edges, color=INK, linewidth=1.5, baseline=None)
    return figure


def draw_spread(spread: Spread, *, synthetic: bool) -> Figure:
    """The similarities of right detections and of wrong ones, each as shares of their own number."""
    looks: dict[MarkKind, tuple[np.ndarray, Any]] = {
        "wrong": (spread.wrong, {"linestyle": "--"}),
        "right": (spread.right, {"linestyle": "-"}),
    }
    with styled():
        figure, axes = _panel(synthetic)
        for kind, (counts, look) in looks.items():
            shares = 100 * counts / max(counts.sum(), 1)
            axes.stairs(shares, spread.edges, color=COLOURS[kind], fill=True, alpha=0.12)
            axes.stairs(
                shares, spread.edges, color=COLOURS[kind], linewidth=1.5, label=f"{kind}: {counts.sum():,}", **look
            )
        axes.set_xlabel("similarity")
        axes.set_ylabel("share of its kind (%)")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        figure.legend(
            *axes.get_legend_handles_labels(),
            loc="outside upper left",
            ncols=2,
            frameon=False,
            fontsize=8,
            borderpad=0,
            columnspacing=1,
            handlelength=1.6,
        )
    return figure


def draw_rankings(rows: Sequence[Row], *, top: int, whole: bool, synthetic: bool) -> Figure:
    """Queries in rows, their most similar detections in columns."""
    from matplotlib.figure import Figure

    with styled():
        width = _SHOT * (1.5 if whole else 1)
        size = (width * (top + 1) + 0.1, (_SHOT + 0.32) * len(rows) + 0.25 * synthetic + 0.05)
        figure = Figure(figsize=size, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)  # type: ignore[union-attr, call-arg]
        grid = figure.subplots(len(rows), top + 1, squeeze=False)
        for axes in grid.ravel():
            axes.set_axis_off()
        for line, row in zip(grid, rows, strict=True):
            _show(line[0], row.shot, f"query {row.query}, AP {100 * row.ap:.0f} %", whole=whole)
            for axes, hit in zip(line[1:], row.hits, strict=False):
                _show(axes, hit.shot, f"{WORDS[hit.shot.mark.kind]} {hit.similarity:.3f}", whole=whole)
        _say_synthetic(figure, synthetic)
    return figure


def _show(axes: Axes, shot: Shot, words: str, *, whole: bool) -> None:
    axes.imshow(np.asarray(shot.draw(_PIXELS, whole=whole)), interpolation="none")
    axes.set_title(words, fontsize=7, color=COLOURS[shot.mark.kind], pad=2, loc="left")


def _panel(synthetic: bool) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    _say_synthetic(figure, synthetic)
    return figure, figure.subplots()


def _say_synthetic(figure: Figure, synthetic: bool) -> None:
    if synthetic:
        figure.suptitle("synthetic data", x=0.99, ha="right", fontsize=8, color=SYNTHETIC)


def _percentages(axes: Axes) -> None:
    axes.set_xlabel("recall (%)")
    axes.set_ylabel("precision (%)")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.grid(axis="both")
    axes.set_axisbelow(True)
    axes.tick_params(labelcolor=SOFT)
