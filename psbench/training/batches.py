"""Scenes, and whatever else is trained on, as batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from psbench.processes import usable_cores
from psbench.zoo.images import image_tensor
from psbench_data import InputError, Scenes
from psbench_data.exporting.layout import image_sizes

Batch = dict[str, list[Any]]
"""`images`: (3, H, W) uint8 each; `targets`: of each, what the model learns of it; `names` of the scenes. Or only
`faults`."""


class Draw(NamedTuple):
    """Which sample is drawn of the training data, whether mirrored, and in which epoch (from 0)."""

    index: int  # type: ignore[assignment]
    mirrored: bool = False
    epoch: int = 0


class TrainingData(Protocol):
    """Samples to train on. Everything random about one follows from the recipe's seed and the draw."""

    def __len__(self) -> int: ...

    def __getitem__(self, draw: Draw, /) -> dict[str, Any]:
        """`images`, `targets` and `names` as in a batch, or only a `fault`."""

    def landscape(self) -> np.ndarray:
        """(N,) bool: of which samples the image is at least as wide as high."""


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
        scene = self._scenes[int(self._usable[draw.index])]
        try:
            image = image_tensor(scene)
        except InputError as error:
            # As a value: what is raised in a worker reaches the main process wrapped in a traceback.
            return {"fault": str(error)}
        boxes = torch.tensor(scene.boxes)
        if draw.mirrored:
            image, boxes = mirrored(image, boxes)
        target = {"boxes": boxes, "person_ids": torch.tensor(scene.person_ids)}
        return {"images": image, "targets": target, "names": scene.name}

    def landscape(self) -> np.ndarray:
        """(N,) bool: which images are at least as wide as high."""
        return landscape(self._scenes.select(self._usable))


def mirrored(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """An image (3, H, W), left and right exchanged, and the boxes (n, 4) on it."""
    width = image.shape[-1]
    turned = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1)
    return image.flip(-1), turned


def landscape(scenes: Scenes) -> np.ndarray:
    """(S,) bool: which images are at least as wide as high; reads their headers if the annotations do not say."""
    height, width = image_sizes(scenes).T
    return width >= height


class EpochBatches(Sampler[list[Draw]]):
    """The batches of each epoch: every sample at most once, in a new order, mirrored with some probability.

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
        """Plan batches of `length` samples.

        Args:
            length: N.
            batch_size: images of one process at once.
            flip: probability of mirroring.
            seed: of order and mirroring.
            together: batches that make a step: processes x accumulation. An epoch has a multiple of them.
            groups: (N,), of each sample; those of different groups come into one batch only where too few remain.
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
            flipped = torch.rand(self._length, generator=generator) < self._flip
        return [Draw(*one, epoch) for one in zip(order.tolist(), flipped.tolist(), strict=True)]

    def _grouped(self, draws: list[Draw]) -> Iterator[list[Draw]]:
        assert self._groups is not None
        waiting: dict[Any, list[Draw]] = {}
        for draw in draws:
            group = waiting.setdefault(self._groups[draw.index], [])
            group.append(draw)
            if len(group) == self.batch_size:
                yield group.copy()
                group.clear()
        yield from _chunks([draw for group in waiting.values() for draw in group], self.batch_size)


def _chunks(draws: Iterable[Draw], size: int) -> Iterator[list[Draw]]:
    rest = iter(draws)
    while len(chunk := list(islice(rest, size))) == size:
        yield chunk


def training_loader(data: TrainingData, batches: EpochBatches, *, workers: int, pin: bool) -> DataLoader[Any]:
    """Batches, decoded by so many worker processes, one a core at most; `pin` where they go to a GPU."""
    dataset: Any = data
    workers = min(workers, usable_cores())
    return DataLoader(
        dataset,
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
