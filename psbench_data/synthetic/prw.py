"""Writes a synthetic world as PRW-v16.04.20: same folders, same variables, and its ways with numbers and signs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from psbench_data.errors import InputError
from psbench_data.scenes import UNLABELED
from psbench_data.synthetic.camera_queries import camera_queries
from psbench_data.synthetic.key_point_files import write_key_points
from psbench_data.synthetic.matlab_writer import column, save
from psbench_data.synthetic.spec import WorldSpec
from psbench_data.synthetic.tree import write_shapes, write_tree
from psbench_data.synthetic.world import PlannedSplit, World

CAMERAS = 6
SEQUENCES = {
    "train": ("c1s1", "c1s2", "c2s1", "c3s1", "c4s1", "c4s2", "c5s1", "c6s1"),
    "test": (
        "c1s2", "c1s3", "c1s4", "c2s1", "c2s2", "c3s1", "c3s2", "c4s2", "c4s3", "c4s4", "c4s5", "c5s1", "c5s2",
        "c6s1", "c6s2",
    ),
}  # fmt: skip
QUERIES = {2: 16, 3: 47, 4: 97, 5: 244, 6: 46}
"""How many of the 450 people have 2, 3, ... queries."""
_UNLABELLED = -2
_BEYOND = 2.0
"""Pixels by which the box of a person cut by the border runs over it."""
_OTHER_KEY = 40
"""One frame in so many has its annotation under `anno_file`, and one under `anno_previous`."""


def write_prw(spec: WorldSpec, root: Path, *, images: bool = True, progress: bool = False) -> None:
    """Plan, draw and write a world, see `write_cuhk_sysu`. A place of the world is a camera."""
    if spec.places > CAMERAS:
        raise InputError(f"synthesize: places={spec.places}: PRW has {CAMERAS} cameras, one a place.")
    write_tree("prw", annotate, spec, root, images=images, progress=progress)


def annotate(world: World, root: Path) -> dict[str, list[str]]:
    """Write the annotations; gives the path of every scene's picture."""
    pids = _pids(world.spec)
    names = _names(world)
    (root / "annotations").mkdir()
    rows = {}
    for split in world.splits:
        rows[split.name] = _annotated(split, pids)
        _write_frames(split, names[split.name], rows[split.name], root)
    with_suffix = {split: [f"{name}.jpg" for name in of_split] for split, of_split in names.items()}
    write_shapes(world, with_suffix, root)
    write_key_points(world.train, names["train"], root / "pred.txt", root / "scores.txt")
    lines = []
    for queries in camera_queries(world, QUERIES, np.random.default_rng([world.spec.seed, 7])):
        for row in queries.tolist():
            pid, *box = rows["test"][row].tolist()
            place = " ".join(f"{value:.4f}" for value in box)
            lines.append(f"{int(pid)} {place} {names['test'][world.test.scenes[row]]}\r\n")
    (root / "query_info.txt").write_bytes("".join(lines).encode())
    return {split: [f"frames/{name}" for name in of_split] for split, of_split in with_suffix.items()}


def _pids(spec: WorldSpec) -> np.ndarray:
    """The official number of each identity, then that of a stranger.

    In the genuine data the training people are 1 to 478, 480 to 483 and 932, those of the test 479, 484 to 931 and
    933. Smaller worlds have the same gaps: one before the last but one, and the last two far off.
    """
    train, test = spec.train_identities, spec.test_identities
    gap, start = min(train - 1, 479), max(484, train + 1)
    last = max(932, train + 449, start + test - 2)
    first = [pid for pid in range(1, train + 1) if pid != gap][: train - 1]
    middle = list(range(start, start + max(test - 2, 0)))
    return np.array([*first, last, *([479] if test > 1 else []), *middle, last + 1, _UNLABELLED])


def _annotated(split: PlannedSplit, pids: np.ndarray) -> np.ndarray:
    """(N, 5) float64: pid x y w h, in ten thousandths of a pixel."""
    limits = np.tile(split.sizes[split.scenes][:, ::-1], 2) + _BEYOND
    boxes = np.clip(split.whole, -_BEYOND, limits)
    # Position -1 is the stranger's.
    who = pids[np.where(split.people == UNLABELED, -1, split.people)]
    return np.concatenate([who[:, None], boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).round(4)


def _names(world: World) -> dict[str, list[str]]:
    """c<camera>s<sequence>_<frame>: a frame a second of 25; the training split has a sequence's first ones."""
    rng = np.random.default_rng([world.spec.seed, 8])
    names: dict[str, list[str]] = {}
    last: dict[str, int] = {}
    for split in world.splits:
        names[split.name] = []
        taken = {}
        for camera in range(CAMERAS):
            sequences = [s for s in SEQUENCES[split.name] if s.startswith(f"c{camera + 1}")]
            taken[camera] = rng.choice(sequences, int((split.places == camera).sum())).tolist()
        for camera in split.places.tolist():
            sequence = taken[camera].pop()
            last[sequence] = last.get(sequence, int(rng.integers(5000))) + 25
            names[split.name].append(f"{sequence}_{last[sequence]:06d}")
    return names


def _write_frames(split: PlannedSplit, names: list[str], rows: np.ndarray, root: Path) -> None:
    for scene, name in enumerate(names):
        key = {3: "anno_file", 4: "anno_previous"}.get(scene % _OTHER_KEY, "box_new")
        save(root / f"annotations/{name}.jpg.mat", key, rows[split.rows(scene)])
    save(root / f"frame_{split.name}.mat", f"img_index_{split.name}", column(sorted(names)))
