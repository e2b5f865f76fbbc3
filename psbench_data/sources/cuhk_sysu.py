"""CUHK-SYSU: reads the official tree (Xiao et al., CVPR 2017).

<root>/Image/SSM/s<number>.jpg
<root>/annotation/Images.mat                        every scene's boxes
<root>/annotation/pool.mat                          the test scenes, in gallery order
<root>/annotation/test/train_test/Train.mat         the training identities
<root>/annotation/test/train_test/TestG<size>.mat   queries and galleries, one file a gallery size
<root>/annotation/test/subset/{Occlusion,Resolution}.mat   the queries that are covered, and those that are small
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from psbench_data import matlab
from psbench_data.errors import InputError
from psbench_data.faults import Collected, RowFaults, require_some
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
from psbench_data.sources.text_files import image_sizes

if TYPE_CHECKING:
    import pyarrow as pa

_SUBSETS = {
    "occlusion": ("annotation/test/subset/Occlusion.mat", "Occlusion1"),
    "low-resolution": ("annotation/test/subset/Resolution.mat", "Test_Size"),
}
"""Per protocol: the file and its variable, which is not named like the file."""


class CuhkSysu(Source):
    """The reader of one tree."""

    name = "cuhk_sysu"
    versions: ClassVar[Mapping[str, int]] = {r"gallery-(\d+|all)": 1, **dict.fromkeys(_SUBSETS, 1)}

    @property
    def settings(self) -> str:
        """Where the images are."""
        return image_folder(self.name, self.root)

    def protocols(self) -> dict[str, int]:
        """Those whose file is there: by gallery size, the whole pool, the two subsets."""
        names = [f"gallery-{size}" for size in numbered_lists(self.root, "TestG")]
        if names:
            names.append("gallery-all")
        names += [name for name, (file, _) in _SUBSETS.items() if (self.root / file).is_file()]
        return self.versioned(names)

    def scene_files(self) -> list[Path]:
        """Images, pool, training identities, the smallest search list, and image sizes where they are."""
        files = [self._images(), self._pool(), self._train_list(), self._smallest_list()]
        return files + [path for path in self._shapes() if path.is_file()]

    def protocol_files(self, name: str) -> list[Path]:
        """The search list."""
        if name in _SUBSETS:
            return [self.root / _SUBSETS[name][0]]
        return [self._search_list(name)]

    def scenes(self) -> dict[str, Split]:
        """Both splits: `train` sorted by name, `test` in the order of pool.mat.

        Training people are the rows of Train.mat, test people the rows of the smallest search list: all hold the same.
        """
        boxes: dict[str, np.ndarray] = {}
        with Collected() as faults:
            with faults.step():
                boxes = annotated_boxes(self._images(), self.remark)
            with faults.step():
                pool = read_pool(self._pool(), boxes or None)
            with faults.step():
                trained = self._train_people()
            with faults.step():
                tested = searched_people([self._smallest_list()])
            with faults.step():
                sizes = image_sizes(self._shapes())
        in_pool = set(pool)
        require_listed(tested.scenes, in_pool, "annotation/pool.mat")
        train = [name for name in sorted(boxes) if name not in in_pool]
        require_some(train, self._images(), "scene outside annotation/pool.mat, so none to train on")
        folder = image_folder(self.name, self.root)
        return {
            "train": labelled_split(train, boxes, trained, folder, sizes, self.remark),
            "test": labelled_split(pool, boxes, tested.people, folder, sizes, self.remark),
        }

    def protocol(self, name: str, test: Scenes) -> pa.Table:
        """A search list; for `gallery-all` the smallest, and every other scene of the pool but the query's own."""
        if name in _SUBSETS:
            file, variable = _SUBSETS[name]
            return search_table(self.root / file, test, self._pool(), variable=variable)
        path = self._search_list(name)
        table = search_table(path, test, self._pool(), rest="all" if name == "gallery-all" else "none")
        if sorted(table.column("person_id").to_pylist()) != list(range(test.num_identities)):
            raise InputError(
                f"{path}: its {table.num_rows} queries are not the {test.num_identities} people of "
                f"{self._smallest_list().name}. All TestG files of one release hold the same queries: copy them again "
                "from the dataset's archive."
            )
        return table

    def _images(self) -> Path:
        return self.root / "annotation/Images.mat"

    def _pool(self) -> Path:
        return self.root / "annotation/pool.mat"

    def _train_list(self) -> Path:
        return self.root / LISTS / "Train.mat"

    def _search_list(self, name: str) -> Path:
        if name == "gallery-all":
            return self._smallest_list()
        return self.root / LISTS / f"TestG{name.removeprefix('gallery-')}.mat"

    def _smallest_list(self) -> Path:
        lists = numbered_lists(self.root, "TestG")
        if not lists:
            raise InputError(
                f"{self.root / LISTS}: no TestG50.mat ... TestG4000.mat is there, so there are no queries. "
                "Some copies of CUHK-SYSU come without these files: obtain the authors' archive."
            )
        return next(iter(lists.values()))

    def _shapes(self) -> list[Path]:
        return [self.root / "train_shape.txt", self.root / "test_shape.txt"]

    def _train_people(self) -> list[Person]:
        path = self._train_list()
        people: list[Person] = []
        rows: dict[str, int] = {}
        with RowFaults(path) as faults:
            for i, cell in enumerate(matlab.read_list(path, "Train")):
                with faults.row(i):
                    person = matlab.struct(cell)
                    places = [
                        (scene_name(place["imname"]), xywh(place["idlocate"]))
                        for place in np.ravel(person["scene"])
                        if place["idlocate"].size
                    ]
                    label = matlab.text(person["idname"])
                    require_once(label, i, rows)
                    people.append(Person(label, path, i, places))
        require_some(people, path, "person")
        return people
