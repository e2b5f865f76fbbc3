"""Writes a synthetic world as the MovieNet-CS archive, which resembles CUHK-SYSU's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from psbench_data.errors import InputError
from psbench_data.synthetic.cuhk_sysu import id_names
from psbench_data.synthetic.matlab_writer import annotated_images, cells, column, number, save, xywh
from psbench_data.synthetic.search_list_writer import write_search_lists
from psbench_data.synthetic.searches import Searches, gallery_entries
from psbench_data.synthetic.spec import WorldSpec
from psbench_data.synthetic.tree import write_tree
from psbench_data.synthetic.world import World

GALLERY_SIZES = (2000, 4000, 10000)
"""The official gallery sizes. A pool has one scene more, the query's own."""
TRAIN_APPEARANCES = (10, 30, 50, 70, 100)
"""Train_app<n>.mat lists at most n appearances of each identity."""


def write_movienet_cs(spec: WorldSpec, root: Path, *, images: bool = True, progress: bool = False) -> None:
    """Plan, draw and write a world, see `write_cuhk_sysu`.

    A place of the world is a film. Test scenes that no pool takes are only in Images.mat, as most of the genuine
    file's are.
    """
    gallery_entries(spec, GALLERY_SIZES)
    write_tree("movienet_cs", annotate, spec, root, images=images, progress=progress)


def annotate(world: World, root: Path) -> dict[str, list[str]]:
    """Write the annotations; gives the path of every scene's picture."""
    spec, folder = world.spec, root / "annotation"
    lists = folder / "test/train_test"
    lists.mkdir(parents=True)
    rng = np.random.default_rng([spec.seed, 7])
    names = _names(world, rng)
    both = names["train"] + names["test"]
    boxes = [split.boxes[split.rows(scene)] for split in world.splits for scene in range(len(split))]
    order = sorted(range(len(both)), key=both.__getitem__)
    save(folder / "Images.mat", "Img", annotated_images([both[i] for i in order], [boxes[i] for i in order]))
    labels = id_names(spec.train_identities + spec.test_identities, rng)
    _write_training_people(world, names["train"], labels, lists, rng)
    _write_searches(world, names["test"], labels[spec.train_identities :], folder, rng)
    return {split: [f"Image/{name}" for name in of_split] for split, of_split in names.items()}


def _names(world: World, rng: np.random.Generator) -> dict[str, list[str]]:
    """tt<film>_shot_<shot>_img_<frame>.jpg; a film's scenes belong to both splits."""
    places = np.concatenate([split.places for split in world.splits])
    order = np.lexsort((rng.random(len(places)), places))
    sizes = np.bincount(places)
    within = np.empty(len(places), np.int64)
    within[order] = np.arange(len(places)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # Up to three frames of a shot, as in MovieNet, whose shots are numbered from 0 to some thousands.
    names = [
        f"tt{100 + film:07d}_shot_{i // 3:04d}_img_{i % 3}.jpg"
        for film, i in zip(places.tolist(), within.tolist(), strict=True)
    ]
    first = world.spec.train_scenes
    return {"train": names[:first], "test": names[first:]}


def _write_training_people(
    world: World, names: list[str], labels: list[str], folder: Path, rng: np.random.Generator
) -> None:
    train = world.train
    # A smaller list is part of the larger ones.
    people = [rng.permutation(rows).tolist() for rows in train.appearances(0, world.spec.train_identities)]
    for most in TRAIN_APPEARANCES:
        table = []
        for label, rows in zip(labels, people, strict=False):
            scenes = [(names[train.scenes[row]], xywh(train.boxes[row]), number(0)) for row in rows[:most]]
            table.append((label, number(len(scenes)), cells(scenes)))
        save(folder / f"Train_app{most}.mat", "Train", cells(table))


def _write_searches(world: World, names: list[str], labels: list[str], folder: Path, rng: np.random.Generator) -> None:
    test, queried = world.test, world.queried()
    # Two scenes of everybody are in every pool, the query's and one to be found.
    pairs = np.array([rng.choice(rows, 2, replace=False) for rows in queried])
    needed = np.unique(test.scenes[pairs])
    rest = rng.permutation(np.setdiff1d(np.arange(len(test)), needed))
    for size, entries in gallery_entries(world.spec, GALLERY_SIZES).items():
        if len(needed) > entries + 1:
            raise InputError(
                f"synthesize: the queries and one match each are in {len(needed)} scenes, too many for the pool of "
                f"TestG{size} with {entries} entries. Ask for fewer test_identities or larger galleries."
            )
        pool = np.sort(np.concatenate([needed, rest[: entries + 1 - len(needed)]]))
        in_pool = [names[scene] for scene in pool]
        save(folder / f"pool_{size}.mat", "pool", column(in_pool))
        searches = Searches(
            world, labels, pool, pairs[:, 0].tolist(), np.random.default_rng([world.spec.seed, 8, size])
        )
        path = folder / f"test/train_test/TestG{size}.mat"
        write_search_lists(path, path.stem, in_pool, searches.listed(entries), empty="0x0")
