"""Key-point files of PRW and LSPS: 16 points of every person, as a pose estimator would leave them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from psbench_data.synthetic.bodies import key_points, reach
from psbench_data.synthetic.world import PlannedSplit


def write_key_points(split: PlannedSplit, names: Sequence[str], points: Path, scores: Path) -> None:
    """Write two files with a line a person, `<frame>p_<number>.jpg` first: x and y of each point, and scores.

    Points count from the corner of the person's box. A point outside the picture has a score below 0.1, which readers
    take for invisible.
    """
    at = image_key_points(split)
    inside = ((at >= 0) & (at <= split.sizes[split.scenes][:, None, ::-1])).all(axis=2)
    seen = np.where(inside, 0.5 + 0.5 * (1 - split.covered)[:, None], 0.05)
    relative = np.rint(at - split.boxes[:, None, :2]).astype(int).reshape(len(at), -1)
    lines: tuple[list[str], list[str]] = ([], [])
    for row, scene in enumerate(split.scenes.tolist()):
        number = 1 + row - int(split.offsets[scene])
        record = f"{Path(names[scene]).stem}p_{number}.jpg"
        lines[0].append("\t".join([record, *map(str, relative[row].tolist())]) + "\n")
        lines[1].append("\t".join([record, *(f"{score:.4f}" for score in seen[row].tolist())]) + "\n")
    points.write_bytes("".join(lines[0]).encode())
    scores.write_bytes("".join(lines[1]).encode())


def image_key_points(split: PlannedSplit) -> np.ndarray:
    """(N, 16, 2): the MPII key points of everybody, x and y in pixels of the image."""
    height = split.whole[:, 3] - split.whole[:, 1]
    axis = split.whole[:, 0] - reach(split.bodies, split.poses)[:, 0] * height
    crown = np.stack([axis, split.whole[:, 1]], axis=1)
    return crown[:, None] + key_points(split.bodies, split.poses) * height[:, None, None]
