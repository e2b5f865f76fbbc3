"""Scenes as training batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from psbench.zoo.images import image_tensor
from psbench_data import Scenes

Batch = dict[str, list[Any]]
"""`images`: (3, H, W) uint8 each; `targets`: boxes and person_ids each; `names`: the scenes' names."""


class TrainingScenes(Dataset[dict[str, Any]]):
    """Scenes with at least one person, decoded and mirrored at random."""

    def __init__(self, scenes: Scenes, *, flip: float) -> None:
        self._scenes = scenes
        self._flip = flip
        self._usable = np.flatnonzero(np.diff(scenes.offsets) > 0)

    def __len__(self) -> int:
        return len(self._usable)

    def __getitem__(self, i: int) -> dict[str, Any]:
        scene = self._scenes[int(self._usable[i])]
        image = image_tensor(scene)
        boxes = torch.tensor(scene.boxes)
        if torch.rand(()) < self._flip:
            image = image.flip(-1)
            width = image.shape[-1]
            boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1)
        target = {"boxes": boxes, "person_ids": torch.tensor(scene.person_ids)}
        return {"images": image, "targets": target, "names": scene.name}


def training_loader(scenes: Scenes, *, batch_size: int, flip: float, workers: int) -> DataLoader[dict[str, Any]]:
    """Shuffled batches; a last, smaller batch is left out, as its batch statistics would be poorer."""
    data = TrainingScenes(scenes, flip=flip)
    return DataLoader(
        data,
        batch_size=min(batch_size, len(data)),
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
    )


def collate(samples: list[dict[str, Any]]) -> Batch:
    """Lists instead of stacked tensors: images differ in size."""
    return {key: [sample[key] for sample in samples] for key in samples[0]}
