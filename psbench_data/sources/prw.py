"""PRW: reads the official tree, v16.04.20 (Zheng et al., CVPR 2017).

    <root>/frames/c<camera>s<sequence>_<frame>.jpg
    <root>/annotations/<frame name>.jpg.mat     people of a frame: n x 5, `person x y w h`, -2 for an unlabelled one
    <root>/frame_train.mat, frame_test.mat      names of the frames of each split, without .jpg
    <root>/query_info.txt                       the queries: `person x y w h frame`

Boxes become integers as in SeqNet's reader, which the published numbers come from: a frame's box is clipped at 0
before its far corner is formed, a query's after. The two can differ by up to 2 pixels for one person.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from psbench_data import matlab
from psbench_data.errors import InputError
from psbench_data.faults import COPY_AGAIN, ONE_RELEASE, Collected, RowFaults, require_some
from psbench_data.galleries import QueryList, by_rule
from psbench_data.pixels import pixels
from psbench_data.protocol import Rest
from psbench_data.scenes import Scenes, numbered, scenes_table
from psbench_data.sources.mini_prw import PROBES, evenly_spaced
from psbench_data.sources.query_lines import Fields, read_queries
from psbench_data.sources.source import Source, Split
from psbench_data.sources.text_files import image_sizes

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS = ("box_new", "anno_file", "anno_previous")
"""The variable of an annotation file: the first of these that is there."""
_QUERIES = ("query_info.txt", "query_info_2057.txt")
"""The name of the query file; some copies carry the second."""
_RULES: dict[str, Rest] = {
    "regular": "all",
    "multi-view": "other-cameras",
    "same-camera": "same-camera",
    "mini": "all",
}


_People = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of a frame: (n,) int64 labels, (n, 4) int32 boxes, and (n, 4) float32 boxes as annotated, xyxy, pixels."""


