"""CUHK-SYSU: reads the official tree (Xiao et al., CVPR 2017).

<root>/Image/SSM/s<number>.jpg
<root>/annotation/Images.mat                        every scene's boxes
<root>/annotation/pool.mat                          the test scenes, in gallery order
<root>/annotation/test/train_test/Train.mat         the training identities
<root>/annotation/test/train_test/TestG<size>.mat   queries and galleries, one file a gallery size
<root>/annotation/test/subset/{Occlusion,Resolution}.mat   the queries that are covered, and those that are small
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
from psbench_data.sources.text_files import image_sizes

if TYPE_CHECKING:
    import pyarrow as pa

_LISTS = "annotation/test/train_test"
_SUBSETS = {
    "occlusion": ("annotation/test/subset/Occlusion.mat", "Occlusion1"),
    "low-resolution": ("annotation/test/subset/Resolution.mat", "Test_Size"),
}
"""Per protocol: the file and its variable, which is not named like the file."""


class CuhkSysu(Source):
    """The reader of one tree."""

    name = "cuhk_sysu"

    @property
    def settings(self) -> str:
        """Where the images are."""
        return image_folder(self.name, self.root)

    def protocols(self) -> dict[str, int]:
        """Those whose file is there: by gallery size, the whole pool, the two subsets."""
        names = [f"gallery-{size}" for size in self._gallery_sizes()]
        if names:
            names.append("gallery-all")
        names += [name for name, (file, _) in _SUBSETS.items() if (self.root / file).is_file()]
        return dict.fromkeys(names, 1)

    def scene_files(self) -> list[Path]:
        """Images, pool, training identities, the smallest search list, and image sizes where they are."""
        annotation, lists = self.root / "annotation", self.root / _LISTS
        files = [annotation / "Images.mat", annotation / "pool.mat", lists / "Train.mat", self._smallest_list()]
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
        boxes = annotated_boxes(self.root / "annotation/Images.mat", self.remark)
        pool = read_pool(self.root / "annotation/pool.mat", boxes)
        in_pool = set(pool)
        train = [name for name in sorted(boxes) if name not in in_pool]
        folder, sizes = image_folder(self.name, self.root), image_sizes(self._shapes())
        tested = searched_people([self._smallest_list()])
        unknown = [
            f"{person.file}: row {person.row}: scene {scene!r} is not in annotation/pool.mat. "
            "Use the files of one release."
            for person in tested
            for scene, _ in person.places
            if scene not in in_pool
        ]
        if unknown:
            raise InputError(unknown)
        return {
            "train": labelled_split(train, boxes, self._train_people(), folder, sizes, self.remark),
            "test": labelled_split(pool, boxes, tested, folder, sizes, self.remark),
        }

    def protocol(self, name: str, test: Scenes) -> pa.Table:
        """A search list; for `gallery-all` the smallest, and every other scene of the pool but the query's own."""
        if name in _SUBSETS:
            file, variable = _SUBSETS[name]
            return search_table(self.root / file, test, variable=variable)
        path = self._search_list(name)
        table = search_table(path, test, rest="all" if name == "gallery-all" else "none")
        if sorted(table.column("person_id").to_pylist()) != list(range(test.num_identities)):
            raise InputError(
                f"{path}: its {table.num_rows} queries are not the {test.num_identities} people of "
                f"{self._smallest_list().name}. All TestG files of one release hold the same queries: copy them again "
                "from the dataset's archive."
            )
        return table

    def _gallery_sizes(self) -> list[int]:
        found = (re.fullmatch(r"TestG(\d+)\.mat", p.name, re.ASCII) for p in (self.root / _LISTS).glob("TestG*.mat"))
        return sorted(int(m[1]) for m in found if m)

    def _search_list(self, name: str) -> Path:
        if name == "gallery-all":
            return self._smallest_list()
        return self.root / _LISTS / f"TestG{name.removeprefix('gallery-')}.mat"

    def _smallest_list(self) -> Path:
        sizes = self._gallery_sizes()
        if not sizes:
            raise InputError(
                f"{self.root / _LISTS}: no TestG50.mat ... TestG4000.mat is there, so there are no queries. "
                "Some copies of CUHK-SYSU come without these files: obtain the authors' archive."
            )
        return self.root / _LISTS / f"TestG{sizes[0]}.mat"

    def _shapes(self) -> list[Path]:
        return [self.root / "train_shape.txt", self.root / "test_shape.txt"]

    def _train_people(self) -> list[Person]:
        path = self.root / _LISTS / "Train.mat"
        people: list[Person] = []
        with RowFaults(path) as faults:
            for i, cell in enumerate(matlab.read_variable(path, "Train")):
                with faults.row(i):
                    person = matlab.struct(cell)
                    places = [
                        (scene_name(place["imname"]), xywh(place["idlocate"]))
                        for place in np.ravel(person["scene"])
                        if place["idlocate"].size
                    ]
                    people.append(Person(matlab.text(person["idname"]), path, i, places))
        return people
