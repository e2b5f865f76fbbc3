"""One query whose outcome can be worked out by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from psbench import Predictions
from psbench_data import Protocol, Scenes
from psbench_data.galleries import protocol_table
from psbench_data.scenes import scenes_table

PERSON, ELSEWHERE = [0, 0, 20, 40], [50, 50, 60, 70]


def one_query(
    similarities: Sequence[float] | np.ndarray, *, right: int | None = None, own: bool = True
) -> tuple[Predictions, Protocol]:
    """Somebody of scene 0 is searched for in scene 1, where such similar detections are.

    Args:
        similarities: of any number of detections.
        right: which of them is the person, if one is; all others are elsewhere.
        own: whether the scene of the query is predicted, too, with nothing in it.
    """
    names, person, count = ["0.jpg", "1.jpg"], np.array([PERSON]), len(similarities)
    scenes = Scenes(scenes_table(names, names, [person] * 2, [np.array([0])] * 2), Path(), ["somebody"])
    table = protocol_table([0], person, [0], [np.array([1])], [np.array([0])], [person])
    predictions = Predictions.from_arrays(
        names if own else names[1:],
        counts=[0, count] if own else [count],
        boxes=np.array([PERSON if i == right else ELSEWHERE for i in range(count)]).reshape(-1, 4),
        scores=np.ones(count),
        embeddings=np.reshape(similarities, (-1, 1)),
        query_embeddings=[[1.0]],
        query_scenes=names[:1],
        query_boxes=person,
    )
    return predictions, Protocol("stage", table, scenes, dataset="stage", synthetic=False, version=1)
