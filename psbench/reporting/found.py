"""Who was found in one's own pictures, as one self-contained page; and the people of a picture, with their numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from psbench.matches import CAUTION, Match, Matches, left_out
from psbench.own_pictures import decoded, printable
from psbench.reporting.pages import write_rendered
from psbench.reporting.pictures import Mark, MarkKind, data_url, drawn
from psbench_data import InputError
from psbench_data.atomic import new_file, write_image

if TYPE_CHECKING:
    from PIL.Image import Image

_HEIGHT, _QUERY_HEIGHT, _CHOICE_HEIGHT, _QUALITY = 200, 300, 900, 80
"""Pixels of the pictures, and their quality as JPEG."""
_MARGIN = 0.08
"""Around a person in the crop, of the box's height."""
_NARROWEST, _WIDEST = 0.4, 3
"""Width by height of a crop at least, and of a picture that is shown whole at most: of a panorama, a part is shown."""


@dataclass(frozen=True)
class _Shown:
    """A person in a picture, ready for the page.

    Attributes:
        name: of the file, as printed.
        address: of the file, for a link.
        scene, crop: the picture with the person's box, and the person alone; empty if the file can no longer be read.
        scene_ratio, crop_ratio: their widths by their heights.
        copies: of the file, without pictures of their own.
    """

    name: str
    address: str
    scene: str = ""
    crop: str = ""
    scene_ratio: float = 1
    crop_ratio: float = 1
    copies: Sequence[_Shown] = ()


def write_found(found: Matches, path: Path) -> Path:
    """Write a page of a query and the people who are most similar to it.

    Args:
        found: what is shown. The pictures are read once more; one that is gone by now is named without being shown.
        path: the HTML file to write; it needs nothing beside it, and links to the pictures where they lie.
    """
    return write_rendered(
        path,
        "found.html",
        found=found,
        query=_shown(found.query, found.query.name, found.box, "query", path, _QUERY_HEIGHT),
        people=[(match, _shown_match(found, match, path)) for match in found.matches],
        unreadable=[printable(fault) for fault in found.unreadable],
        left_out=left_out(found.unreadable),
        caution=CAUTION,
    )


def write_choice(picture: Path, boxes: np.ndarray, path: Path) -> Path:
    """Write a picture with numbers at its people, from 1: for somebody to choose one of them.

    Args:
        picture: a file.
        boxes: (n, 4) float32, xyxy, pixels of the picture as it is seen.
        path: the JPEG file to write.
    """
    marks = [Mark(box, "person", str(number)) for number, box in enumerate(boxes, start=1)]
    image = decoded(picture)
    with new_file(path) as partial:
        shown = drawn(image, marks, height=min(_CHOICE_HEIGHT, max(image.height, _QUERY_HEIGHT)))
        write_image(shown, partial, "JPEG")
    return path


def _shown_match(found: Matches, match: Match, page: Path) -> _Shown:
    shown = _shown(found.gallery / match.picture, match.picture, match.box, "person", page, _HEIGHT)
    copies = [_Shown(printable(copy), _address(found.gallery / copy, page)) for copy in match.copies]
    return replace(shown, copies=copies)


def _shown(file: Path, name: str, box: np.ndarray, kind: MarkKind, page: Path, height: int) -> _Shown:
    named = _Shown(printable(name), _address(file, page))
    try:
        image = decoded(file)
    except InputError:
        return named
    window = None if image.width <= _WIDEST * image.height else _wide(box, image)
    scene = drawn(image, [Mark(box, kind)], height=height, window=window)
    crop = drawn(image, [], height=height, window=_close(box, image))
    return replace(
        named,
        scene=data_url(scene, _QUALITY),
        crop=data_url(crop, _QUALITY),
        scene_ratio=scene.width / height,
        crop_ratio=crop.width / height,
    )


def _close(box: np.ndarray, image: Image) -> np.ndarray:
    """A person with a little around them, within the picture: (4,) xyxy."""
    (x1, y1, x2, y2), margin = box.tolist(), _MARGIN * float(box[3] - box[1])
    more = max(margin, (_NARROWEST * (y2 - y1) - (x2 - x1)) / 2)
    high = max(margin, ((x2 - x1) / _WIDEST - (y2 - y1)) / 2)
    window = np.array([x1 - more, y1 - high, x2 + more, y2 + high])
    return np.clip(window, 0, [image.width, image.height, image.width, image.height])


def _wide(box: np.ndarray, image: Image) -> np.ndarray:
    """The part of a panorama around a box, as high as it is: (4,) xyxy."""
    width = _WIDEST * image.height
    left = np.clip((box[0] + box[2] - width) / 2, 0, image.width - width)
    return np.array([left, 0, left + width, image.height])


def _address(file: Path, page: Path) -> str:
    """Of a file as a page links to it: relative, so that both can be moved together."""
    try:
        relative = os.path.relpath(file.resolve(), page.resolve().parent)
    # On another drive.
    except ValueError:
        return file.resolve().as_uri()
    return quote(os.fsencode(relative).replace(os.sep.encode(), b"/"))
