"""Pictures to measure with: people drawn into images of the sizes that the datasets have, as JPEG bytes."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from itertools import count

import numpy as np
from torch import Tensor

from psbench.zoo.images import jpeg_tensor
from psbench.zoo.layers.faster_rcnn import ImageSize
from psbench_data.published_counts import published_counts
from psbench_data.synthetic.tree import draw
from psbench_data.synthetic.world import WorldSpec, plan

MIXES: dict[str, tuple[ImageSize, ...]] = {
    "cuhk_sysu": ((600, 800), (800, 600), (450, 800), (800, 450)),
    "prw": (*[(1080, 1920)] * 5, (576, 720)),
}
"""Heights and widths in turn. CUHK-SYSU's four most frequent sizes, equally often, as their shares are not published;
PRW's cameras, the sixth of which has smaller frames."""
_DISTINCT = 4
"""Pictures of each size; more images are these again."""
_QUALITY = 95


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of several sizes.

    Attributes:
        jpeg: the bytes of each.
        sizes: height and width of each.
        boxes: (n, 4) float32 of each, xyxy, pixels: the people in it.
        mix: heights and widths, in the order in which pictures of them take turns.
    """

    jpeg: list[bytes]
    sizes: list[ImageSize]
    boxes: list[np.ndarray]
    mix: tuple[ImageSize, ...]

    def batches(self, size: int, images: int) -> list[list[int]]:
        """Batches of pictures, by their numbers: each of one size, all sizes as often as in the mix.

        Args:
            size: of a batch.
            images: that there are at least.
        """
        of_size: dict[ImageSize, list[int]] = defaultdict(list)
        for number, of_picture in enumerate(self.sizes):
            of_size[of_picture].append(number)
        turns = math.ceil(images / (size * len(self.mix)))
        taken = {of_picture: count() for of_picture in of_size}
        return [
            [of_size[wanted][next(taken[wanted]) % len(of_size[wanted])] for _ in range(size)]
            for wanted in self.mix * turns
        ]

    def decoded(self, number: int) -> Tensor:
        """One of them, (3, H, W) uint8, RGB."""
        return jpeg_tensor(self.jpeg[number])


def average_people(data: str) -> float:
    """In an image of a dataset's test split, as published."""
    counts = {(c.part, c.what): c.count for c in published_counts(data)}
    return counts["test", "boxes"] / counts["test", "scenes"]


@cache
def drawn_pictures(data: str) -> Pictures:
    """Pictures of the sizes in `MIXES[data]`, with as many people as that dataset has on average; always the same."""
    pictures = Pictures([], [], [], MIXES[data])
    for seed, size in enumerate(dict.fromkeys(pictures.mix)):
        world = plan(
            WorldSpec(
                seed=seed,
                train_scenes=2,
                test_scenes=_DISTINCT,
                train_identities=1,
                test_identities=2,
                appearances=(2, 2),
                people=(1, 12),
                test_boxes=round(_DISTINCT * average_people(data)),
                image_size=size,
                heights=(0.12, 0.85),
                places=_DISTINCT,
            )
        )
        for scene in range(_DISTINCT):
            stored = BytesIO()
            draw(world, world.test, scene).save(stored, "JPEG", quality=_QUALITY)
            pictures.jpeg.append(stored.getvalue())
            pictures.sizes.append(size)
            pictures.boxes.append(world.test.boxes[world.test.rows(scene)].astype(np.float32))
    return pictures
