"""Context bipartite graph matching (SeqNet, AAAI 2021): the people around a query help to recognise it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from psbench.intake import is_whole
from psbench_data import InputError


@dataclass(frozen=True)
class CBGM:
    """The `cbgm` argument of `evaluate`.

    The scenes of the k1 most similar detections of a gallery are looked at again: the query and its k2 - 1 most
    confident neighbours are matched with the people of the scene, maximising the sum of similarities, and the detection
    that the query is matched with gets the largest similarity of all matched pairs.

    Attributes:
        k1: 10 for CUHK-SYSU and MovieNet-CS, 30 for PRW.
        k2: 3 for CUHK-SYSU and MovieNet-CS, 4 for PRW.
    """

    k1: int = 10
    k2: int = 3

    def __post_init__(self) -> None:
        if not (is_whole(self.k1) and is_whole(self.k2)) or self.k1 < 1 or self.k2 < 1:
            raise InputError(f"CBGM(k1={self.k1!r}, k2={self.k2!r}): expected whole numbers, at least 1 each.")
        object.__setattr__(self, "k1", int(self.k1))
        object.__setattr__(self, "k2", int(self.k2))


@dataclass(frozen=True, eq=False)
class Revisions:
    """Similarities that matching has changed.

    Attributes:
        queries: (r,) int64, ascending, numbers within the block that was revised.
        detections: (r,) int64, ascending for each query.
        before, after: (r,) float64.
    """

    queries: np.ndarray
    detections: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @classmethod
    def none(cls) -> Revisions:
        """Nothing was changed."""
        whole, real = np.zeros(0, np.int64), np.zeros(0)
        return cls(whole, whole, real, real)

    def applied(self, queries: np.ndarray, detections: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """(n,) the similarities of pairs, those that were changed replaced."""
        place = self._places(queries, detections)
        return np.where(place >= 0, self.after[place], similarities) if len(self.after) else similarities

    def plain(self, queries: np.ndarray, detections: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        """(n,) the similarities of pairs, those that were changed as they were before."""
        place = self._places(queries, detections)
        return np.where(place >= 0, self.before[place], similarities) if len(self.before) else similarities

    def changed(self, queries: np.ndarray, detections: np.ndarray) -> np.ndarray:
        """(n,) bool: the pairs that were changed."""
        return self._places(queries, detections) >= 0

    def _places(self, queries: np.ndarray, detections: np.ndarray) -> np.ndarray:
        if not len(self.queries):
            return np.full(len(queries), -1)
        width = int(max(self.detections.max(), detections.max(initial=0))) + 1
        known, wanted = self.queries * width + self.detections, queries * width + detections
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(known[place] == wanted, place, -1)
