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
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from psbench_data import matlab
from psbench_data.errors import InputError
from psbench_data.faults import RowFaults
from psbench_data.galleries import QueryList, by_rule
from psbench_data.pixels import pixels
from psbench_data.protocol import Rest
from psbench_data.scenes import UNLABELED, Scenes, scenes_table
from psbench_data.sources.mini_prw import PROBES, evenly_spaced
from psbench_data.sources.source import Source, Split
from psbench_data.sources.text_files import image_sizes, lines

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


class Prw(Source):
    """The reader of one tree."""

    name = "prw"

    def protocols(self) -> dict[str, int]:
        """All that the one query file serves."""
        return dict.fromkeys(_RULES, 1)

    def scene_files(self) -> list[Path]:
        """The lists of frames, image sizes where they are, and the folder of annotation files."""
        lists = [self.root / f"frame_{split}.mat" for split in ("train", "test")]
        return [*lists, *(path for path in self._shapes() if path.is_file()), self.root / "annotations"]

    def protocol_files(self, name: str) -> list[Path]:
        """The query file."""
        return [self._query_file()]

    def scenes(self) -> dict[str, Split]:
        """Both splits, in the order of their lists; identities are numbered in the order of the official ids."""
        sizes = image_sizes(self._shapes())
        frames = {split: self._frames(split) for split in ("train", "test")}
        if repeated := set(frames["train"]) & set(frames["test"]):
            raise InputError(
                f"{self.root / 'frame_test.mat'}: frame {name!r} is in frame_train.mat, too. Use the files of one "
                "release."
                for name in sorted(repeated)
            )
        return {split: self._split(names, sizes) for split, names in frames.items()}

    def protocol(self, name: str, test: Scenes) -> pa.Table:
        """The queries of the query file, in its order."""
        path = self._query_file()
        ids = {label: person_id for person_id, label in enumerate(test.identities)}
        scenes, boxes, labels = [], [], []
        with RowFaults(path) as faults:
            for number, line in lines(path):
                with faults.row(f"line {number}"):
                    label, x, y, w, h, frame = _query_fields(line)
                    if f"{frame}.jpg" not in test.positions:
                        raise ValueError(f"frame {frame!r} is not in frame_test.mat")
                    if label not in ids:
                        raise ValueError(f"person {label} is in no test frame")
                    scenes.append(test.positions[f"{frame}.jpg"])
                    # Truncated first, clipped after, as SeqNet reads them.
                    boxes.append(np.maximum(np.array([x, y, x + w, y + h]).astype(np.int32), 0))
                    labels.append(label)
        if not scenes:
            raise InputError(f"{path}: holds no query. Copy the file again from the dataset's archive.")
        chosen = np.arange(len(scenes))
        if name == "mini":
            chosen = self._mini(path, list(zip(labels, (test.names[s] for s in scenes), strict=True)))
        person_ids = np.array([ids[label] for label in labels])
        return by_rule(
            test, QueryList(np.array(scenes)[chosen], np.array(boxes)[chosen], person_ids[chosen]), _RULES[name]
        )

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
                "Copy the file again from the dataset's archive."
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
            for i, cell in enumerate(matlab.read_variable(path, f"img_index_{split}")):
                with faults.row(i):
                    name = matlab.text(cell).removesuffix(".jpg")
                    _camera(name)
                    if f"{name}.jpg" in names:
                        raise ValueError(f"frame {name!r} is listed a second time")
                    names[f"{name}.jpg"] = None
        return list(names)

    def _split(self, names: list[str], sizes: dict[str, tuple[int, int]]) -> Split:
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        faults: list[str] = []
        for name in names:
            try:
                found.append(self._people(name))
            except InputError as error:
                faults += error.faults
        if faults:
            raise InputError(faults)
        people = np.concatenate([np.zeros(0, np.int64), *(labels for labels, _, _ in found)])
        labelled = np.unique(people[people >= 0])

        def ids(of: np.ndarray) -> np.ndarray:
            return np.where(of >= 0, np.searchsorted(labelled, of), UNLABELED)

        table = scenes_table(
            names=names,
            paths=[f"frames/{name}" for name in names],
            boxes=[boxes for _, boxes, _ in found],
            person_ids=[ids(labels) for labels, _, _ in found],
            camera_ids=[_camera(name) for name in names],
            sizes=sizes,
            annotated_boxes=[annotated for _, _, annotated in found],
        )
        return Split(table, [str(int(label)) for label in labelled])

    def _people(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The people of a frame: (n,) int64 labels, (n, 4) int32 boxes, and (n, 4) float32 boxes as annotated, xyxy."""
        path = self.root / "annotations" / f"{name}.mat"
        again = "Copy the file again from the dataset's archive."
        if not path.is_file():
            raise InputError(f"{path}: the annotation of a listed frame is not there. {again}")
        rows = matlab.read_any(path, _KEYS)
        if rows.size == 0:
            return np.zeros(0, np.int64), np.zeros((0, 4), np.int32), np.zeros((0, 4), np.float32)
        if rows.dtype.kind not in "iuf" or rows.ndim != 2 or rows.shape[1] != 5:
            raise InputError(
                f"{path}: expected n x 5 numbers (person, x, y, w, h), found {rows.dtype} of shape "
                f"{'x'.join(map(str, rows.shape))}. {again}"
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


def _query_fields(line: str) -> tuple[str, float, float, float, float, str]:
    fields = line.split()
    if len(fields) != 6:
        raise ValueError(f"expected person, x, y, w, h and frame, found {line.strip()!r:.120}")
    label = str(int(fields[0]))
    x, y, w, h = pixels(np.array([float(field) for field in fields[1:5]])).tolist()
    if not (w > 0 and h > 0):
        raise ValueError(f"expected a box with area, found {fields[1:5]}")
    return label, x, y, w, h, fields[5].removesuffix(".jpg")


def _camera(name: str) -> int:
    """The camera that a frame's name tells: c<camera>s<sequence>_<frame>."""
    if not (match := re.fullmatch(r"c(\d+)s\d+_\d+(\.jpg)?", name, re.ASCII)):
        raise ValueError(f"expected a frame name like c1s3_016471, found {name!r:.120}")
    return int(match[1])
