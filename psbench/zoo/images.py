"""Scenes' pictures as the tensors that models take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor

from psbench_data import Scene
from psbench_data.images import opened_image


def image_tensor(scene: Scene) -> Tensor:
    """The decoded image, (3, H, W) uint8, RGB, as a view of what is decoded, in which the channels are innermost.

    It is `scene.image()` to the bit, and for JPEG files there in a third of the time.

    Raises:
        InputError: the file is missing or does not decode.
    """
    # Other kinds of scenes decode in their own ways: one's own pictures are turned as the camera says.
    found = _jpeg(scene.path) if type(scene) is Scene else None
    # Of what is refused, `image` says what is wrong with it.
    return picture_tensor(scene.image()) if found is None else found


def picture_tensor(picture: Image.Image) -> Tensor:
    """A picture in RGB, (3, H, W) uint8, see `image_tensor`."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def to_float(image: Tensor) -> Tensor:
    """uint8 in 0..255 to float32 in [0, 1], the channels outermost; on the device, where it is cheap."""
    return image.to(torch.float32, memory_format=torch.contiguous_format) / 255


def jpeg_tensor(content: bytes) -> Tensor:
    """A JPEG file of colours or greys, (3, H, W) uint8, RGB, see `image_tensor`.

    Pillow decodes with the same library, and then copies the picture three times.

    Raises:
        ValueError: it is damaged in any way.
    """
    return torch.from_numpy(simplejpeg.decode_jpeg(content, "RGB")).permute(2, 0, 1)


def _jpeg(path: Path) -> Tensor | None:
    """A file as `jpeg_tensor`; None if it is something else, or damaged."""
    try:
        content = path.read_bytes()
        with opened_image(content) as header:
            plain = header.format == "JPEG" and header.mode in ("RGB", "L")
        return jpeg_tensor(content) if plain else None
    # Pillow meets damaged files with all kinds of exceptions.
    except Exception:
        return None
