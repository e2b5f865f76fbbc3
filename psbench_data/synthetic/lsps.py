"""Writes a synthetic world in the format of LSPS-v1.0: tab-separated lists beside two folders of frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from psbench_data.scenes import UNLABELED
from psbench_data.synthetic.camera_queries import camera_queries
from psbench_data.synthetic.key_point_files import write_key_points
from psbench_data.synthetic.spec import WorldSpec
from psbench_data.synthetic.tree import write_shapes, write_tree
from psbench_data.synthetic.world import PlannedSplit, World

QUERIES = {1: 1, 2: 1, 3: 1}
"""How many people have 1, 2, 3 queries. The genuine number is not known; this is our choice."""
_UNLABELLED = -1
_FIRST_TEST_ID = 2000
_FRAMES_START = {"train": 100, "test": 200_000}


def write_lsps(spec: WorldSpec, root: Path, *, images: bool = True, progress: bool = False) -> None:
    """Plan, draw and write a world, see `write_cuhk_sysu`. A place of the world is a camera or a pseudo view."""
    write_tree("lsps", annotate, spec, root, images=images, progress=progress)


def annotate(world: World, root: Path) -> dict[str, list[str]]:
    """Write the annotations; gives the path of every scene's picture."""
    rng = np.random.default_rng([world.spec.seed, 7])
    ids = _ids(world.spec, rng)
    names = {split.name: _names(split, rng) for split in world.splits}
    for split in world.splits:
        _write_split(split, names[split.name], ids, root)
    write_shapes(world, names, root)
    write_key_points(world.train, names["train"], root / "pred.txt", root / "scores.txt")
    write_key_points(world.test, names["test"], root / "pred_test.txt", root / "scores_test.txt")
    lines = []
    for queries in camera_queries(world, QUERIES, rng):
        for row in queries.tolist():
            box = [f"{value:.1f}" for value in world.test.boxes[row].tolist()]
            frame = names["test"][world.test.scenes[row]]
            lines.append("\t".join([str(ids[world.test.people[row]]), frame, *box]) + "\n")
    (root / "query_info.txt").write_bytes("".join(lines).encode())
    return {split: [f"{split}/{name}" for name in of_split] for split, of_split in names.items()}


def _ids(spec: WorldSpec, rng: np.random.Generator) -> np.ndarray:
    """The written number of each identity, with gaps, and 0 among them; then that of a stranger."""

    def with_gaps(count: int, start: int) -> list[int]:
        return [start, *(start + 1 + np.sort(rng.permutation(2 * count)[: count - 1])).tolist()]

    train = with_gaps(spec.train_identities, 0)
    return np.array([*train, *with_gaps(spec.test_identities, max(_FIRST_TEST_ID, train[-1] + 1)), _UNLABELLED])


def _names(split: PlannedSplit, rng: np.random.Generator) -> list[str]:
    """f_<frame>_<camera>_<number>.jpg; the third token is the camera, counted from 1."""
    first = _FRAMES_START[split.name]
    last = rng.integers(3, size=len(split)).tolist()
    return [
        f"f_{first + scene:06d}_{camera + 1}_{last[scene]}.jpg" for scene, camera in enumerate(split.places.tolist())
    ]


def _write_split(split: PlannedSplit, names: Sequence[str], ids: np.ndarray, root: Path) -> None:
    who = ids[np.where(split.people == UNLABELED, -1, split.people)].tolist()
    boxes = split.boxes.tolist()
    coordinates, people = [], []
    for scene, name in enumerate(names):
        rows = split.rows(scene)
        values = [str(value) for box in boxes[rows] for value in box]
        # The genuine lines of coordinates end with a tab, those of ids do not.
        coordinates.append("\t".join([name, *values]) + "\t\n")
        people.append("\t".join([name, *map(str, who[rows])]) + "\n")
    (root / f"{split.name}_frame_coord.txt").write_bytes("".join(coordinates).encode())
    (root / f"{split.name}_frame_id.txt").write_bytes("".join(people).encode())
