"""CUHK-SYSU: reads the official tree (Xiao et al., CVPR 2017).

    <root>/Image/SSM/s<number>.jpg
    <root>/annotation/Images.mat                        every scene's boxes
    <root>/annotation/pool.mat                          the test scenes, in gallery order
    <root>/annotation/test/train_test/Train.mat         the training identities
    <root>/annotation/test/train_test/TestG<size>.mat   queries and galleries, one file a gallery size

`Images.mat` has boxes without identities. An identity is the row of a person in `Train.mat` or `TestG*.mat`, and is
given to the box of `Images.mat` that is exactly equal.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from psbench_data import matlab
from psbench_data.errors import InputError
from psbench_data.faults import RowFaults
from psbench_data.protocol import protocol_table
from psbench_data.scenes import UNLABELED, Scenes, scenes_table
from psbench_data.sources.layouts import require_root

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS = "annotation/test/train_test"


@dataclass(frozen=True)
class _Entry:
    """A person's place as the files list it; `box` (xyxy) is None where a gallery scene lacks the person."""

    scene: str
    box: np.ndarray | None


@dataclass(frozen=True)
class _SearchRow:
    """A row of a TestG file."""

    person: str
    query: _Entry
    gallery: list[_Entry]


@dataclass
class CuhkSysu:
    """The reader of one tree.

    Args:
        root: the folder that holds `Image` and `annotation`.

    Raises:
        InputError: root is missing, or is not a tree of CUHK-SYSU.
    """

    root: Path
    name: str = field(default="cuhk_sysu", init=False)

    def __post_init__(self) -> None:
        require_root(self.name, self.root)

    def protocols(self) -> dict[str, int]:
        """The protocols whose file is there, smallest gallery first, each with its version."""
        return {f"gallery-{size}": 1 for size in self._gallery_sizes()}

    def annotation_files(self, protocol: str | None = None) -> list[Path]:
        """The files that the scenes depend on, and with `protocol` the file that it depends on too."""
        splits = self.root / SPLITS
        files = [self.root / "annotation/Images.mat", self.root / "annotation/pool.mat", splits / "Train.mat"]
        files.append(self._test_identities())
        return files if protocol is None else [*files, self._protocol_file(protocol)]

    def scenes(self) -> dict[str, tuple[pa.Table, list[str]]]:
        """Parse the scenes.

        Returns:
            For `train` (sorted by name) and `test` (the order of pool.mat): the table of scenes, and the raw
            identity labels (`p123`) by person_id.

        Raises:
            InputError: listing every fault of a file.
        """
        boxes = self._boxes()
        pool = self._pool(boxes)
        in_pool = set(pool)
        test_rows = self._search_rows(self._test_identities())
        self._require_in_pool(self._test_identities(), test_rows, in_pool)
        test_people = [(r.person, [r.query, *_present(r.gallery)]) for r in test_rows]
        return {
            "train": self._split([name for name in sorted(boxes) if name not in in_pool], boxes, self._train_rows()),
            "test": self._split(pool, boxes, test_people),
        }

    def protocol(self, name: str, test: Scenes) -> pa.Table:
        """Parse the queries, galleries and true boxes of a protocol, in the order of its file."""
        path = self._protocol_file(name)
        rows = self._search_rows(path)
        self._require_in_pool(path, rows, test.positions)
        labels = {label: person_id for person_id, label in enumerate(test.identities)}
        if {row.person for row in rows} != labels.keys() or len(rows) != len(labels):
            raise InputError(
                f"{path}: its {len(rows)} queries are not the {len(labels)} people of {self._test_identities().name}. "
                "All TestG files of one release hold the same queries: copy them again from the dataset's archive."
            )
        present = [[e for e, entry in enumerate(row.gallery) if entry.box is not None] for row in rows]
        return protocol_table(
            scenes=[test.positions[row.query.scene] for row in rows],
            boxes=np.array([row.query.box for row in rows]),
            person_ids=[labels[row.person] for row in rows],
            galleries=[np.array([test.positions[entry.scene] for entry in row.gallery], int) for row in rows],
            truth_entries=[np.array(entries, int) for entries in present],
            truth_boxes=[
                np.array([row.gallery[e].box for e in entries]).reshape(-1, 4)
                for row, entries in zip(rows, present, strict=True)
            ],
        )

    @staticmethod
    def _require_in_pool(path: Path, rows: list[_SearchRow], pool: Container[str]) -> None:
        unknown = [
            f"{path}: row {i}: scene {entry.scene!r} is not in annotation/pool.mat. Use the files of one release."
            for i, row in enumerate(rows)
            for entry in (row.query, *row.gallery)
            if entry.scene not in pool
        ]
        if unknown:
            raise InputError(unknown)

    def _gallery_sizes(self) -> list[int]:
        found = (re.fullmatch(r"TestG(\d+)\.mat", p.name) for p in (self.root / SPLITS).glob("TestG*.mat"))
        return sorted(int(m[1]) for m in found if m)

    def _protocol_file(self, name: str) -> Path:
        return self.root / SPLITS / f"TestG{name.removeprefix('gallery-')}.mat"

    def _test_identities(self) -> Path:
        """The file that gives the test identities: all TestG files hold the same queries, so the smallest."""
        sizes = self._gallery_sizes()
        if not sizes:
            raise InputError(
                f"{self.root / SPLITS}: no TestG50.mat ... TestG4000.mat is there, so there are no queries. "
                "Some copies of CUHK-SYSU come without these files: obtain the authors' archive."
            )
        return self.root / SPLITS / f"TestG{sizes[0]}.mat"

    def _boxes(self) -> dict[str, np.ndarray]:
        """Each scene's boxes (n, 4), int64, x y w h as on disk; boxes without area are dropped."""
        path = self.root / "annotation/Images.mat"
        scenes: dict[str, np.ndarray] = {}
        with RowFaults(path) as faults:
            for i, image in enumerate(matlab.read_variable(path, "Img")):
                with faults.row(i):
                    name = _scene_name(image["imname"])
                    people = np.ravel(image["box"])
                    boxes = np.array([_xywh(person) for person in people], np.int64).reshape(-1, 4)
                    if name in scenes:
                        raise ValueError(f"scene {name!r} is listed a second time")
                    scenes[name] = boxes[(boxes[:, 2] > 0) & (boxes[:, 3] > 0)]
        return scenes

    def _pool(self, boxes: dict[str, np.ndarray]) -> list[str]:
        path = self.root / "annotation/pool.mat"
        pool: dict[str, None] = {}
        with RowFaults(path) as faults:
            for i, cell in enumerate(matlab.read_variable(path, "pool")):
                with faults.row(i):
                    name = _scene_name(cell)
                    if name not in boxes:
                        raise ValueError(f"scene {name!r} is not in Images.mat")
                    if name in pool:
                        raise ValueError(f"scene {name!r} is listed a second time")
                    pool[name] = None
        return list(pool)

    def _train_rows(self) -> list[tuple[str, list[_Entry]]]:
        path = self.root / SPLITS / "Train.mat"
        rows: list[tuple[str, list[_Entry]]] = []
        with RowFaults(path) as faults:
            for i, cell in enumerate(matlab.read_variable(path, "Train")):
                with faults.row(i):
                    person = matlab.struct(cell)
                    entries = [_entry(scene) for scene in np.ravel(person["scene"])]
                    rows.append((matlab.text(person["idname"]), list(_present(entries))))
        return rows

    def _search_rows(self, path: Path) -> list[_SearchRow]:
        rows: list[_SearchRow] = []
        with RowFaults(path) as faults:
            for i, row in enumerate(matlab.read_variable(path, path.stem)):
                with faults.row(i):
                    query = matlab.struct(row["Query"])
                    entry = _entry(query)
                    if entry.box is None or not (entry.box[2:] > entry.box[:2]).all():
                        raise ValueError("the query has no box, or one without area")
                    gallery = [_entry(e) for e in np.ravel(row["Gallery"])]
                    rows.append(_SearchRow(matlab.text(query["idname"]), entry, gallery))
        if not rows:
            raise InputError(f"{path}: holds no query. Copy the file again from the dataset's archive.")
        return rows

    def _split(
        self, names: list[str], boxes: dict[str, np.ndarray], people: list[tuple[str, list[_Entry]]]
    ) -> tuple[pa.Table, list[str]]:
        identities = {name: np.full(len(boxes[name]), UNLABELED, np.int64) for name in names}
        corners = {name: _xyxy(boxes[name]) for name in names}
        for person_id, (_, entries) in enumerate(people):
            for entry in entries:
                if entry.scene in identities:
                    equal = (corners[entry.scene] == entry.box).all(axis=1)
                    identities[entry.scene][np.flatnonzero(equal)[:1]] = person_id
        table = scenes_table(
            names=names,
            paths=[f"Image/SSM/{name}" for name in names],
            boxes=[corners[name] for name in names],
            person_ids=[identities[name] for name in names],
        )
        return table, [label for label, _ in people]


def _entry(struct: Any) -> _Entry:
    box = np.ravel(struct["idlocate"])
    present = _xyxy(_xywh(struct)[None])[0] if box.size else None
    return _Entry(_scene_name(struct["imname"]), present)


def _present(entries: list[_Entry]) -> Iterator[_Entry]:
    return (entry for entry in entries if entry.box is not None)


def _xywh(struct: Any) -> np.ndarray:
    box = np.ravel(struct["idlocate"])
    if box.size != 4 or not np.issubdtype(box.dtype, np.number):
        raise ValueError(f"idlocate has {box.size} values where x, y, w, h were expected")
    if not np.isfinite(box).all():
        raise ValueError(f"idlocate is {box.tolist()}")
    # The files hold uint8 wherever the four values fit, and x + w overflows there.
    return box.astype(np.int64)


def _xyxy(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _scene_name(value: np.ndarray) -> str:
    name = matlab.text(value)
    if name.startswith("/") or ".." in name.split("/") or "\\" in name or ":" in name or not name:
        raise ValueError(f"{name!r} is not the name of a file inside Image/SSM")
    return name
