"""Scenes as training batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from psbench.zoo.images import image_tensor
from psbench_data import InputError, Scenes

Batch = dict[str, list[Any]]
"""`images`: (3, H, W) uint8 each; `targets`: boxes and person_ids each; `names` of the scenes. Or only `faults`."""
Draw = tuple[int, bool]
"""Which scene, and whether mirrored."""


class TrainingScenes(Dataset[dict[str, Any]]):
    """Scenes with at least one person, decoded and mirrored as drawn."""

    def __init__(self, scenes: Scenes) -> None:
        self._scenes = scenes
        self._usable = np.flatnonzero(np.diff(scenes.offsets) > 0)

    def __len__(self) -> int:
        return len(self._usable)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        i, mirrored = draw
        scene = self._scenes[int(self._usable[i])]
        try:
            image = image_tensor(scene)
        except InputError as error:
            # As a value: what is raised in a worker reaches the main process wrapped in a traceback.
            return {"fault": str(error)}
        boxes = torch.tensor(scene.boxes)
        if mirrored:
            image = image.flip(-1)
            width = image.shape[-1]
            boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1)
        target = {"boxes": boxes, "person_ids": torch.tensor(scene.person_ids)}
        return {"images": image, "targets": target, "names": scene.name}


class ShuffledDraws(Sampler[Draw]):
    """Every scene once an epoch, in a new order, each mirrored with some probability.

    Drawn here and not where images are decoded, so that the number of workers changes nothing.
    """

    def __init__(self, length: int, *, flip: float, seed: int) -> None:
        self._length = length
        self._flip = flip
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Draw]:
        order = torch.randperm(self._length, generator=self._generator)
        mirrored = torch.rand(self._length, generator=self._generator) < self._flip
        return zip(order.tolist(), mirrored.tolist(), strict=True)


def training_loader(
    scenes: Scenes, *, batch_size: int, flip: float, workers: int, seed: int
) -> DataLoader[dict[str, Any]]:
    """Shuffled batches; a last, smaller batch is left out, as its batch statistics would be poorer."""
    data = TrainingScenes(scenes)
    if not len(data):
        raise InputError(f"{scenes.root}: no training scene has a person in it. Check Images.mat and pool.mat.")
    return DataLoader(
        data,
        batch_size=min(batch_size, len(data)),
        sampler=ShuffledDraws(len(data), flip=flip, seed=seed),
        drop_last=True,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
    )


def collate(samples: list[dict[str, Any]]) -> Batch:
    """Lists instead of stacked tensors: images differ in size. Pictures that do not decode are `faults`."""
    if faults := [sample["fault"] for sample in samples if "fault" in sample]:
        return {"faults": faults}
    return {key: [sample[key] for sample in samples] for key in samples[0]}
