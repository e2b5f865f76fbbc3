"""How a device computes, when it is done, and how much memory that took."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Self

import psutil
import torch

from psbench.efficiency.result import Precision

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
_EVERY = 0.01
"""Seconds between two looks at the process's memory; a pass over one image lasts longer than that on a CPU."""


def wait_for(device: torch.device) -> None:
    """Until all that was asked of a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def all_digits() -> Iterator[None]:
    """Without TF32, which torch allows in convolutions and which keeps three digits."""
    with _tf32(False):
        yield


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute in a precision, whatever torch was set to."""
    half = _HALF.get(precision)
    lowered = nullcontext() if half is None else torch.autocast(device.type, half)
    with _tf32(precision == "tf32"), lowered:
        yield


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """In convolutions; matrix products have all digits, as torch has it by itself."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    try:
        products.allow_tf32, convolutions.allow_tf32 = False, allowed
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


class PeakMemory:
    """The most memory in use while it is entered.

    Attributes:
        bytes: allocated on the GPU by torch; on a CPU, by how much the process's resident memory grew. Set in the end.
    """

    bytes: int

    def __init__(self, device: torch.device) -> None:
        """Take the device that computes."""
        self._device = device
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            self._start = self._most = _resident()
            self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self._device)
        else:
            self._over.set()
            self._watcher.join()
            self.bytes = self._most - self._start

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            self._most = max(self._most, _resident())


def _resident() -> int:
    return psutil.Process().memory_info().rss
