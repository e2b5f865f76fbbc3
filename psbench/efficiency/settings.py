"""How is measured: on what device, with how many images, in which batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import torch

from psbench.efficiency.pictures import MIXES, average_people
from psbench.efficiency.result import Precision
from psbench.intake import is_whole
from psbench.processes import decoding_workers, this_process
from psbench_data import InputError
from psbench_data.errors import near_names

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


class _Usual(NamedTuple):
    images: int
    warm_up: int
    batches: tuple[int, ...]
    scenes: int
    queries: int


_ON_GPU = _Usual(images=100, warm_up=20, batches=(1, 2, 4, 8, 16), scenes=100, queries=10)
_ON_CPU = _Usual(images=4, warm_up=1, batches=(1,), scenes=4, queries=1)
"""A pass takes many seconds there, and batches gain little."""


@dataclass(frozen=True)
class Settings:
    """How is measured, see `of`.

    Attributes:
        device: that computes.
        precision, data, people, images, warm_up, workers, scenes: see `of`.
        batches: ascending from 1.
        queries: that search one by one.
    """

    device: torch.device
    precision: Precision
    data: str
    people: float
    images: int
    warm_up: int
    batches: tuple[int, ...]
    workers: int
    scenes: int
    queries: int

    @classmethod
    def of(
        cls,
        *,
        device: str | None = None,
        precision: Precision | None = None,
        data: str = "cuhk_sysu",
        people: float | None = None,
        images: int | None = None,
        warm_up: int | None = None,
        batches: Sequence[int] | None = None,
        workers: int | None = None,
        scenes: int | None = None,
    ) -> Settings:
        """Settings, with what suits the device where nothing is given.

        Args:
            device: "cpu", "cuda" or "cuda:NUMBER"; a GPU if there is one.
            precision: see `Precision`; that of `psbench predict`, which is "tf32" on a GPU and "fp32" on a CPU.
            data: whose image sizes the drawn images have, a name of `MIXES`.
            people: the score threshold of a joint model is set so that it finds so many in an image on average; the
                number in that dataset's test split.
            images: to time at least, in each way; 100, on a CPU 4.
            warm_up: calls before, at batch 1; of larger batches fewer; 20, on a CPU 1. Of a pairwise model, scenes.
            batches: to try beside 1, as long as memory suffices; up to 16, on a CPU none. Of a pairwise model,
                queries at once.
            workers: threads that decode, for the timing from end to end with such; 4 beside a GPU, else none.
            scenes: that a pairwise model searches; 100, on a CPU 4.

        Raises:
            InputError: naming all that cannot be.
        """
        numbers = {"images": (images, 1), "warm_up": (warm_up, 0), "workers": (workers, 0), "scenes": (scenes, 1)}
        given = [(name, value, least) for name, (value, least) in numbers.items() if value is not None]
        given += [("batches", batch, 1) for batch in batches or ()]
        faults = [
            f"{name} is {value!r}, expected a whole number from {least}."
            for name, value, least in given
            if not is_whole(value) or value < least
        ]
        if people is not None and not 0 < people < float("inf"):
            faults.append(f"people is {people}, expected more than 0 an image.")
        if data not in MIXES:
            faults.append(f"there are no image sizes of {data!r}. {near_names(data, MIXES)}")
        try:
            chosen = _device(device)
            computes = _precision(precision, chosen)
        except InputError as error:
            faults += error.faults
        if faults:
            raise InputError(faults)
        usual = _ON_GPU if chosen.type == "cuda" else _ON_CPU
        return cls(
            device=chosen,
            precision=computes,
            data=data,
            people=people or average_people(data),
            images=images or usual.images,
            warm_up=usual.warm_up if warm_up is None else warm_up,
            batches=usual.batches if batches is None else tuple(sorted({1, *batches})),
            workers=decoding_workers(chosen) if workers is None else workers,
            scenes=scenes or usual.scenes,
            queries=usual.queries,
        )


def _device(name: str | None) -> torch.device:
    """One that is there.

    Raises:
        InputError: it is not.
    """
    try:
        device = this_process().device if name is None else torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"there is no device {name or device} to measure on: expected cpu, cuda or cuda:NUMBER.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name}: torch sees {torch.cuda.device_count()} CUDA devices here. Take cpu.")
    return device


def _precision(asked: Precision | None, device: torch.device) -> Precision:
    """One in which the device computes.

    Raises:
        InputError: it does not.
    """
    if asked is None:
        return "tf32" if device.type == "cuda" else "fp32"
    if asked not in PRECISIONS:
        raise InputError(f"there is no precision {asked!r}. {near_names(asked, PRECISIONS)}")
    if device.type == "cpu" and asked in ("tf32", "fp16"):
        raise InputError(f"precision {asked} needs a GPU. Take fp32 or bf16.")
    return asked
