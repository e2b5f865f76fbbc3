"""Re-ID networks: how fast they embed people who are already found."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from psbench.efficiency.pictures import Pictures
from psbench.zoo.images import to_float
from psbench.zoo.layers.patches import crop


class Embedding:
    """A re-ID network as it is timed (`Timed`): the network on one crop a picture, the whole on all of its people."""

    def __init__(self, model: Any, pictures: Pictures, device: torch.device) -> None:
        """Take a `ReIDNetwork` on its device, and the pictures."""
        self._model = model
        self._boxes = [torch.tensor(boxes, device=device) for boxes in pictures.boxes]
        self._crops = [
            crop(to_float(pictures.decoded(number).to(device)), boxes[0].cpu(), model.options.size)
            for number, boxes in enumerate(self._boxes)
        ]

    def network(self, numbers: list[int]) -> list[int]:
        """See `Timed`."""
        crops = torch.stack([self._crops[number] for number in numbers])
        return [1] * len(self._model.describe(self._model.encode(crops)))

    def whole(self, numbers: list[int], images: list[Tensor]) -> list[int]:
        """See `Timed`."""
        embedded = self._model.embed(images, [self._boxes[number] for number in numbers])
        return [len(of_image.float().cpu()) for of_image in embedded]
