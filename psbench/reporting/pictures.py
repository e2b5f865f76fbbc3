"""Scenes with boxes drawn on them, small enough for a page; what a box is can be told without its colour."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from psbench_data import InputError, Scene

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

MarkKind = Literal["query", "right", "wrong", "missed", "person", "unlabelled"]
COLOURS: dict[MarkKind, str] = {
    "query": "#2457a6",
    "right": "#2f7d4f",
    "wrong": "#b03a2e",
    "missed": "#b25e00",
    "person": "#2457a6",
    "unlabelled": "#5b6068",
}
"""Colours of the house, so that pages know how each looks in dark (`style.css_colours`)."""
_DASHES: dict[MarkKind, tuple[int, int]] = {"wrong": (9, 6), "missed": (3, 4), "unlabelled": (3, 4)}
"""Pixels of line and of gap; of a right one and of a person with an identity the line is solid, of a query double."""
_LINE, _HALO = 3, 2
"""Pixels of a line, and of the white on either side of it that keeps it visible on any picture."""
_LETTERS = 13, 28
"""Pixels of letters, at least and at most; between them, so many of a picture's height:"""
_LETTERS_SHARE = 1 / 28
_BEYOND = "#85888d"
"""What lies outside a scene."""
_ROOM, _LEAST = 1.6, 0.25
"""How high the part around a box is: of the box, and of the scene at least."""


@dataclass(frozen=True, eq=False)
class Mark:
    """A box to be drawn: (4,) xyxy, pixels of the scene, what it is, and a word or two to stand at it."""

    box: np.ndarray
    kind: MarkKind
    label: str = ""


def drawn(image: Image, marks: Iterable[Mark], *, height: int, window: np.ndarray | None = None) -> Image:
    """A scene with its marks; lines are as thick whatever the scene's size.

    Args:
        image: the scene, RGB.
        marks: the later ones lie above the earlier ones.
        height: of the picture, pixels.
        window: (4,) xyxy, pixels of the scene: the part to show, see `around`; grey where it lies outside. All of the
            scene if None.
    """
    from PIL import Image as Images
    from PIL import ImageDraw

    left, top = 0, 0
    if window is not None:
        left, top, width, tall = (round(float(x)) for x in (*window[:2], window[2] - window[0], window[3] - window[1]))
        part = Images.new("RGB", (max(1, width), max(1, tall)), _BEYOND)
        part.paste(image, (-left, -top))
        image = part
    scale = height / image.height
    image = image.resize((max(1, round(image.width * scale)), height))
    draw = ImageDraw.Draw(image)
    marks = list(marks)
    # What lies far outside is not seen, and takes time to draw.
    far = np.array([image.width, image.height] * 2) + 3 * _LINE
    boxes = [np.clip((np.asarray(m.box) - [left, top] * 2) * scale, -3 * _LINE, far).round().tolist() for m in marks]
    for mark, box in zip(marks, boxes, strict=True):
        _outline(draw, box, mark.kind)
    for mark, box in zip(marks, boxes, strict=True):
        if mark.label:
            _write(draw, box, mark, image)
    return image


def around(box: np.ndarray, image: Image) -> np.ndarray:
    """The square part of a scene that shows a box, (4,) xyxy, and what is near it: (4,) xyxy, pixels of the scene.

    It lies inside the scene where that is large enough; of a box, only what lies inside the scene is shown.
    """
    size = np.array([image.width, image.height], float)
    low, high = np.clip(np.asarray(box, float).reshape(2, 2), 0, size)
    side = min(max(_ROOM * (high - low)[1], _LEAST * size[1]), *size)
    side = max(side, 1.1 * (high - low).max())
    corner = np.where(side <= size, np.clip((low + high - side) / 2, 0, np.maximum(size - side, 0)), (size - side) / 2)
    return np.concatenate([corner, corner + side])


def require_images(scenes: Iterable[Scene]) -> None:
    """Check that the image of each scene is there, before long work starts.

    Raises:
        InputError: naming every file that is not there.
    """
    if missing := [path for path in sorted({scene.path for scene in scenes}) if not path.is_file()]:
        raise InputError(
            f"{path}: this image is not there. Extract the dataset's image archive again, or correct the root."
            for path in missing
        )


def data_url(image: Image, quality: int = 85) -> str:
    """A picture as the address that a self-contained page shows it by, a JPEG of some quality, 1 to 95."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _outline(draw: ImageDraw, box: list[float], kind: MarkKind) -> None:
    x1, y1, x2, y2 = box
    wide = _HALO + (3 if kind == "query" else 0)
    draw.rectangle((x1 - wide, y1 - wide, x2 + wide, y2 + wide), outline="white", width=_LINE + 2 * wide)
    colour, dashes = COLOURS[kind], _DASHES.get(kind)
    if kind == "query":
        draw.rectangle((x1 - 3, y1 - 3, x2 + 3, y2 + 3), outline=colour, width=2)
        if min(x2 - x1, y2 - y1) > 4 * _LINE:
            draw.rectangle((x1 + 4, y1 + 4, x2 - 4, y2 - 4), outline=colour, width=2)
    elif dashes is None:
        draw.rectangle((x1, y1, x2, y2), outline=colour, width=_LINE)
    else:
        line, thick = dashes[0] - 1, _LINE - 1
        for x in np.arange(x1, x2 + 1, sum(dashes)).tolist():
            for y in (y1, max(y1, y2 - thick)):
                draw.rectangle((x, y, min(x + line, x2), y + thick), fill=colour)
        for y in np.arange(y1, y2 + 1, sum(dashes)).tolist():
            for x in (x1, max(x1, x2 - thick)):
                draw.rectangle((x, y, x + thick, min(y + line, y2)), fill=colour)


def _write(draw: ImageDraw, box: list[float], mark: Mark, image: Image) -> None:
    """A mark's label above its box, or inside where there is no room."""
    from PIL import ImageFont

    letters = round(np.clip(_LETTERS_SHARE * image.height, *_LETTERS))
    font = ImageFont.load_default(size=letters)
    length = draw.textlength(mark.label, font=font) + 6
    x = min(max(box[0] - _HALO, 0), max(image.width - length, 0))
    y = box[1] - _HALO - letters - 4
    y = max(box[1], 0) + _LINE if y < 0 else y
    draw.rectangle((x, y, x + length, y + letters + 3), fill="white")
    draw.text((x + 3, y + 1), mark.label, fill=COLOURS[mark.kind], font=font)
