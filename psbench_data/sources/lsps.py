"""LSPS: reads the format of v1.0 (Zhong et al., CVPR 2020). There is no public download, so this is a format contract.

    <root>/train/<frame>.jpg, test/<frame>.jpg      the third `_`-separated token of a frame's name is its camera
    <root>/{train,test}_frame_coord.txt             frame TAB x1 TAB y1 TAB x2 TAB y2 TAB ... TAB
    <root>/{train,test}_frame_id.txt                frame TAB id TAB id ...           negative for an unlabelled person
    <root>/{train,test}_shape.txt                   frame TAB height TAB width
    <root>/query_info.txt                           id TAB frame TAB x1 TAB y1 TAB x2 TAB y2

No evaluator was released with it; psbench takes PRW's rule. The test scenes are the frames with a line of coordinates.
The one known reader searches every file of test/: where a file has no line the two differ, and doctor warns of it.
The key-point files of the release are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from psbench_data.faults import Collected, RowFaults, require_some
from psbench_data.galleries import by_rule
from psbench_data.names import safe_name
from psbench_data.pixels import have_area, pixels
from psbench_data.protocol import Rest
from psbench_data.scenes import Scenes, numbered, scenes_table
from psbench_data.sources.query_lines import Fields, read_queries
from psbench_data.sources.source import Source, Split
from psbench_data.sources.text_files import image_sizes, lines

if TYPE_CHECKING:
    import pyarrow as pa

_RULES: dict[str, Rest] = {"regular": "all", "multi-view": "other-cameras", "same-camera": "same-camera"}


class Lsps(Source):
    """The reader of one tree."""

    name = "lsps"
    versions: ClassVar[Mapping[str, int]] = dict.fromkeys(_RULES, 1)

    def protocols(self) -> dict[str, int]:
        """All that the one query file serves."""
        return self.versioned(_RULES)

    def scene_files(self) -> list[Path]:
        """Coordinates, identities and, where they are, image sizes of both splits."""
        files = [self.root / f"{split}_frame_{what}.txt" for split in ("train", "test") for what in ("coord", "id")]
        return [*files, *(path for path in self._shapes() if path.is_file())]

    def protocol_files(self, name: str) -> list[Path]:
        """The query file."""
        return [self.root / "query_info.txt"]

    def scenes(self) -> dict[str, Split]:
        """Both splits, sorted by frame name; identities are numbered in the order of the official ids."""
        people: dict[str, dict[str, np.ndarray]] = {}
        raw_ids: dict[str, dict[str, np.ndarray]] = {}
        with Collected() as faults:
            with faults.step():
                sizes = image_sizes(self._shapes())
            for split in ("train", "test"):
                with faults.step():
                    people[split] = self._boxes(split)
                    raw_ids[split] = self._ids(split, people[split])
        return {split: self._split(split, people[split], raw_ids[split], sizes) for split in people}

    def protocol(self, name: str, test: Scenes) -> pa.Table:
        """The queries of the query file, in its order."""
        path = self.root / "query_info.txt"
        return by_rule(test, read_queries(path, test, "test_frame_coord.txt", _query, self.remark), _RULES[name])

    def _shapes(self) -> list[Path]:
        return [self.root / "train_shape.txt", self.root / "test_shape.txt"]

    def _split(
        self,
        split: str,
        people: dict[str, np.ndarray],
        raw_ids: dict[str, np.ndarray],
        sizes: dict[str, tuple[int, int]],
    ) -> Split:
        names = sorted(people)
        whole = {name: have_area(people[name]) for name in names}
        for name in names:
            for row in np.flatnonzero(~whole[name]):
                box = people[name][row].tolist()
                path = self.root / f"{split}_frame_coord.txt"
                self.remark(path, f"frame {name}", f"a box without area ({box})", "It is left out.")
        person_ids, identities = numbered([raw_ids[name][whole[name]] for name in names])
        table = scenes_table(
            names=names,
            paths=[f"{split}/{name}" for name in names],
            boxes=[people[name][whole[name]] for name in names],
            person_ids=person_ids,
            camera_ids=[_camera(name) for name in names],
            sizes=sizes,
        )
        return Split(table, identities)

    def _boxes(self, split: str) -> dict[str, np.ndarray]:
        """(n, 4) float64, xyxy, by frame."""
        path = self.root / f"{split}_frame_coord.txt"
        frames: dict[str, np.ndarray] = {}
        with RowFaults(path) as faults:
            for number, line in lines(path):
                with faults.row(f"line {number}"):
                    # With or without the TAB at the line's end: the original reader drops what stands after the last.
                    name, *values = line.split()
                    _camera(safe_name(name, split))
                    if len(values) % 4:
                        raise ValueError(f"frame {name!r} has {len(values)} coordinates, expected four a box")
                    if name in frames:
                        raise ValueError(f"frame {name!r} is listed a second time")
                    frames[name] = pixels(np.array([float(value) for value in values])).reshape(-1, 4)
        require_some(frames, path, "frame")
        return frames

    def _ids(self, split: str, people: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """(n,) int64 official ids, by frame."""
        path = self.root / f"{split}_frame_id.txt"
        ids: dict[str, np.ndarray] = {}
        with RowFaults(path) as faults:
            for number, line in lines(path):
                with faults.row(f"line {number}"):
                    name, *values = line.split()
                    if name not in people:
                        raise ValueError(f"frame {name!r} is not in {split}_frame_coord.txt")
                    if name in ids:
                        raise ValueError(f"frame {name!r} is listed a second time")
                    ids[name] = np.array([int(value) for value in values], np.int64)
                    if len(values) != len(people[name]):
                        raise ValueError(f"frame {name!r} has {len(values)} ids and {len(people[name])} boxes")
            for name in people.keys() - ids.keys():
                if len(people[name]):
                    faults.add(f"frame {name}", "has boxes and no line of ids")
                ids[name] = np.zeros(0, np.int64)
        return ids


def _query(fields: list[str]) -> Fields:
    if len(fields) != 6:
        raise ValueError(f"expected id, frame, x1, y1, x2, y2, found {' '.join(fields)!r:.120}")
    return str(int(fields[0])), fields[1], pixels(np.array([float(field) for field in fields[2:]]))


def _camera(name: str) -> int:
    """The camera that a frame's name tells: <word>_<number>_<camera>_<number>.jpg."""
    if not (match := re.match(r"[^_]*_[^_]*_(\d{1,9})_", name, re.ASCII)):
        raise ValueError(
            f"expected a frame name with the camera as third token, like f_000100_17_0.jpg, found {name!r}"
        )
    return int(match[1])
