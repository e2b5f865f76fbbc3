"""The course of a training as a picture: losses, learning rate and validation over the steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from psbench.reporting.ends import End, name_ends
from psbench_data.atomic import new_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#c98500", "#3a9bd4", "#7a5195", "#8c6d1f")
"""Okabe and Ito's, which the colour-blind can tell apart, without yellow and darker where white swallows them; two more
for models with many losses."""
_TOTAL, _FAINT, _WORDS = "#111111", "#d5d7da", "#55585d"
_SINGLE, _BINS = 1000, 400
"""So many steps are drawn singly at most; more are put into at most so many bins of ten steps or more."""
_DECADES = 20.0
"""Between the largest and the smallest; from there on a logarithmic scale shows more."""


def write_run_curves(
    steps: pd.DataFrame, validations: pd.DataFrame, path: Path, *, title: str, synthetic: bool
) -> Path:
    """Draw a training; the file appears whole or not at all.

    Args:
        steps: one row a step, at least one, in order: `step` and `epoch` (from 0), `lr`, `loss`, and one column for
            each loss that it is the sum of, with `loss_` in its name.
        validations: one row a validation: `epoch` (from 1), `step`, `protocol`, `map` and `top1` (fractions); may be
            empty.
        path: of the PNG.
        title: of the picture.
        synthetic: whether the data are, which the picture says.

    Returns:
        The path.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    style: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": _WORDS}
    heights = [3.4, 0.9, *([1.3] if len(validations) else [])]
    with mpl.rc_context(style):
        figure = Figure(figsize=(7.6, 1.1 + sum(heights)), dpi=160, layout="constrained")
        panels = figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        panels[0].set_xlim(0, steps["step"].iloc[-1] + 1)
        _mark_epochs(panels, steps)
        _draw_rate(panels[1], steps)
        if len(validations):
            _draw_validations(figure, panels[2], validations)
        note = _draw_losses(figure, panels[0], steps)
        panels[-1].set_xlabel("steps")
        panels[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
        panels[-1].xaxis.set_major_formatter("{x:,.0f}")
        figure.text(0.012, -0.005, note, fontsize=7.5, color=_WORDS, va="top")
        words = f"{title}{' (synthetic data)' if synthetic else ''}"
        figure.suptitle(words, x=0.01, ha="left", fontsize=11, fontweight="bold", parse_math=False)
        with new_file(path) as partial:
            figure.savefig(partial, bbox_inches="tight", metadata={"Software": None})
    return path


def _draw_losses(figure: Figure, axes: Axes, steps: pd.DataFrame) -> str:
    """Each loss as a smooth line over its faint single values or over their spread, the sum of all in black.

    Returns:
        What is to be seen, in words.
    """
    names = [name for name in steps.columns if "loss_" in name]
    single = len(steps) <= _SINGLE
    number = len(steps) if single else min(_BINS, len(steps) // 10)
    bins = np.arange(len(steps)) * number // len(steps)
    at = (steps["step"] + 1).groupby(bins).mean()
    window = max(1, number // 25 if single else max(number // 80, 40 * number // len(steps)))
    binned = {name: steps[name].groupby(bins) for name in [*names, "loss"]}
    smooth = {name: _smoothed(grouped.mean(), window) for name, grouped in binned.items()}
    floor = _scale(axes, np.concatenate([values.to_numpy(float) for values in smooth.values()]))
    ends = []
    for name, colour in [*zip(names, _COLOURS * len(names), strict=False), ("loss", _TOTAL)]:
        if not single:
            low, high = (_smoothed(binned[name].quantile(share), window) for share in (0.1, 0.9))
            axes.fill_between(at, low.clip(floor), high.clip(floor), color=colour, alpha=0.12, linewidth=0)
        elif window > 1:
            axes.plot(at, steps[name].clip(floor), color=colour, linewidth=0.6, alpha=0.25)
        line = smooth[name].clip(floor)
        axes.plot(at, line, color=colour, linewidth=2.0 if name == "loss" else 1.3, **_marker(number))
        words = "sum of all" if name == "loss" else name.replace("loss_", "")
        ends.append(End(float(at.iloc[-1]), float(line.iloc[-1]), words, colour, bold=name == "loss"))
    axes.set_ylabel("losses")
    name_ends(figure, axes, ends)
    faint = "the single steps" if single else "the middle 80 % of single steps"
    return f"Losses: means over {window * len(steps) // number:,} steps, faint {faint}." if window > 1 else ""


def _smoothed(values: pd.Series, window: int) -> pd.Series:
    return values.rolling(window, center=True, min_periods=1).mean()


def _marker(points: int) -> dict[str, Any]:
    """Few points are marked, whole even at the edge."""
    return {"marker": "o", "markersize": 3, "clip_on": False} if points < 20 else {}


def _draw_rate(axes: Axes, steps: pd.DataFrame) -> None:
    axes.plot(steps["step"] + 1, steps["lr"], color=_TOTAL, linewidth=1.2, **_marker(len(steps)))
    _scale(axes, steps["lr"].to_numpy(float))
    axes.set_ylabel("learning\nrate")


def _draw_validations(figure: Figure, axes: Axes, validations: pd.DataFrame) -> None:
    ends = []
    for column, name, colour, marker in (("map", "mAP", _COLOURS[0], "o"), ("top1", "top-1", _COLOURS[1], "s")):
        values = 100 * validations[column]
        axes.plot(
            validations["step"], values, color=colour, linewidth=1.3, marker=marker, markersize=3.5, clip_on=False
        )
        at = float(validations["step"].iloc[-1])
        ends.append(End(at, values.iloc[-1], f"{name} {values.iloc[-1]:.1f}", colour))
    axes.set_ylabel(f"{validations['protocol'].iloc[-1]}\n(%)", parse_math=False)
    axes.grid(axis="y", color=_FAINT, linewidth=0.5)
    name_ends(figure, axes, ends)


def _mark_epochs(panels: Any, steps: pd.DataFrame) -> None:
    """A hairline where an epoch ends, and the numbers of at most twelve of them above."""
    last = steps.groupby("epoch")["step"].max() + 1
    for axes in panels:
        if len(last) <= 60:
            axes.vlines(last[:-1], 0, 1, transform=axes.get_xaxis_transform(), color=_FAINT, linewidth=0.5, zorder=0)
        axes.tick_params(color=_WORDS, labelcolor=_WORDS)
    every = -(-len(last) // 12)
    shown = last[(last.index + 1) % every == 0]
    above = panels[0].secondary_xaxis("top")
    above.set_xticks(shown, [str(epoch + 1) for epoch in shown.index])
    above.tick_params(color=_WORDS, labelcolor=_WORDS, length=3)
    above.spines["top"].set_visible(False)
    above.set_xlabel("epochs", color=_WORDS)


def _scale(axes: Axes, values: np.ndarray) -> float:
    """A logarithmic scale for numbers that differ widely, else one from nought; returns the least that can be drawn."""
    axes.grid(axis="y", color=_FAINT, linewidth=0.5)
    positive = values[values > 0]
    if (values < 0).any():
        return -np.inf
    if not len(positive) or positive.max() < _DECADES * positive.min():
        axes.set_ylim(0, 1.05 * values.max() or 1)
        return 0.0
    floor = positive.min() / 1.5
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylim(floor, positive.max() * 1.3)
    return floor
