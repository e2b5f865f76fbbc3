"""The similarities of queries to detections: in tiles that bound memory, and exactly for chosen pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from psbench.blocks import hand_back, unit
from psbench.evaluation.arrays import PAIRS_AT_ONCE, Arrays
from psbench.predictions import Predictions

_QUERIES_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Tile:
    """The similarities of some queries to a stretch of the gallery.

    Attributes:
        stretch: from which detection up to which.
        values: (b, n) float32, arrays of the backend, rounded as the matrix product rounds.
    """

    stretch: slice
    values: Any


class Similarities:
    """Dot products of query embeddings with those of the gallery's detections.

    A matrix product rounds each of its entries as its blocking and the device ask for, so that two equal vectors can
    get unequal similarities. The search therefore takes from it only what lies beyond a tolerance, and computes the few
    close calls once more in float64, each from its two vectors alone: ties are ties, and no result depends on the order
    of the input, the number of threads or the library.
    """

    def __init__(
        self, predictions: Predictions, rows: np.ndarray, arrays: Arrays, memory: int, *, normalise: bool = False
    ) -> None:
        """Bring the two sides together.

        Args:
            predictions: the embeddings of the detections may be memory-mapped.
            rows: (N,) int64, which of its detections are the gallery's.
            arrays: the backend.
            memory: bytes that a tile and a stretch of the gallery may take each.
            normalise: scale the embeddings of the gallery to length one, as they are needed.
        """
        queries = predictions.query_embeddings
        self.queries, self._embeddings, self._rows, self.arrays = queries, predictions.embeddings, rows, arrays
        dim = queries.shape[1]
        self.stretch = max(1, min(len(rows), memory // (4 * max(dim, min(_QUERIES_AT_ONCE, len(queries))))))
        # Blocks of one size, as few as can be: where the processor's cores multiply matrices, each one has its cost.
        blocks = -(-len(queries) // max(1, memory // (4 * self.stretch)))
        self.block = max(1, -(-len(queries) // max(1, blocks)))
        # A little more than the lengths, which are rounded themselves.
        self._norms = 1.001 * np.sqrt(np.einsum("nd,nd->n", queries, queries, dtype=np.float64))
        self._longest = 1.0 if normalise else predictions.longest[0]
        self._normalise = normalise
        self._on_device = arrays.put(queries)
        self._resident: Any = None

    def tiles(self, queries: np.ndarray) -> Iterator[Tile]:
        """The tiles of some queries, given by number, from the first detection to the last."""
        chosen = self._on_device[self.arrays.put(queries)]
        for start in range(0, len(self._rows), self.stretch):
            stretch = slice(start, min(start + self.stretch, len(self._rows)))
            yield Tile(stretch, self.arrays.product(chosen, self._load(stretch)))
            if self.num_tiles > 1:
                rows = self._rows[stretch]
                hand_back(self._embeddings[rows.min() : rows.max() + 1])

    def tolerance(self, queries: np.ndarray) -> np.ndarray:
        """(b,) float64: how far the similarities of tiles may lie from the exact ones, for queries given by number.

        The bound for a sum of D products in whatever order (Higham, Accuracy and Stability of Numerical Algorithms,
        2002, section 3.1), and room for products so small that they are lost.
        """
        dim = self._on_device.shape[1]
        rounding = dim * 2.0**-24
        return rounding / (1 - rounding) * self._longest * self._norms[queries] + dim * 2.0**-125

    @property
    def num_tiles(self) -> int:
        """Of each block of queries."""
        return -(-len(self._rows) // self.stretch)

    def exact(self, queries: np.ndarray, detections: np.ndarray) -> Any:
        """(n,) float64, of the backend: the similarities of pairs, given by number."""
        put, pieces = self.arrays.put, []
        for start in range(0, max(1, len(queries)), PAIRS_AT_ONCE):
            chosen = detections[start : start + PAIRS_AT_ONCE]
            asked = self._on_device[put(queries[start : start + PAIRS_AT_ONCE])]
            found = put(self.embeddings(chosen)) if self._resident is None else self._resident[put(chosen)]
            pieces.append(self.arrays.dots(asked, found))
        return self.arrays.xp.concatenate(pieces)

    def embeddings(self, detections: np.ndarray) -> np.ndarray:
        """(n, D) float32: the embeddings of some detections."""
        found = self._embeddings[self._rows[detections]]
        return unit(found) if self._normalise else found

    def _load(self, stretch: slice) -> Any:
        """A stretch of the gallery; kept where it is the whole gallery."""
        if self._resident is not None:
            return self._resident
        rows = self._rows[stretch]
        together = (np.diff(rows) == 1).all()
        found = self._embeddings[rows[0] : rows[-1] + 1] if together else self._embeddings[rows]
        loaded = self.arrays.put(unit(found) if self._normalise else found)
        if self.num_tiles == 1:
            self._resident = loaded
        return loaded


class Tiles:
    """The tiles of a block of queries, to be gone through several times; one that is the whole gallery is kept."""

    def __init__(self, similarities: Similarities, block: np.ndarray) -> None:
        """Take queries of the predictions, given by number."""
        self._similarities, self._block = similarities, block
        self._kept = list(similarities.tiles(block)) if similarities.num_tiles == 1 else None

    def __iter__(self) -> Iterator[Tile]:
        return iter(self._kept) if self._kept is not None else self._similarities.tiles(self._block)
