"""What other code dumped, as arrays, in the order in which it stands there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False, kw_only=True)
class Dump:
    """Detections of S scenes and embeddings of Q queries; the columns are those of `Predictions.from_arrays`.

    Attributes:
        counts: (S,), detections of each scene.
        boxes: (N, 4), xyxy, pixels of the original images.
        scores: (N,) in [0, 1].
        embeddings: (N, D).
        query_embeddings: (Q, D).
        scene_names: S names, or None: then the scenes are in the dataset's own order.
        query_scenes, query_boxes: Q names and (Q, 4) boxes, or None: then the queries are in the protocol's own order.
        context: counts (Q,), boxes, scores and embeddings of the queries' own scenes, the query's box first; or None.
    """

    counts: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    embeddings: np.ndarray
    query_embeddings: np.ndarray
    scene_names: list[str] | None = None
    query_scenes: list[str] | None = None
    query_boxes: np.ndarray | None = None
    context: Mapping[str, np.ndarray] | None = None