class Prw(Source):
    """The reader of one tree."""

    name = "prw"
    versions: ClassVar[Mapping[str, int]] = dict.fromkeys(_RULES, 1)

    def protocols(self) -> dict[str, int]:
        """All that the one query file serves."""
        return self.versioned(_RULES)

    def scene_files(self) -> list[Path]:
        """The lists of frames, image sizes where they are, and the folder of annotation files."""
        lists = [self.root / f"frame_{split}.mat" for split in ("train", "test")]
        return [*lists, *(path for path in self._shapes() if path.is_file()), self.root / "annotations"]

    def protocol_files(self, name: str) -> list[Path]:
        """The query file."""
        return [self._query_file()]

    def scenes(self) -> dict[str, Split]:
        """Both splits, in the order of their lists; identities are numbered in the order of the official ids."""
        frames: dict[str, list[str]] = {"train": [], "test": []}
        people: dict[str, list[_People]] = {"train": [], "test": []}
        with Collected() as faults:
            with faults.step():
                sizes = image_sizes(self._shapes())
            for split in frames:
                with faults.step():
                    frames[split] = self._frames(split)
                for name in frames[split]:
                    with faults.step():
                        people[split].append(self._people(name))
            if repeated := set(frames["train"]) & set(frames["test"]):
                raise InputError(
                    f"{self.root / 'frame_test.mat'}: frame {name!r} is in frame_train.mat, too. {ONE_RELEASE}"
                    for name in sorted(repeated)
                )
        return {split: _split(names, people[split], sizes) for split, names in frames.items()}

    def protocol(self, name: str, test: Scenes) -> pa.Table:
        """The queries of the query file, in its order."""
        path = self._query_file()
        queries = read_queries(path, test, "frame_test.mat", _query, self.remark)
        if name == "mini":
            scenes, boxes, person_ids = queries
            names = [
                (test.identities[person], test.names[scene]) for person, scene in zip(person_ids, scenes, strict=True)
            ]
            chosen = self._mini(path, names)
            queries = QueryList(scenes[chosen], boxes[chosen], person_ids[chosen])
        return by_rule(test, queries, _RULES[name])

    @staticmethod
    def _mini(path: Path, queries: list[tuple[str, str]]) -> np.ndarray:
        rows = {query: row for row, query in enumerate(queries)}
        wanted = [(label, f"{frame}.jpg") for label, frame in PROBES]
        found = [rows[probe] for probe in wanted if probe in rows]
        if not found:
            return evenly_spaced(len(queries))
        if len(found) < len(wanted):
            raise InputError(
                f"{path}: person {label} in {frame} is not among the queries, and is one of the 30 of PRW-mini. "
                f"{COPY_AGAIN}"
                for label, frame in wanted
                if (label, frame) not in rows
            )
        return np.array(found)

    def _query_file(self) -> Path:
        there = [self.root / name for name in _QUERIES if (self.root / name).is_file()]
        return there[0] if there else self.root / _QUERIES[0]

    def _shapes(self) -> list[Path]:
        return [self.root / "train_shape.txt", self.root / "test_shape.txt"]

    def _frames(self, split: str) -> list[str]:
        path = self.root / f"frame_{split}.mat"
        names: dict[str, None] = {}
        with RowFaults(path) as faults:
            for i, cell in enumerate(matlab.read_list(path, f"img_index_{split}")):
                with faults.row(i):
                    name = matlab.text(cell).removesuffix(".jpg")
                    _camera(name)
                    if f"{name}.jpg" in names:
                        raise ValueError(f"frame {name!r} is listed a second time")
                    names[f"{name}.jpg"] = None
        require_some(names, path, "frame")
        return list(names)

    def _people(self, name: str) -> _People:
        """The people of a frame."""
        path = self.root / "annotations" / f"{name}.mat"
        if not path.is_file():
            raise InputError(f"{path}: the annotation of a listed frame is not there. {COPY_AGAIN}")
        rows = matlab.read_any(path, _KEYS)
        if rows.size == 0:
            return np.zeros(0, np.int64), np.zeros((0, 4), np.int32), np.zeros((0, 4), np.float32)
        if rows.dtype.kind not in "iuf" or rows.ndim != 2 or rows.shape[1] != 5:
            raise InputError(
                f"{path}: expected n x 5 numbers (person, x, y, w, h), found {rows.dtype} of shape "
                f"{'x'.join(map(str, rows.shape))}. {COPY_AGAIN}"
            )
        with RowFaults(path) as faults:
            for i, row in enumerate(rows):
                with faults.row(i):
                    pixels(row)
        rows = rows.astype(np.float64)
        # Clipped before the far corner is formed, as SeqNet reads them: a box from x = -1.7 ends 1.7 pixels further.
        corner = np.maximum(rows[:, 1:3], 0)
        boxes = np.concatenate([corner, corner + rows[:, 3:]], axis=1).astype(np.int32)
        whole = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        for row in np.flatnonzero(~whole):
            self.remark(path, f"row {row}", f"a box without area ({rows[row, 1:].tolist()})", "It is left out.")
        # The far corner is formed in float32, as PCNet's reader does.
        annotated = rows[:, 1:].astype(np.float32)
        annotated[:, 2:] += annotated[:, :2]
        return rows[whole, 0].astype(np.int64), boxes[whole], annotated[whole]


def _split(names: list[str], people: list[_People], sizes: dict[str, tuple[int, int]]) -> Split:
    labels, boxes, annotated = zip(*people, strict=True)
    person_ids, identities = numbered(labels)
    table = scenes_table(
        names=names,
        paths=[f"frames/{name}" for name in names],
        boxes=boxes,
        person_ids=person_ids,
        camera_ids=[_camera(name) for name in names],
        sizes=sizes,
        annotated_boxes=annotated,
    )
    return Split(table, identities)


def _query(fields: list[str]) -> Fields:
    if len(fields) != 6:
        raise ValueError(f"expected person, x, y, w, h and frame, found {' '.join(fields)!r:.120}")
    x, y, w, h = pixels(np.array([float(field) for field in fields[1:5]])).tolist()
    # Truncated first, clipped after, as SeqNet reads them.
    box = np.maximum(np.array([x, y, x + w, y + h]).astype(np.int32), 0)
    return str(int(fields[0])), f"{fields[5].removesuffix('.jpg')}.jpg", box


def _camera(name: str) -> int:
    """The camera that a frame's name tells: c<camera>s<sequence>_<frame>."""
    if not (match := re.fullmatch(r"c(\d{1,9})s\d+_\d+(\.jpg)?", name, re.ASCII)):
        raise ValueError(f"expected a frame name like c1s3_016471, found {name!r:.120}")
    return int(match[1])
