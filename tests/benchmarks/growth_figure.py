"""What `test_growth` measured, drawn.

    python -m tests.benchmarks.growth_figure .benchmarks/measured.json docs/growth.png

The first file is what pytest writes with `--benchmark-json`, as `make bench` does; there may be several.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from psbench.reporting.style import INK, SOFT, colour, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = dict[int, float]
_DECADES = 2.9
"""Of both axes of every panel, so that linear growth is as steep everywhere."""
_LINE, _BOUND = colour("seqnet"), colour("glcnet")


class Panel(NamedTuple):
    """A kind of work.

    Attributes:
        title, axis: as printed.
        bound: the most seconds that the largest may take, if that is stated.
    """

    title: str
    axis: str
    bound: float | None = None


PANELS = {
    "evaluation": Panel("Evaluate, 1,000 queries", "scenes"),
    "loading": Panel("Load predictions", "scenes"),
    "prediction": Panel("Predict, without the model", "scenes"),
    "opening": Panel("Open a dataset again", "scenes", bound=1),
    "rendering": Panel("Render a leaderboard", "entries"),
    "board_in_a_browser": Panel("The board in a browser", "entries", bound=2),
}


def curves(benchmarks: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Points]]:
    """By panel and line, the seconds by size; of a size that was measured twice the lesser."""
    found: dict[str, dict[str, Points]] = {}
    for of in benchmarks:
        test = of["name"].partition("[")[0].removeprefix("test_")
        if "test_growth.py" not in of["fullname"] or test not in PANELS:
            continue
        [size], extra, lines = of["params"].values(), of["extra_info"], found.setdefault(test, {})
        if "ratio" in extra:
            measured = {"": {size: extra["kernel_seconds"], 10 * size: of["stats"]["median"]}}
        else:
            measured = {name: {size: seconds} for name, seconds in extra.items() if name != "sort by name"}
        for name, points in measured.items():
            line = lines.setdefault(name, {})
            for at, seconds in points.items():
                line[at] = min(seconds, line.get(at, seconds))
    return found


def draw(found: Mapping[str, Mapping[str, Points]], path: Path) -> None:
    """Write the figure."""
    with styled():
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.06)
        figure = Figure(figsize=(8.4, 5.9), layout=layout)
        for axes, (name, panel) in zip(figure.subplots(2, 3).flat, PANELS.items(), strict=True):
            if name in found:
                _panel(axes, panel, found[name])
            else:
                axes.set_axis_off()
        figure.savefig(path, dpi=150)


def _panel(axes: Axes, panel: Panel, lines: Mapping[str, Points]) -> None:
    sizes = sorted({size for points in lines.values() for size in points})
    seconds = [value for points in lines.values() for value in points.values()]
    middle = (np.log10(min(seconds)) + np.log10(max([*seconds, panel.bound or 0]))) / 2
    low, left = 10 ** (middle - _DECADES / 2), sizes[0] / 10**0.3
    axes.set(xscale="log", yscale="log", xlim=(left, left * 10**_DECADES), ylim=(low, low * 10**_DECADES), box_aspect=1)
    axes.set_title(panel.title, loc="left", fontweight="bold")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    ticks = [10.0**power for power in range(-3, 4) if low <= 10.0**power <= low * 10**_DECADES]
    axes.set_yticks(ticks, [_words(tick) for tick in ticks])
    axes.grid(axis="y")
    axes.set_xlabel(panel.axis, color=SOFT)
    top = max(lines.values(), key=lambda points: points[max(points)])
    linear = [top[max(top)] * size / max(top) for size in sizes]
    axes.plot(sizes, linear, color=SOFT, linewidth=0.9, linestyle=(0, (1, 2)))
    _note(axes, "linear", (sizes[0], linear[0]), (4, -9), SOFT)
    if panel.bound:
        axes.axhline(panel.bound, color=_BOUND, linewidth=0.9)
        _note(axes, f"bound {_words(panel.bound)}", (left, panel.bound), (3, 5), _BOUND)
    for name, points in lines.items():
        at = sorted(points)
        axes.plot(at, [points[size] for size in at], color=_LINE, marker="o", markersize=4, linewidth=1.6)
        _note(axes, f"{name} {_words(points[at[-1]])}".strip(), (at[-1], points[at[-1]]), (6, 0), INK)


def _note(axes: Axes, words: str, at: tuple[float, float], by: tuple[float, float], ink: str) -> None:
    axes.annotate(words, at, by, textcoords="offset points", color=ink, va="center", fontsize=8)


def _words(seconds: float) -> str:
    return np.format_float_positional(seconds, precision=2, fractional=False, trim="-") + " s"


def main(arguments: Sequence[str]) -> None:
    """Read the files and draw."""
    *measured, output = map(Path, arguments)
    benchmarks = [of for path in measured for of in json.loads(path.read_text("utf-8"))["benchmarks"]]
    draw(curves(benchmarks), output)


if __name__ == "__main__":
    main(sys.argv[1:])
