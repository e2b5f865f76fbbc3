"""Names of lines at their right ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class End(NamedTuple):
    """Where a line ends, what it is called, and how that is written; `gid` is the id of what is drawn."""

    x: float
    y: float
    name: str
    colour: str
    bold: bool = False
    gid: str | None = None


def name_ends(figure: Figure, axes: Axes, ends: Sequence[End]) -> None:
    """Name each line right of the axes, the names moved apart where the ends lie close."""
    if not ends:
        return
    # Settles the limits, which the places depend on.
    axes.autoscale_view()
    ends = sorted(ends, key=lambda end: end.y)
    place = axes.transAxes.inverted()
    heights = [place.transform(axes.transData.transform((end.x, end.y)))[1] for end in ends]
    gap = 10 / 72 * figure.dpi / axes.bbox.height
    leader = {"arrowstyle": "-", "linewidth": 0.5, "shrinkA": 1, "shrinkB": 2, "relpos": (0, 0.5)}
    places = apart(np.array(heights), gap)
    for end, height in zip(ends, places - min(0, places[0]), strict=True):
        name = axes.annotate(
            end.name,
            xy=(end.x, end.y),
            xytext=(1.03, height),
            textcoords="axes fraction",
            annotation_clip=False,
            color=end.colour,
            fontsize=8,
            fontweight="bold" if end.bold else "normal",
            va="center",
            arrowprops=leader | {"color": end.colour},
            gid=end.gid,
            parse_math=False,
        )
        assert name.arrow_patch is not None
        name.arrow_patch.set_gid(end.gid and f"{end.gid}-leader")


def name_where(axes: Axes, ends: Sequence[End]) -> None:
    """Name each line where it ends, for those that end before the others."""
    for end in ends:
        axes.annotate(
            end.name,
            xy=(end.x, end.y),
            xytext=(7, 0),
            textcoords="offset points",
            color=end.colour,
            fontsize=8,
            fontweight="bold" if end.bold else "normal",
            va="center",
            gid=end.gid,
            parse_math=False,
        )


def apart(values: np.ndarray, gap: float) -> np.ndarray:
    """Ascending values moved as little as needed to stand `gap` apart: crowded neighbours share the way evenly."""
    places = values.copy()
    for _ in range(500):
        push = np.clip(gap - np.diff(places), 0, None) / 2
        places[:-1] -= push
        places[1:] += push
    return places
