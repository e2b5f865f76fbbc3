"""mAP over the gallery's size: published curves and measured ones in one picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from psbench.reporting.measured import Measured
from psbench.reporting.published import published
from psbench_data.atomic import new_file

if TYPE_CHECKING:
    import pandas as pd

_ZOO_COLOURS = {"oim": "#8c6d1f", "nae": "#2f7d4f", "seqnet": "#2457a6", "glcnet": "#b03a2e"}
_OTHERS = "#a9adb3"
_MEASURED = "#111111"


def write_gallery_curves(measured: Sequence[Measured], folder: Path, name: str = "gallery_curves") -> list[Path]:
    """Write NAME.png and NAME.csv.

    Args:
        measured: the measured points, of one dataset.
        folder: where to.
        name: of the files.

    Returns:
        The two files.
    """
    curves = gallery_curves(measured)
    csv, png = folder / f"{name}.csv", folder / f"{name}.png"
    with new_file(csv) as partial:
        curves.to_csv(partial, index=False)
    with new_file(png) as partial:
        _draw(curves, partial)
    return [png, csv]


def gallery_curves(measured: Sequence[Measured]) -> pd.DataFrame:
    """One row a point: method, zoo_system, gallery_size, map (percent), kind, data.

    Protocols that are no gallery size (`gallery-all`, `occlusion`) are no points.
    """
    import pandas as pd

    rows = published("glcnet_figure_gallery_curves")[["method", "zoo_system", "gallery_size", "map"]]
    rows = rows.assign(kind="published", data="CUHK-SYSU, read off the figure of the GLCNet README (+-0.05)")
    ours = [
        {
            "method": m.method,
            "gallery_size": m.gallery_size,
            "map": m.map,
            "kind": m.kind,
            "data": m.data,
            "fingerprint": m.fingerprint,
            "recipe": m.recipe,
            "recipe_digest": m.recipe_digest,
        }
        for m in measured
        if re.fullmatch(r"gallery-\d+", m.protocol)
    ]
    columns = [*rows.columns, "fingerprint", "recipe", "recipe_digest"]
    return pd.concat([rows.reindex(columns=columns), pd.DataFrame(ours, columns=columns)], ignore_index=True)


def _draw(curves: pd.DataFrame, path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(7.6, 4.8), dpi=160, layout="constrained")
        axes = figure.add_subplot()
        sizes = sorted(curves["gallery_size"].unique())
        ends = []
        for (kind, method), curve in curves.groupby(["kind", "method"], sort=False):
            curve = curve.sort_values("gallery_size")
            is_published = kind == "published"
            system = curve["zoo_system"].iloc[0]
            colour = _ZOO_COLOURS.get(system, _OTHERS) if is_published else _MEASURED
            axes.plot(
                curve["gallery_size"],
                curve["map"],
                color=colour,
                linewidth=1.4 if is_published else 2.2,
                linestyle="--" if "CBGM" in method else "-",
                marker="o" if is_published else "D",
                markersize=3 if is_published else 5,
                zorder=1 if colour == _OTHERS else 2 if is_published else 3,
            )
            label = method if is_published else f"{method}, {'synthetic data' if kind == 'synthetic' else 'measured'}"
            ends.append((curve["gallery_size"].iloc[-1], curve["map"].iloc[-1], label, colour, is_published))
        _label_ends(axes, ends)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set_xlim(min(sizes) * 0.9, max(sizes) * 3.2)
        axes.set_ylim(0, 100) if curves["map"].min() < 45 else axes.set_ylim(45, 100)
        axes.set_xlabel("scenes in each query's gallery")
        axes.set_ylabel("mAP (%)")
        axes.grid(axis="y", color="#e6e7e9", linewidth=0.7)
        axes.set_title("Person search on CUHK-SYSU over the gallery's size", loc="left", fontsize=11, fontweight="bold")
        notes = ["Thin: published, read off the figure of the GLCNet README (to about 0.05 mAP)."]
        if (curves["kind"] == "synthetic").any():
            notes.append(
                "Thick: measured on synthetic people, a task of its own: not comparable with the published curves."
            )
        figure.text(0.012, -0.005, "\n".join(notes), fontsize=7.5, color="#55585d", va="top")
        figure.savefig(path, bbox_inches="tight", metadata={"Software": None})


def _label_ends(axes: object, ends: list[tuple[float, float, str, str, bool]]) -> None:
    """Name each curve at its right end, the names moved apart where the ends lie close."""
    gap = 3.3
    by_size: dict[float, list[tuple[float, float, str, str, bool]]] = {}
    for end in ends:
        by_size.setdefault(end[0], []).append(end)
    for size, group in by_size.items():
        group.sort(key=lambda end: end[1])
        places = apart(np.array([end[1] for end in group], float), gap)
        for place, (_, value, label, colour, is_published) in zip(places, group, strict=True):
            axes.annotate(  # type: ignore[attr-defined]
                label,
                xy=(size, value),
                xytext=(size * 1.2, place),
                color=colour if colour != _OTHERS else "#7b7f86",
                fontsize=8,
                fontweight="normal" if is_published else "bold",
                va="center",
                arrowprops={
                    "arrowstyle": "-",
                    "color": colour,
                    "linewidth": 0.5,
                    "shrinkA": 1,
                    "shrinkB": 3,
                    "relpos": (0, 0.5),
                },
            )


def apart(values: np.ndarray, gap: float) -> np.ndarray:
    """Ascending values moved as little as needed to stand `gap` apart: crowded neighbours share the way evenly."""
    places = values.copy()
    for _ in range(500):
        push = np.clip(gap - np.diff(places), 0, None) / 2
        places[:-1] -= push
        places[1:] += push
    return places
