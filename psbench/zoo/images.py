"""Scenes' pictures as the tensors that models take."""

from __future__ import annotations

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from psbench_data import Scene


def image_tensor(scene: Scene) -> Tensor:
    """The decoded image, (3, H, W) uint8, RGB."""
    return picture_tensor(scene.image())


def picture_tensor(picture: Image) -> Tensor:
    """A picture in RGB, (3, H, W) uint8."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def to_float(image: Tensor) -> Tensor:
    """uint8 in 0..255 to float32 in [0, 1]; on the device, where it is cheap."""
    return image.float() / 255
