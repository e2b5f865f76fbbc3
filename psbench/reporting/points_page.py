"""Pictures of what a model looked at: those of one scene, and all of them on one self-contained page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from psbench.reporting.pages import write_rendered
from psbench.reporting.points import draw_activation, draw_attention, draw_points
from psbench.sight import Sight

_KINDS = {
    "points": (
        draw_points,
        "sampled points",
        "Each person found, with their box, the location that they were found at and its pyramid level, and the points "
        "around it that the network chose to pool the location's feature from.",
    ),
    "activation": (
        draw_activation,
        "activation of the maps",
        "The people found; the lengths of the re-ID features, from which detection is decoded; and those of the last "
        "features before the score, at each location, summed over the pyramid's levels.",
    ),
    "attention": (
        draw_attention,
        "where features are gathered",
        "How much each location in a person's box, of every level of the pyramid, adds to the person's feature.",
    ),
}
_MEDIA = {".png": "image/png", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class _Figure:
    """A picture, ready for the page."""

    kind: str
    source: str
    caption: str


def draw_scene(
    picture: np.ndarray, sight: Sight, folder: Path, name: str, *, title: str, people: int, ending: str
) -> dict[str, Path]:
    """Draw all that a scene has: without people neither points nor attention, and attention of models that gather.

    Args:
        picture: (H, W, 3) uint8, RGB.
        sight: of this picture.
        folder: where to.
        name: that the files' names begin with.
        title: of the drawings, what they are of.
        people: how many to draw at most, the most certain.
        ending: of the files: ".png", ".svg" or ".pdf".

    Returns:
        The files by their kinds: "points", "activation", "attention".
    """
    kinds = ["activation"]
    if len(sight):
        kinds = ["points", "activation"] if sight.attention is None else list(_KINDS)
    files = {}
    for kind in kinds:
        draw, what, _ = _KINDS[kind]
        path = folder / f"{name}-{kind}{ending}"
        files[kind] = draw(picture, sight, path, title=f"{title}: {what}", people=people)
    return files


def write_page(
    drawn: Mapping[str, Mapping[str, Path]],
    path: Path,
    *,
    method: str,
    data: str | None,
    threshold: float,
    synthetic: bool,
) -> Path:
    """Write a page of drawings; it needs nothing beside it.

    Args:
        drawn: for each scene, by its name, its files as `draw_scene` gives them, PNG or SVG.
        path: the HTML file to write.
        method: as printed.
        data: what the scenes are of, as printed, if they are of a dataset.
        threshold: score from which people were taken.
        synthetic: whether the scenes were drawn, which the page says.
    """
    scenes = {
        scene: [_Figure(kind, _data_url(file), _KINDS[kind][2]) for kind, file in files.items()]
        for scene, files in drawn.items()
    }
    return write_rendered(
        path, "points.html", scenes=scenes, method=method, data=data, threshold=threshold, synthetic=synthetic
    )


def _data_url(file: Path) -> str:
    return f"data:{_MEDIA[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"
