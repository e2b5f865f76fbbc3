"""Where the arithmetic of a search runs: numpy, or torch on a device; `xp` has what both call by the same name."""

from __future__ import annotations

from typing import Any

import numpy as np

from psbench_data import InputError

PAIRS_AT_ONCE = 2**8
"""The float64 copies of their embeddings fit into a cache."""


class NumpyArrays:
    """On the CPU, without torch."""

    xp: Any = np
    batch = 2**19
    """How many similarities are handled at once: about what a cache holds."""

    def __init__(self) -> None:
        """Nothing is taken yet."""
        self._memory = np.empty(0, np.float32)

    def put(self, array: np.ndarray) -> Any:
        """An array of the backend."""
        return array

    def get(self, array: Any) -> np.ndarray:
        """A numpy array of one of the backend's."""
        return array

    def product(self, queries: Any, gallery: Any) -> Any:
        """(Q, D) and (N, D) float32 -> (Q, N) float32 dot products, rounded as the library rounds them.

        The next product may overwrite them: fresh memory for each would cost as much as a third of the arithmetic.
        """
        size = len(queries) * len(gallery)
        if len(self._memory) < size:
            self._memory = np.empty(size, np.float32)
        return np.matmul(queries, gallery.T, out=self._memory[:size].reshape(len(queries), len(gallery)))

    def dots(self, a: Any, b: Any) -> Any:
        """(n, D) and (n, D) -> (n,) float64: dot products of rows, each a function of its two rows alone.

        Of at most `PAIRS_AT_ONCE` rows.
        """
        return np.einsum("nd,nd->n", a.astype(np.float64), b.astype(np.float64))


class TorchArrays:
    """On one of torch's devices; see `NumpyArrays` for the functions."""

    batch = 2**27

    def __init__(self, device: str) -> None:
        """Take a device, for example "cuda"; raises InputError where there is none of that name."""
        try:
            import torch

            self._device = torch.device(device)
            # What the evaluation needs: float64, and the way back.
            torch.zeros(1, dtype=torch.float64, device=self._device).cpu().numpy()
        except (ImportError, RuntimeError, AssertionError, TypeError) as error:
            raise InputError(
                f"device {device!r}: torch cannot compute there ({error}). Leave device out to compute with numpy."
            ) from None
        self.xp: Any = torch
        if self._device.type == "cpu":
            self.batch = NumpyArrays.batch

    def put(self, array: np.ndarray) -> Any:
        # A read-only array (a memory map) is copied: torch knows no read-only tensors and warns of them.
        return self.xp.as_tensor(array if array.flags.writeable else array.copy(), device=self._device)

    def get(self, array: Any) -> np.ndarray:
        return array.cpu().numpy()

    def product(self, queries: Any, gallery: Any) -> Any:
        # TF32 would round to three digits.
        precision = self.xp.get_float32_matmul_precision()
        self.xp.set_float32_matmul_precision("highest")
        try:
            return queries @ gallery.T
        finally:
            self.xp.set_float32_matmul_precision(precision)

    def dots(self, a: Any, b: Any) -> Any:
        # A device may add up in an order that depends on the number of rows: there is always the same.
        missing = PAIRS_AT_ONCE - len(a)
        a, b = (self.xp.nn.functional.pad(side.double(), (0, 0, 0, missing)) for side in (a, b))
        return (a * b).sum(dim=1)[: PAIRS_AT_ONCE - missing]


Arrays = NumpyArrays | TorchArrays


def arrays_on(device: str | None) -> Arrays:
    """The backend of a device; None is numpy."""
    return NumpyArrays() if device is None else TorchArrays(device)
