"""MovieNet-CS: reads the official tree (Qin et al., 2023), which resembles CUHK-SYSU's.

    <root>/Image/<name>.jpg
    <root>/annotation/Images.mat                        every scene's boxes
    <root>/annotation/pool_<size>.mat                   the test scenes of a gallery size
    <root>/annotation/test/train_test/TestG<size>.mat   queries and galleries, one file a gallery size
    <root>/annotation/test/train_test/Train_app<n>.mat  the training identities, each with at most n appearances

The training scenes are those of the chosen `Train_app<n>.mat`, each once; the test scenes are those of all pools.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from psbench_data import matlab
from psbench_data.errors import InputError
from psbench_data.faults import COPY_AGAIN, Collected, RowFaults, require_some
from psbench_data.scenes import Scenes
from psbench_data.sources.image_list_files import LISTS, image_folder, numbered_lists
from psbench_data.sources.image_lists import (
    Person,
    annotated_boxes,
    labelled_split,
    read_pool,
    require_listed,
    require_once,
    scene_name,
    search_table,
    searched_people,
    xywh,
)
from psbench_data.sources.source import Source, Split

if TYPE_CHECKING:
    import pyarrow as pa


class MovieNetCs(Source):
    """The reader of one tree.

    Args:
        root: the tree.
        train_subset: at most how many appearances an identity has in training: 10, 30, 50, 70 or 100.
    """

    name = "movienet_cs"
    versions: ClassVar[Mapping[str, int]] = {r"gallery-(\d+|all)": 1}

    def __init__(self, root: Path, *, train_subset: int = 10) -> None:
        if not isinstance(train_subset, int):
            raise InputError(f"movienet_cs: train_subset is {train_subset!r}, expected a whole number, as in 30.")
        super().__init__(root)
        self._train_subset = train_subset
        self._train_list = root / LISTS / f"Train_app{train_subset}.mat"
        if not self._train_list.is_file():
            there = ", ".join(map(str, numbered_lists(root, "Train_app"))) or "none"
            raise InputError(
                f"{self._train_list}: expected for train_subset={train_subset}, and not there. There are: {there}."
            )

    @property
    def options(self) -> dict[str, int]:
        """The training set."""
        return {"train_subset": self._train_subset}

    @property
    def settings(self) -> str:
        """Where the images are."""
        return image_folder(self.name, self.root)

    def protocols(self) -> dict[str, int]:
        """Those whose list and pool are there, smallest gallery first, and `gallery-all`."""
        names = [f"gallery-{size}" for size in self._search_lists()]
        return self.versioned([*names, *(["gallery-all"] if names else [])])

    def scene_files(self) -> list[Path]:
        """Images, the training identities, and the pools and search lists."""
        tests = [file for size, path in self._required_lists().items() for file in (self._pool(size), path)]
        return [self.root / "annotation/Images.mat", self._train_list, *tests]

    def protocol_files(self, name: str) -> list[Path]:
        """None that the scenes do not depend on."""
        return []

    def scenes(self) -> dict[str, Split]:
        """Both splits: `train` as first listed by the training identities, `test` as first listed by the pools.

        Training people are the rows of `Train_app<n>.mat`, test people the rows of the smallest search list, then those
        that only a larger one has.
        """
        lists = self._required_lists()
        boxes: dict[str, np.ndarray] = {}
        pools: dict[str, None] = {}
        with Collected() as faults:
            with faults.step():
                boxes = annotated_boxes(self.root / "annotation/Images.mat", self.remark)
            with faults.step():
                trained = self._train_people(boxes or None)
            with faults.step():
                tested = searched_people(lists.values(), self.remark)
            for size in lists:
                with faults.step():
                    pools |= dict.fromkeys(read_pool(self._pool(size), boxes or None))
        # A listed scene outside the pools joins them, so that no query, true match or distractor is lost.
        outside = {scene: place for scene, place in tested.scenes.items() if scene not in pools}
        require_listed(outside, boxes, "Images.mat")
        for scene, (path, row) in outside.items():
            self.remark(path, f"row {row}", f"scene {scene} is in no pool", "It is added to the test scenes.")
        test = {**pools, **outside}
        train: dict[str, int] = {}
        for person in trained:
            for scene, _ in person.places:
                train.setdefault(scene, person.row)
        require_some(train, self._train_list, "scene")
        for scene in train:
            if scene in test:
                what = f"scene {scene} is a test scene, too"
                self.remark(self._train_list, f"row {train[scene]}", what, "It stays in both, learned from and judged.")
        folder = image_folder(self.name, self.root)
        return {
            "train": labelled_split(list(train), boxes, trained, folder, {}, self.remark),
            "test": labelled_split(list(test), boxes, tested.people, folder, {}, self.remark),
        }

    def protocol(self, name: str, test: Scenes) -> pa.Table:
        """A search list in its pool; for `gallery-all` the smallest, and all of its pool but the query's own scene."""
        everything = name == "gallery-all"
        size = next(iter(self._search_lists())) if everything else int(name.removeprefix("gallery-"))
        pool_file = self._pool(size)
        return search_table(
            self.root / LISTS / f"TestG{size}.mat",
            test,
            pool_file,
            pool=read_pool(pool_file, test.positions),
            rest="all" if everything else "none",
            remark=self.remark,
        )

    def _required_lists(self) -> dict[int, Path]:
        if lists := self._search_lists():
            return lists
        raise InputError(
            f"{self.root / LISTS}: no TestG2000.mat ... with annotation/pool_2000.mat ... is there, so there are no "
            "queries. Extract the archive of annotations in full."
        )

    def _search_lists(self) -> dict[int, Path]:
        """Those with a pool, by gallery size."""
        lists = numbered_lists(self.root, "TestG")
        return {size: path for size, path in lists.items() if self._pool(size).is_file()}

    def _pool(self, size: int) -> Path:
        return self.root / f"annotation/pool_{size}.mat"

    def _train_people(self, known: Container[str] | None) -> list[Person]:
        """The rows of N x 3 cells: id, number of appearances, and M x 3 cells of name, box, hardness.

        Their scenes must be among the known ones where those are known.
        """
        path = self._train_list
        people: list[Person] = []
        rows: dict[str, int] = {}
        with RowFaults(path) as faults:
            table = matlab.read_any(path, ("Train",))
            if table.size and (table.ndim != 2 or table.shape[1] != 3 or table.dtype != object):
                found = f"{'x'.join(map(str, table.shape))} {'cells' if table.dtype == object else 'numbers'}"
                raise InputError(f"{path}: expected N x 3 cells (id, appearances, scenes), found {found}. {COPY_AGAIN}")
            for i, (label, _, scenes) in enumerate(table):
                with faults.row(i):
                    places = [
                        (scene_name(name), xywh(box)) for name, box, _ in np.asarray(scenes, object).reshape(-1, 3)
                    ]
                    for scene, _ in places:
                        if known is not None and scene not in known:
                            raise ValueError(f"scene {scene!r} is not in Images.mat")
                    name = matlab.text(label)
                    require_once(name, i, rows)
                    people.append(Person(name, path, i, places))
        require_some(people, path, "person")
        return people
