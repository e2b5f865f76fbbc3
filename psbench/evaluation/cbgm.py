"""Context bipartite graph matching (SeqNet, AAAI 2021): the people around a query help to recognise it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
        if self.k1 < 1 or self.k2 < 1:
            raise InputError(f"CBGM(k1={self.k1}, k2={self.k2}): expected at least 1 each.")


def rescore(
    cbgm: CBGM,
    similarities: np.ndarray,
    candidates: np.ndarray,
    scene_offsets: np.ndarray,
    scene_of: np.ndarray,
    embeddings: np.ndarray,
    context: np.ndarray,
) -> np.ndarray:
    """The similarities of one query after matching.

    Args:
        cbgm: k1 and k2.
        similarities: (N,) of all detections to the query.
        candidates: indices of the detections in the query's gallery.
        scene_offsets: (S + 1,) where each scene's detections begin and end.
        scene_of: (N,) the scene of each detection.
        embeddings: (N, D).
        context: (n, D) embeddings of the query scene's people, the query first, then by confidence.

    Returns:
        (N,): a new array. Between equal similarities at the cut after k1, those listed first are taken.
    """
    from scipy.optimize import linear_sum_assignment

    best = candidates[np.argsort(-similarities[candidates], kind="stable")[: cbgm.k1]]
    revised = similarities.copy()
    neighbours = context[: cbgm.k2].astype(np.float64)
    for scene in np.unique(scene_of[best]):
        people = slice(scene_offsets[scene], scene_offsets[scene + 1])
        weights = neighbours @ embeddings[people].T
        rows, columns = linear_sum_assignment(weights, maximize=True)
        # With fewer people in the scene than neighbours, the query itself can go without a match.
        if rows[0] == 0:
            revised[people.start + columns[0]] = weights[rows, columns].max()
    return revised
