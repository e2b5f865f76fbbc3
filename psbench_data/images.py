"""Image files from outside: what is decoded of them, and what is refused before it takes memory or time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""What is decoded, by its contents. Pillow would hand some of the others to programs outside, whatever a file is
called."""
_LARGEST = 2**30
"""Bytes of a file that is decoded: more than the most pixels take that are let, however they are stored."""
_MOST_SCANS = 1000
"""Of a JPEG file. Progressive ones have about ten; each takes the time of a whole picture, and a few bytes."""


@contextmanager
def opened_image(file: Path | bytes, *, headers_only: bool = False) -> Iterator[Image]:
    """An image whose header has been read.

    Args:
        file: its path, or its contents.
        headers_only: whether it will not be decoded, so that of its size alone nothing can come.

    Raises:
        DecompressionBombError: of Pillow; it has more pixels than Pillow takes for harmless.
        Exception: of any kind: it is not an image, or a damaged one.
    """
    from PIL import Image

    if headers_only:
        with _identified(file) if isinstance(file, bytes) else Image.open(file, formats=FORMATS) as image:
            yield image
        return
    # Of a file, Pillow asks for as many bytes as a chunk says it has, and Python makes room for all of them first.
    content = file if isinstance(file, bytes) else _read(file)
    with _identified(content) as image:
        # Pillow itself only warns up to twice as many.
        if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
            what = f"{image.width} x {image.height} pixels, expected at most {Image.MAX_IMAGE_PIXELS:,} in all"
            raise Image.DecompressionBombError(what)
        if image.format in ("JPEG", "MPO"):
            _require_few_scans(content)
        yield image


def _identified(content: bytes) -> Image:
    """Raises UnidentifiedImageError, which Pillow lets name the object that it was given."""
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise UnidentifiedImageError("cannot identify image file") from None


def _read(path: Path) -> bytes:
    """Raises ValueError where a file is larger than any picture."""
    if (size := path.stat().st_size) > _LARGEST:
        raise ValueError(f"{size:,} bytes, expected at most {_LARGEST:,}")
    return path.read_bytes()


def _require_few_scans(jpeg: bytes) -> None:
    """Refuse a JPEG file that goes over its picture again and again; raises ValueError."""
    # Within a scan these two bytes never follow each other.
    if (scans := jpeg.count(b"\xff\xda")) > _MOST_SCANS:
        raise ValueError(f"{scans:,} scans, expected at most {_MOST_SCANS:,}")
