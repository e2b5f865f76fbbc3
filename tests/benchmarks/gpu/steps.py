"""Training steps as `psbench train` takes them: how fast, and in how much memory."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device

import psbench_data
from psbench.processes import this_process
from psbench.training import Recipe
from psbench.training.accelerator import batches_of, make_accelerator
from psbench.training.batches import Draw, collate
from psbench.training.history import read_steps
from psbench.training.run import Plan
from psbench.training.trainer import Trainer
from psbench_data import PersonSearchDataset
from psbench_data.synthetic.formats import default_spec, write

METHOD = (
    "The loop of psbench.training itself, with the recipe's optimiser, on drawn people. Images per second: the "
    "median over the steps after the warm-up; each step waits for the device once, and lasts from the end of the "
    "one before to its own. Memory: the most that torch had allocated, weights, momentum and tables included."
)
_DIFFERENT_BATCHES = 8


@contextmanager
def drawn_people(**spec: Any) -> Iterator[PersonSearchDataset]:
    """A dataset in CUHK-SYSU's format, with as many people a scene as that has on average; changed as asked."""
    shape = {"image_size": (900, 1500), "heights": (0.2, 0.8), "people": (2, 8), "places": 12}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "people"
        write("cuhk_sysu", default_spec("cuhk_sysu", **shape | spec), root)
        yield psbench_data.load("cuhk_sysu", root=root)


def measure(
    recipe: Recipe, dataset: PersonSearchDataset, *, decoded: bool, steps: int, warm_up: int
) -> dict[str, float | int | str]:
    """Train so many steps on a dataset of CUHK-SYSU's format, and time those after the warm-up.

    Args:
        recipe: what to train and how.
        dataset: its training images are used.
        decoded: decode some batches before, and take these again and again; else workers decode them as in a training.
        steps: that are taken in all, with images from files at most an epoch's.
        warm_up: of these, how many are not counted.

    Returns:
        `images_per_second`, `seconds_per_step`, `peak_memory` (bytes), `timed_steps`, `hardware`.
    """
    forget()
    if torch.cuda.is_available():
        torch.cuda.init()
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(recipe.override({"schedule.epochs": 1}), dataset, Path(folder) / "run")
        steps = steps if decoded else min(steps, trainer.steps_per_epoch)
        trainer.decoded, trainer.steps_per_epoch = decoded, steps
        run = trainer.run(checkpoint_every=steps, keep=1, progress=False)
        speed = read_steps(run.folder)["images_per_second"].iloc[min(warm_up, steps - 1) :]
        images = run.record.batches.images_per_step
    return {
        "images_per_second": float(speed.median()),
        "seconds_per_step": float((images / speed).median()),
        "peak_memory": run.record.peak_memory,
        "timed_steps": len(speed),
        "hardware": run.record.hardware,
    }


def require_device(device: str) -> None:
    """Refuse to measure elsewhere than is said; psbench chooses the device itself."""
    if (found := this_process().device.type) != device:
        raise RuntimeError(f"psbench trains on {found}, and not on {device}")


def forget() -> None:
    """Give back what the last training held."""
    gc.collect()
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _trainer(recipe: Recipe, dataset: PersonSearchDataset, folder: Path) -> _Timed:
    """As `train` makes it."""
    state, scenes = this_process(), dataset.split("train")
    plan = Plan(
        recipe=recipe.to_dict(),
        recipe_digest=recipe.digest,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        synthetic=dataset.synthetic,
        num_identities=scenes.num_identities,
        batches=batches_of(recipe, state.num_processes),
        started_from=None,
    )
    folder.mkdir()
    return _Timed(recipe, plan, scenes, folder, make_accelerator(recipe, state, folder, ()))


class _Timed(Trainer):
    """A training of the first batches of an epoch, or of a few again and again.

    Attributes:
        decoded: whether of a few, decoded before.
    """

    decoded: bool

    def prepare(self) -> None:
        super().prepare()
        batches = cycle(_some_batches(self)) if self.decoded else self.loader
        self.loader = _Beginning(batches, self.steps_per_epoch)


def _some_batches(trainer: Trainer) -> list[Any]:
    """Decoded and on the device."""
    size, scenes = trainer.plan.batches.images_per_process, len(trainer.data)
    number = min(_DIFFERENT_BATCHES, scenes // size)
    batches = [collate([trainer.data[Draw(i)] for i in range(n * size, (n + 1) * size)]) for n in range(number)]
    return send_to_device(batches, trainer.accelerator.device)


class _Beginning:
    """The first batches of a loader."""

    def __init__(self, loader: Any, steps: int) -> None:
        self._loader, self._steps = loader, steps

    def __iter__(self) -> Iterator[Any]:
        return islice(self._loader, self._steps)
