"""What a model looked at, as pictures: the points it pools, how active its maps are, and what each feature gathers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from psbench.sight import Level, Sight
from psbench_data.atomic import new_file
from psbench_data.names import harmless

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Frame = tuple[float, float, float, float]
"""What is shown of a picture: left, top, right and bottom, pixels."""

_MARKERS, _COLOURS = "os^DvP", ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Of the sets of points; Okabe and Ito's colours, which the colour-blind can tell apart."""
_LIGHT, _DARK, _WORDS, _OUTSIDE = "#ffffff", "#111111", "#55585d", "#e6e7e9"
_HEAT = "inferno"
_WEIGHT = "#ff9d00"
_WIDTH, _ASPECT = 7.6, 0.6
"""Of a picture, inches; and what is shown of a person, its width over its height."""
_UNSAID: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Creator": None, "Date": None},
    ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
"""What would be written into each kind of file, besides the drawing."""
_GREY = (0.299, 0.587, 0.114)
"""How bright red, green and blue are (ITU-R BT.601)."""


def draw_points(picture: np.ndarray, sight: Sight, path: Path, *, title: str, people: int) -> Path:
    """Draw the points that people's features are pooled from; the file appears whole or not at all.

    Args:
        picture: (H, W, 3) uint8, RGB.
        sight: of this picture, with at least one person.
        path: of the file; its ending says of which kind: png, svg or pdf.
        title: of the drawing.
        people: how many to draw at most, the most certain.

    Returns:
        The path.
    """
    from matplotlib.lines import Line2D

    people = min(people, len(sight))
    columns = min(max(people, 3), 4)
    figure, panels = _figure(-(-people // columns), columns, 1 / _ASPECT, words=0.65)
    for axes in panels[people:]:
        axes.set_visible(False)
    # Markers go round before colours do, so that no two sets look alike.
    kinds = [(_MARKERS[n % 6], _COLOURS[(n + n // 6) % 6]) for n in range(int(sight.sets.max()) + 1)]
    drawn: dict[str, Any] = {"linestyle": "none", "markersize": 6.5, "markeredgecolor": _LIGHT, "markeredgewidth": 0.9}
    for n, axes in enumerate(panels[:people]):
        _show(axes, picture, _around(sight.boxes[n].reshape(2, 2), sight.points[n]))
        _mark_box(axes, sight, n)
        _mark_location(axes, sight, n)
        axes.set_title(f"score {sight.scores[n]:.2f}", loc="right", fontsize=8, color=_WORDS)
        for number, (marker, colour) in enumerate(kinds):
            x, y = sight.points[n, sight.sets == number].T
            axes.plot(x, y, marker=marker, color=colour, **drawn)
    keys = [
        Line2D([], [], marker=marker, color=colour, label=f"points of set {number + 1} of {len(kinds)}", **drawn)
        for number, (marker, colour) in enumerate(kinds)
    ]
    keys.append(Line2D([], [], marker="x", color=_DARK, linestyle="none", label="location of the detection"))
    figure.legend(handles=keys, loc="outside lower left", ncols=len(keys), fontsize=8, frameon=False, handletextpad=0.2)
    return _save(figure, path, title)


def draw_activation(picture: np.ndarray, sight: Sight, path: Path, *, title: str, people: int) -> Path:
    """Draw all people found, the first ones numbered, and how active the maps are that they are found by.

    The arguments are those of `draw_points`; there may be nobody.
    """
    height, width = picture.shape[:2]
    figure, (found, *active) = _figure(1, 3, height / width, words=0.6)
    _show(found, picture, (0, 0, width, height))
    found.set_title("(a) people found", loc="left", fontsize=9)
    values = {
        "(b) re-ID features": [level.reid for level in sight.pyramid],
        "(c) detection features": [level.detection for level in sight.pyramid],
    }
    for axes, (name, of_levels) in zip(active, values.items(), strict=True):
        maps = [_spread(level, x, (0, 0, width, height)) for level, x in zip(sight.pyramid, of_levels, strict=True)]
        axes.imshow(np.sum(maps, axis=0), cmap=_HEAT, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
        axes.set_title(name, loc="left", fontsize=9)
    for n in reversed(range(len(sight))):
        _mark_box(found, sight, n, numbered=n < people)
    _note(figure, "(b), (c): lengths of the maps' vectors, summed over the levels; the brighter, the longer.")
    return _save(figure, path, title)


def draw_attention(picture: np.ndarray, sight: Sight, path: Path, *, title: str, people: int) -> Path:
    """Draw which locations people's features are gathered from, on all levels together and on each.

    The arguments are those of `draw_points`; the model gathers.
    """
    assert sight.attention is not None, "the model gathers nothing"
    people = min(people, len(sight))
    columns = 2 + len(sight.pyramid)
    figure, panels = _figure(people, columns, 1 / _ASPECT, words=0.85)
    # Pale, so that what lies on it is seen.
    grey = np.repeat((90 + 0.65 * (picture @ _GREY))[..., None], 3, axis=2).astype(np.uint8)
    for n in range(people):
        person, every, *single = panels[n * columns : (n + 1) * columns]
        frame = _around(sight.boxes[n].reshape(2, 2))
        for axes in (person, every, *single):
            _show(axes, picture if axes is person else grey, frame)
        _mark_location(person, sight, n)
        weights = [x[n] for x in sight.attention]
        greatest = max(float(x.max()) for x in weights) or 1.0
        # Of a pixel, what its location has, divided among the location's pixels.
        maps = [_spread(level, x, frame, whole=True) for level, x in zip(sight.pyramid, weights, strict=True)]
        density = np.sum([x / np.prod(level.step) for level, x in zip(sight.pyramid, maps, strict=True)], axis=0)
        _cover(every, density / (density.max() or 1), frame)
        every.set_title("all levels", loc="left", fontsize=8)
        for axes, level, x, of_level in zip(single, sight.pyramid, maps, weights, strict=True):
            _cover(axes, x / greatest, frame)
            axes.plot(*level.places[of_level > 0].T, ".", color=_DARK, markersize=1.5)
            axes.set_title(f"{level.name}: {of_level.sum():.0%}", loc="left", fontsize=8)
        for axes in (person, every, *single):
            _mark_box(axes, sight, n)
    _note(
        figure,
        "Dots: locations that count for the person. Orange: their weights, each in its cell, the denser the greater "
        "(of all levels by area).\nPercent: what comes from the level.",
    )
    return _save(figure, path, title)


def _figure(rows: int, columns: int, tall: float, *, words: float) -> tuple[Figure, list[Axes]]:
    """Panels without axes; `tall` is their height over their width, `words` the inches above and below them all."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    width = _WIDTH / columns - 0.08
    layout = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04, wspace=0, hspace=0)
    figure = Figure(figsize=(_WIDTH, words + rows * (width * tall + 0.27)), dpi=200, layout=layout)
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axes in panels:
        axes.set(xticks=[], yticks=[], facecolor=_OUTSIDE)
        axes.spines[:].set_visible(False)
    return figure, panels


def _around(*corners: np.ndarray) -> Frame:
    """What is shown of a person: all these points (n, 2), with some room, always of the same shape."""
    every = np.concatenate(corners)
    low, high = every.min(axis=0), every.max(axis=0)
    width, height = 1.15 * (high - low) + 2
    sides = np.array([max(width, height * _ASPECT), max(height, width / _ASPECT)])
    (x1, y1), (x2, y2) = (low + high - sides) / 2, (low + high + sides) / 2
    return float(x1), float(y1), float(x2), float(y2)


def _show(axes: Axes, picture: np.ndarray, frame: Frame) -> None:
    """Show a part of a picture; what lies outside of the picture is plain."""
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = frame
    left, top, right, bottom = max(int(x1), 0), max(int(y1), 0), min(int(x2) + 2, width), min(int(y2) + 2, height)
    axes.imshow(picture[top:bottom, left:right], extent=(left - 0.5, right - 0.5, bottom - 0.5, top - 0.5))
    axes.set(xlim=(x1, x2), ylim=(y2, y1))


def _mark_box(axes: Axes, sight: Sight, n: int, *, numbered: bool = False) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    x1, y1, x2, y2 = sight.boxes[n].tolist()
    edge = [withStroke(linewidth=2.2, foreground=_DARK)]
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=_LIGHT, linewidth=1, path_effects=edge))
    if numbered:
        name: dict[str, Any] = {"fontsize": 8, "fontweight": "bold", "color": _LIGHT, "va": "bottom"}
        axes.text(x1, y1, str(n + 1), path_effects=edge, clip_on=True, **name)


def _mark_location(axes: Axes, sight: Sight, n: int) -> None:
    from matplotlib.patheffects import withStroke

    edge = [withStroke(linewidth=3, foreground=_LIGHT)]
    axes.plot(*sight.locations[n], "x", color=_DARK, markersize=6, markeredgewidth=1.4, path_effects=edge)
    axes.set_title(f"{n + 1}  on {sight.pyramid[sight.levels[n]].name}", loc="left", fontsize=8, fontweight="bold")


def _spread(level: Level, values: np.ndarray, frame: Frame, *, whole: bool = False) -> np.ndarray:
    """A level's values (h, w) at all pixels of a frame: going from one to the next, or each in its whole cell."""
    from scipy.ndimage import map_coordinates

    x1, y1, x2, y2 = frame
    pixels = np.arange(int(x1), int(x2)), np.arange(int(y1), int(y2))
    x, y = ((p - start) / step for p, start, step in zip(pixels, level.places[0, 0], level.step, strict=True))
    places = np.meshgrid(y, x, indexing="ij")
    if whole:
        return map_coordinates(values, np.round(places), order=0, mode="constant")
    return map_coordinates(values, places, order=1, mode="nearest")


def _cover(axes: Axes, shares: np.ndarray, frame: Frame) -> None:
    """Lay a colour over a frame, the denser the higher the share (in [0, 1])."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    scale = LinearSegmentedColormap.from_list("weight", [to_rgba(_WEIGHT, 0), to_rgba(_WEIGHT, 0.75)])
    x1, y1 = int(frame[0]), int(frame[1])
    extent = (x1 - 0.5, x1 + shares.shape[1] - 0.5, y1 + shares.shape[0] - 0.5, y1 - 0.5)
    axes.imshow(shares, cmap=scale, vmin=0, vmax=1, extent=extent, interpolation="nearest")


def _note(figure: Figure, words: str) -> None:
    figure.supxlabel(words, x=0.01, ha="left", fontsize=7.5, color=_WORDS)


def _save(figure: Figure, path: Path, title: str) -> Path:
    import matplotlib as mpl

    # XML has no place for control characters, which names may hold.
    figure.suptitle(harmless(title), x=0.01, ha="left", fontsize=11, fontweight="bold", parse_math=False)
    # Equal drawings are equal files.
    with mpl.rc_context({"svg.hashsalt": "psbench"}), new_file(path) as partial:
        figure.savefig(partial, bbox_inches="tight", metadata=_UNSAID[path.suffix])
    return path
