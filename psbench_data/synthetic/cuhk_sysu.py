"""Writes a synthetic world as the CUHK-SYSU archive: same folders, same variables, same integer types."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from psbench_data.synthetic.matlab_writer import ENTRY, annotated_images, column, number, save, structs, xywh
from psbench_data.synthetic.search_list_writer import write_search_lists
from psbench_data.synthetic.searches import Searches, gallery_entries
from psbench_data.synthetic.spec import WorldSpec
from psbench_data.synthetic.tree import write_shapes, write_tree
from psbench_data.synthetic.world import World

GALLERY_SIZES = (50, 100, 500, 1000, 2000, 4000)
"""The official gallery sizes; unless `gallery_entries` says otherwise, those below the number of test scenes."""
_SUBSET_GALLERY = 100
_OCCLUDED, _LOW_RESOLUTION = 187 / 2900, 0.1
"""How many of the official queries are in the two subsets."""


def write_cuhk_sysu(spec: WorldSpec, root: Path, *, images: bool = True, progress: bool = False) -> None:
    """Plan, draw and write a world.

    The folder appears whole or not at all: it is written beside `root` and renamed at the end.

    Args:
        spec: the world.
        root: the folder to make; it must not exist, or be empty.
        images: whether to draw the pictures; without them, only annotations are written, the same ones.
        progress: whether to show a progress bar.

    Raises:
        InputError: `root` has content, or the world is too small for the smallest gallery.
    """
    gallery_entries(spec, GALLERY_SIZES)
    write_tree("cuhk_sysu", annotate, spec, root, images=images, progress=progress)


def annotate(world: World, root: Path) -> dict[str, list[str]]:
    """Write the annotations; gives the path of every scene's picture."""
    spec, folder = world.spec, root / "annotation"
    lists = folder / "test/train_test"
    lists.mkdir(parents=True)
    rng = np.random.default_rng([spec.seed, 7])
    # Official names carry arbitrary numbers: train and test scenes alternate without order.
    numbers = np.split(rng.permutation(spec.train_scenes + spec.test_scenes) + 1, [spec.train_scenes])
    names = {
        split.name: [f"s{number}.jpg" for number in of_split.tolist()]
        for split, of_split in zip(world.splits, numbers, strict=True)
    }
    by_number = np.argsort(np.concatenate(numbers))
    boxes = [split.boxes[split.rows(scene)] for split in world.splits for scene in range(len(split))]
    both = names["train"] + names["test"]
    save(folder / "Images.mat", "Img", annotated_images([both[i] for i in by_number], [boxes[i] for i in by_number]))
    save(folder / "pool.mat", "pool", column(names["test"]))
    labels = id_names(spec.train_identities + spec.test_identities, rng)
    save(lists / "Train.mat", "Train", column(_training_people(world, names["train"], labels)))
    _write_searches(world, labels[spec.train_identities :], names["test"], folder / "test", rng)
    write_shapes(world, names, root)
    return {split: [f"Image/SSM/{name}" for name in of_split] for split, of_split in names.items()}


def id_names(count: int, rng: np.random.Generator) -> list[str]:
    """Names of people: numbers without order and with gaps, as 8,432 of 11,934 are used in the genuine files."""
    return [f"p{i + 1}" for i in rng.permutation(count * 11934 // 8432)[:count].tolist()]


def _training_people(world: World, names: list[str], labels: list[str]) -> list[np.ndarray]:
    train, people = world.train, []
    for label, rows in zip(labels, train.appearances(0, world.spec.train_identities), strict=False):
        places = [(names[train.scenes[row]], xywh(train.boxes[row]), number(0)) for row in rows.tolist()]
        fields = ("idname", "nAppear", "scene")
        people.append(structs(fields, [(label, number(len(rows)), structs(ENTRY, places))]))
    return people


def _write_searches(world: World, labels: list[str], pool: list[str], folder: Path, rng: np.random.Generator) -> None:
    queries = [int(rng.choice(rows)) for rows in world.queried()]
    searches = Searches(world, labels, np.arange(len(pool)), queries, rng)
    sizes = gallery_entries(world.spec, GALLERY_SIZES)
    for size, entries in sizes.items():
        path = folder / f"train_test/TestG{size}.mat"
        write_search_lists(path, path.stem, pool, searches.listed(entries), empty="absent")
    if _SUBSET_GALLERY not in sizes:
        return
    (folder / "subset").mkdir()
    covered, box = world.test.covered[queries], world.test.boxes[queries]
    pixels = (box[:, 2:] - box[:, :2]).prod(axis=1)
    hard = [("Occlusion", "Occlusion1", -covered, _OCCLUDED), ("Resolution", "Test_Size", pixels, _LOW_RESOLUTION)]
    for name, variable, ease, share in hard:
        hardest = np.argsort(ease, kind="stable")[: max(round(share * len(queries)), 1)]
        listed = searches.listed(sizes[_SUBSET_GALLERY], np.sort(hardest).tolist())
        write_search_lists(folder / f"subset/{name}.mat", variable, pool, listed, empty="absent")
