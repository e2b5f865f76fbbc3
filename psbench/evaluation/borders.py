"""Boxes that stick out of their images, as those in pixels of a resized image do."""

from __future__ import annotations

import numpy as np

from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench_data import Scenes

_OVER = 2
"""Pixels by which rounding, on the way to a resized image and back, moves a box beyond the border."""
_OPENED = 100
"""Image files that are opened to learn whether boxes are in pixels of the original images."""
_MOST = 0.5
"""A share of boxes that stick out; a method that clips its boxes has none."""


def image_sizes(test: Scenes, which: np.ndarray, *, progress: bool = False) -> np.ndarray:
    """(S, 2) int64: height and width, pixels, as annotation or, of some scenes, image files tell; 0 where none does.

    Args:
        test: the S scenes.
        which: (n,) indices of those whose image files are opened where the annotation says nothing.
        progress: whether to show a bar while files are opened.
    """
    from psbench_data.integrity.images import header_sizes

    sizes = test.sizes.astype(np.int64)
    unsaid = which[sizes[which, 0] == 0]
    if len(unsaid):
        sizes[unsaid] = header_sizes(test, unsaid, progress=progress)
    return sizes


def sticking_out(
    boxes: np.ndarray, scene: np.ndarray, test: Scenes, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which boxes stick out of their images, and by how much.

    Args:
        boxes: (N, 4), xyxy, pixels.
        scene: (N,) the test scene of each, -1 for an unknown one, whose boxes are passed over.
        test: the scenes.
        sizes: (S, 2) height and width, see `image_sizes`; 0 where only the left and upper border are known.

    Returns:
        (n,) indices of the boxes, and (N,) pixels beyond the border, negative inside.
    """
    extent = np.where(sizes > 0, sizes, np.inf)[scene, ::-1]
    over = np.maximum(-boxes[:, :2], boxes[:, 2:] - extent).max(axis=1, initial=-np.inf)
    outside = np.flatnonzero((over > _OVER) & (scene >= 0))
    if not len(outside):
        return outside, over
    # Annotations have such boxes, too: 96 of PRW's test frames. Who predicts just these may.
    of_test = np.repeat(np.arange(len(test)), np.diff(test.offsets)).tolist()
    annotated = set(zip(of_test, map(np.ndarray.tobytes, test.boxes), strict=True))
    own = [(int(scene[row]), boxes[row].tobytes()) in annotated for row in outside.tolist()]
    return outside[~np.array(own)], over


def resized_text(number: int, total: int) -> str:
    """What to say of so many boxes that stick out, of all that were looked at."""
    return f"{number:,} of {total:,} boxes stick out of their image: are they in pixels of a resized one?"


def resized_note(predictions: Predictions | PairwisePredictions, test: Scenes) -> str:
    """What to tell beside numbers of predictions most of whose boxes stick out of their images; empty if few do.

    Looks at scenes whose size the annotation tells, and else at so many as can be opened in a moment.

    Args:
        predictions: that fit the scenes.
        test: the scenes that they were made on.
    """
    owners = np.array([test.positions[name] for name in predictions.scene_names], np.int64)
    if isinstance(predictions, PairwisePredictions):
        owners = owners[predictions.pair_scenes]
    scene = np.repeat(owners, predictions.counts)
    used = np.unique(scene)
    sizes = image_sizes(test, used[np.linspace(0, len(used) - 1, min(len(used), _OPENED)).astype(np.int64)])
    scene = np.where(sizes[scene, 0] > 0, scene, -1)
    total, number = int((scene >= 0).sum()), len(sticking_out(predictions.boxes, scene, test, sizes)[0])
    return resized_text(number, total) if number > _MOST * total else ""
