"""Writes a planned world as a dataset's folder, whole or not at all: annotations, pictures and a marker."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL.Image import Image

from psbench_data.atomic import new_folder, write_image
from psbench_data.dataset import SYNTHETIC_MARKER
from psbench_data.scenes import UNLABELED
from psbench_data.synthetic.people import Wardrobe, figures, random_wardrobe
from psbench_data.synthetic.places import draw_scene
from psbench_data.synthetic.spec import SPLITS, WorldSpec
from psbench_data.synthetic.world import PlannedSplit, World, plan

Annotate = Callable[[World, Path], Mapping[str, Sequence[str]]]
"""Writes a world's annotations below a folder; gives, per split, the path of every scene's picture in it."""


def write_tree(
    format_name: str, annotate: Annotate, spec: WorldSpec, root: Path, *, images: bool, progress: bool
) -> None:
    """Plan, annotate and draw a world.

    Raises:
        InputError: `root` has content, or the format cannot hold such a world.
    """
    with new_folder(root) as partial:
        world = plan(spec)
        paths = annotate(world, partial)
        if images:
            _draw(world, paths, partial, progress)
        (partial / SYNTHETIC_MARKER).write_text(marker_text(format_name, spec), encoding="utf-8")


def holds(format_name: str, spec: WorldSpec, root: Path) -> bool:
    """Whether a folder is what `write_tree` makes of a world, as its marker says; it may have no pictures."""
    try:
        written = json.loads((root / SYNTHETIC_MARKER).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    wanted = json.loads(marker_text(format_name, spec))
    return isinstance(written, dict) and wanted == {name: written.get(name) for name in wanted}


def marker_text(format_name: str, spec: WorldSpec) -> str:
    """What `synthetic.json` holds: who wrote the tree, in which format, and the world."""
    marker = {"written_by": "psbench-data synthesize", "format": format_name, **dataclasses.asdict(spec)}
    return json.dumps(marker, indent=1) + "\n"


def write_shapes(world: World, names: Mapping[str, Sequence[str]], folder: Path) -> None:
    """train_shape.txt and test_shape.txt, which some readers ask for: name, height and width of every image."""
    for split in world.splits:
        rows = zip(names[split.name], split.sizes.tolist(), strict=True)
        text = "".join(f"{name}\t{height}\t{width}\n" for name, (height, width) in rows)
        (folder / f"{split.name}_shape.txt").write_bytes(text.encode())


def draw(world: World, split: PlannedSplit, scene: int) -> Image:
    """The picture of a scene of one of a world's splits, RGB."""
    rows, place = split.rows(scene), world.places[split.places[scene]]
    wardrobes = [_wardrobe(world.spec.seed, split, row) for row in range(rows.start, rows.stop)]
    whole = split.whole[rows]
    people = figures(split.bodies[rows], split.poses[rows], wardrobes, whole, place.light)
    rng = np.random.default_rng([world.spec.seed, 4, SPLITS.index(split.name), scene])
    height, width = split.sizes[scene].tolist()
    return draw_scene(place, people, whole, (height, width), rng)


def _draw(world: World, paths: Mapping[str, Sequence[str]], root: Path, progress: bool) -> None:
    from tqdm import tqdm

    for folder in {(root / path).parent for split in paths.values() for path in split}:
        folder.mkdir(parents=True, exist_ok=True)
    jobs = [(split, scene) for split in world.splits for scene in range(len(split))]
    for split, scene in tqdm(jobs, desc="drawing scenes", unit="scene", disable=not progress):
        write_image(draw(world, split, scene), root / paths[split.name][scene], "JPEG", quality=92)


def _wardrobe(seed: int, split: PlannedSplit, row: int) -> Wardrobe:
    """What a person wears: the same wherever an identity is seen, new for each stranger."""
    person = int(split.people[row])
    who = [6, SPLITS.index(split.name), row] if person == UNLABELED else [5, person]
    return random_wardrobe(np.random.default_rng([seed, *who]))
