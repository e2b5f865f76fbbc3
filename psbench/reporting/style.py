"""How pictures look: colours, on white and on dark pages, and SVG that fits into a page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psbench_data.atomic import new_file
from psbench_data.names import harmless

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, SOFT, GRID, PAPER = "#1b1d20", "#5b6068", "#e2e4e8", "#ffffff"
QUOTED, SYNTHETIC = "#8b9098", "#b25e00"
_SYSTEMS = {
    "oim": "#8c6d1f",
    "nae": "#2f7d4f",
    "seqnet": "#2457a6",
    "glcnet": "#b03a2e",
    "pcnet": "#7a3e9d",
    "igpn": "#0f7f8a",
}
"""The systems of the zoo, by how their names begin."""
_ON_DARK = {
    INK: "#e8eaed",
    SOFT: "#a4a9b1",
    GRID: "#34383e",
    PAPER: "#16181b",
    QUOTED: "#8d939c",
    SYNTHETIC: "#f0a44b",
    "#8c6d1f": "#cfae5a",
    "#2f7d4f": "#63bd88",
    "#2457a6": "#7fabf0",
    "#b03a2e": "#f08477",
    "#7a3e9d": "#c38ee6",
    "#0f7f8a": "#54c3cd",
}
_STYLE: Any = {
    "font.size": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "psbench",
}


def colour(method: str, *, alone: bool = False) -> str:
    """A method's colour: of its system, or of what can only be quoted.

    Args:
        method: as printed.
        alone: whether psbench has no such method.
    """
    if alone:
        return QUOTED
    return next((c for name, c in _SYSTEMS.items() if method.lower().startswith(name)), INK)


@contextmanager
def styled() -> Iterator[None]:
    """Figures that are made within look as all of psbench's."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        yield


def write_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write NAME.png and NAME.svg.

    Returns:
        The two files.
    """
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    with new_file(paths[0]) as partial:
        figure.savefig(partial, format="png", dpi=160, metadata={"Software": None})
    with new_file(paths[1]) as partial:
        partial.write_text(svg(figure), encoding="utf-8")
    return paths


def svg(figure: Figure) -> str:
    """A figure as SVG, the same every time; XML has no place for control characters, which names may hold."""
    with styled():
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return harmless(stream.getvalue())


def inline_svg(figure: Figure, name: str) -> str:
    """A figure as SVG for a page: as wide as there is room, in the page's colours, `name-` before each of its ids."""
    text = svg(figure)
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    for light in _ON_DARK:
        text = text.replace(light, f"var(--c{light[1:]})")
    width, height = re.search(r'viewBox="0 0 (\S+) (\S+)"', text).groups()  # type: ignore[union-attr]
    size = f'style="width: 100%; max-width: {float(width) / 72:.2f}in; aspect-ratio: {width} / {height}"'
    return re.sub(
        r'<svg ([^>]*?)width="[^"]*"', rf"<svg \1{size}", re.sub(r' height="[^"]*pt"', "", text, count=1), count=1
    )


def css_colours() -> str:
    """The variables that `inline_svg` refers to, for light and dark pages and for print."""
    light = "".join(f"--c{c[1:]}: {c}; " for c in _ON_DARK)
    dark = "".join(f"--c{c[1:]}: {d}; " for c, d in _ON_DARK.items())
    return f":root {{ {light}}} @media screen and (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}"
