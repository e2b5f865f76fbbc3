"""MovieNet-CS: reads the official tree (Qin et al., 2023), which resembles CUHK-SYSU's.

    <root>/Image/<name>.jpg
    <root>/annotation/Images.mat                        every scene's boxes
    <root>/annotation/pool_<size>.mat                   the test scenes of a gallery size
    <root>/annotation/test/train_test/TestG<size>.mat   queries and galleries, one file a gallery size
    <root>/annotation/test/train_test/Train_app<n>.mat  the training identities, each with at most n appearances

The training scenes are those of the chosen `Train_app<n>.mat`, each once; the test scenes are those of all pools.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from psbench_data import matlab
from psbench_data.errors import InputError
from psbench_data.faults import RowFaults
from psbench_data.scenes import Scenes
from psbench_data.sources.image_lists import (
    Person,
    annotated_boxes,
    labelled_split,
    read_pool,
    scene_name,
    search_table,
    searched_people,
    xywh,
)
from psbench_data.sources.layouts import image_folder
from psbench_data.sources.source import Source, Split

if TYPE_CHECKING:
    import pyarrow as pa

_LISTS = "annotation/test/train_test"


class MovieNetCs(Source):
    """The reader of one tree.

    Args:
        root: the tree.
        train_subset: at most how many appearances an identity has in training: 10, 30, 50, 70 or 100.
    """

    name = "movienet_cs"

    def __init__(self, root: Path, *, train_subset: int = 10) -> None:
        super().__init__(root)
        self._train_list = root / _LISTS / f"Train_app{train_subset}.mat"
        if not self._train_list.is_file():
            there = ", ".join(str(n) for n in _numbers(root / _LISTS, "Train_app")) or "none"
            raise InputError(
                f"{self._train_list}: expected for train_subset={train_subset}, and not there. There are: {there}."
            )

    @property
    def settings(self) -> str:
        """Where the images are."""
        return image_folder(self.name, self.root)

    def protocols(self) -> dict[str, int]:
        """Those whose list and pool are there, smallest gallery first, and `gallery-all`."""
        sizes = self._gallery_sizes()
        return dict.fromkeys([*(f"gallery-{size}" for size in sizes), *(["gallery-all"] if sizes else [])], 1)

    def scene_files(self) -> list[Path]:
        """Images, the training identities, and the pools and search lists."""
        tests = [file for size in self._gallery_sizes() for file in (self._pool(size), self._search_list(size))]
        return [self.root / "annotation/Images.mat", self._train_list, *tests]

    def protocol_files(self, name: str) -> list[Path]:
        """None that the scenes do not depend on."""
        return []

    def scenes(self) -> dict[str, Split]:
        """Both splits: `train` as first listed by the training identities, `test` as first listed by the pools.

        Training people are the rows of `Train_app<n>.mat`, test people the rows of the smallest search list, then those
        that only a larger one has.
        """
        sizes = self._gallery_sizes()
        if not sizes:
            raise InputError(
                f"{self.root / _LISTS}: no TestG2000.mat ... with annotation/pool_2000.mat ... is there, so there are "
                "no queries. Extract the archive of annotations in full."
            )
        boxes = annotated_boxes(self.root / "annotation/Images.mat", self.remark)
        trained = self._train_people(boxes)
        tested = searched_people(self._search_list(size) for size in sizes)
        train = dict.fromkeys(scene for person in trained for scene, _ in person.places)
        test = dict.fromkeys(name for size in sizes for name in read_pool(self._pool(size), boxes))
        # A listed scene outside the pools joins them, so that no query or true match is lost.
        listed = {scene: person for person in tested for scene, _ in person.places if scene not in test}
        if unknown := [(scene, person) for scene, person in listed.items() if scene not in boxes]:
            raise InputError(
                f"{person.file}: row {person.row}: scene {scene!r} is not in Images.mat. Use the files of one release."
                for scene, person in unknown
            )
        for scene, person in listed.items():
            self.remark(
                person.file, f"row {person.row}", f"scene {scene} is in no pool", "It is added to the test scenes."
            )
        folder = image_folder(self.name, self.root)
        return {
            "train": labelled_split(list(train), boxes, trained, folder, {}, self.remark),
            "test": labelled_split([*test, *listed], boxes, tested, folder, {}, self.remark),
        }

    def protocol(self, name: str, test: Scenes) -> pa.Table:
        """A search list in its pool; for `gallery-all` the smallest, and all of its pool but the query's own scene."""
        everything = name == "gallery-all"
        size = self._gallery_sizes()[0] if everything else int(name.removeprefix("gallery-"))
        pool = read_pool(self._pool(size), test.positions)
        return search_table(self._search_list(size), test, pool=pool, rest="all" if everything else "none")

    def _gallery_sizes(self) -> list[int]:
        return [size for size in _numbers(self.root / _LISTS, "TestG") if self._pool(size).is_file()]

    def _pool(self, size: int) -> Path:
        return self.root / f"annotation/pool_{size}.mat"

    def _search_list(self, size: int) -> Path:
        return self.root / _LISTS / f"TestG{size}.mat"

    def _train_people(self, boxes: dict[str, np.ndarray]) -> list[Person]:
        """The rows of N x 3 cells: id, number of appearances, and M x 3 cells of name, box, hardness."""
        path = self._train_list
        people: list[Person] = []
        with RowFaults(path) as faults:
            table = matlab.read_any(path, ("Train",))
            if table.ndim != 2 or table.shape[1] != 3:
                shape = "x".join(map(str, table.shape))
                raise InputError(f"{path}: expected N x 3 cells (id, appearances, scenes), found {shape}.")
            for i, (label, _, scenes) in enumerate(table):
                with faults.row(i):
                    places = [
                        (scene_name(name), xywh(box)) for name, box, _ in np.asarray(scenes, object).reshape(-1, 3)
                    ]
                    for scene, _ in places:
                        if scene not in boxes:
                            raise ValueError(f"scene {scene!r} is not in Images.mat")
                    people.append(Person(matlab.text(label), path, i, places))
        return people


def _numbers(folder: Path, stem: str) -> list[int]:
    found = (re.fullmatch(rf"{stem}(\d+)\.mat", path.name, re.ASCII) for path in folder.glob(f"{stem}*.mat"))
    return sorted(int(match[1]) for match in found if match)
