"""Scenes as training batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from psbench.zoo.images import image_tensor
from psbench_data import InputError, Scenes
from psbench_data.exporting.layout import image_sizes

Batch = dict[str, list[Any]]
"""`images`: (3, H, W) uint8 each; `targets`: boxes and person_ids each; `names` of the scenes. Or only `faults`."""
Draw = tuple[int, bool]
"""Which scene, and whether mirrored."""


class TrainingScenes(Dataset[dict[str, Any]]):
    """Scenes with at least one person, decoded and mirrored as drawn.

    Raises:
        InputError: there is none.
    """

    def __init__(self, scenes: Scenes) -> None:
        self._scenes = scenes
        self._usable = np.flatnonzero(np.diff(scenes.offsets) > 0)
        if not len(self._usable):
            raise InputError(f"{scenes.root}: no training scene has a person in it. Check the training annotations.")

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

    def landscape(self) -> np.ndarray:
        """(N,) bool: which images are at least as wide as high; reads their headers if the annotations do not say."""
        height, width = image_sizes(self._scenes.select(self._usable)).T
        return width >= height


class EpochBatches(Sampler[list[Draw]]):
    """The batches of each epoch: every scene at most once, in a new order, mirrored with some probability.

    They follow from the seed and the epoch alone, and are drawn here and not where images are decoded, so that neither
    the number of workers nor an interruption changes anything.

    Attributes:
        batch_size: images of one process at once.
        drop_last: always; a smaller batch would have poorer statistics.
    """

    batch_size: int
    drop_last = True

    def __init__(
        self,
        length: int,
        *,
        batch_size: int,
        flip: float,
        seed: int,
        together: int = 1,
        groups: np.ndarray | None = None,
    ) -> None:
        """Plan batches of `length` scenes.

        Args:
            length: N.
            batch_size: images of one process at once.
            flip: probability of mirroring.
            seed: of order and mirroring.
            together: batches that make a step: processes x accumulation. An epoch has a multiple of them.
            groups: (N,), of each scene; scenes of different groups come into one batch only where too few remain.
        """
        self.batch_size = batch_size
        self._length, self._flip, self._seed, self._groups = length, flip, seed, groups
        self._count = length // batch_size // together * together
        self._epoch, self._first = 0, 0

    def __len__(self) -> int:
        """Of a whole epoch, over all processes."""
        return self._count

    def begin(self, epoch: int, first: int = 0) -> None:
        """What the next iteration gives: an epoch (from 0), from its batch `first` on."""
        self._epoch, self._first = epoch, first

    def __iter__(self) -> Iterator[list[Draw]]:
        draws = self._draws(self._epoch)
        batches = _chunks(draws, self.batch_size) if self._groups is None else self._grouped(draws)
        return islice(batches, self._first, self._count)

    def _draws(self, epoch: int) -> list[Draw]:
        generator = torch.Generator().manual_seed(self._seed)
        # One stream of random numbers over all epochs: those before are drawn and dropped.
        for _ in range(epoch + 1):
            order = torch.randperm(self._length, generator=generator)
            mirrored = torch.rand(self._length, generator=generator) < self._flip
        return list(zip(order.tolist(), mirrored.tolist(), strict=True))

    def _grouped(self, draws: list[Draw]) -> Iterator[list[Draw]]:
        assert self._groups is not None
        waiting: dict[Any, list[Draw]] = {}
        for draw in draws:
            group = waiting.setdefault(self._groups[draw[0]], [])
            group.append(draw)
            if len(group) == self.batch_size:
                yield group.copy()
                group.clear()
        yield from _chunks([draw for group in waiting.values() for draw in group], self.batch_size)


def _chunks(draws: Iterable[Draw], size: int) -> Iterator[list[Draw]]:
    rest = iter(draws)
    while len(chunk := list(islice(rest, size))) == size:
        yield chunk


def training_loader(data: TrainingScenes, batches: EpochBatches, *, workers: int, pin: bool) -> DataLoader[Any]:
    """Batches, decoded by so many worker processes; `pin` where they go to a GPU."""
    return DataLoader(
        data,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
        pin_memory=pin,
        # Of its own, so that beginning to read draws nothing from the generator that training goes on with.
        generator=torch.Generator(),
    )


def collate(samples: list[dict[str, Any]]) -> Batch:
    """Lists instead of stacked tensors: images differ in size. Pictures that do not decode are `faults`."""
    if faults := [sample["fault"] for sample in samples if "fault" in sample]:
        return {"faults": faults}
    return {key: [sample[key] for sample in samples] for key in samples[0]}
