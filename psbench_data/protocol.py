"""Protocols: which queries are searched in which galleries, and where the right answers are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from psbench_data.columns import flat_values, list_offsets
from psbench_data.scenes import Scenes

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Query:
    """One person to search for.

    Attributes:
        scene: name of the scene that the person is cut from.
        box: (4,) float32, xyxy, pixels.
        person_id: who it is.
        camera_id: the camera of the query's scene, or None where the dataset does not say.
    """

    scene: str
    box: np.ndarray
    person_id: int
    camera_id: int | None


class Queries(Sequence[Query]):
    """The queries of a protocol, columnar; `queries[i]` gives a `Query`.

    Attributes:
        scenes: (Q,) int32, indices into the test scenes.
        boxes: (Q, 4) float32, xyxy, pixels.
        person_ids: (Q,) int64.
    """

    def __init__(self, table: pa.Table, test: Scenes) -> None:
        self.scenes: np.ndarray = flat_values(table, "scene")
        self.boxes: np.ndarray = flat_values(table, "box").reshape(-1, 4)
        self.person_ids: np.ndarray = flat_values(table, "person_id")
        self._test = test

    def __len__(self) -> int:
        return len(self.scenes)

    @overload
    def __getitem__(self, key: int) -> Query: ...
    @overload
    def __getitem__(self, key: slice) -> list[Query]: ...
    def __getitem__(self, key: int | slice) -> Query | list[Query]:
        if isinstance(key, slice):
            return [self[i] for i in range(*key.indices(len(self)))]
        i = range(len(self))[key]
        camera = int(self._test.camera_ids[self.scenes[i]])
        return Query(
            scene=self._test.names[self.scenes[i]],
            box=self.boxes[i],
            person_id=int(self.person_ids[i]),
            camera_id=None if camera < 0 else camera,
        )

    @property
    def scene_names(self) -> list[str]:
        """Q names: the scene of each query."""
        return [self._test.names[i] for i in self.scenes]


Rest = Literal["none", "all", "other-cameras", "same-camera"]
"""Which scenes are searched besides the listed ones: none, all of the pool, or those of some cameras.

A query's own scene is never among them: it is searched only where a list names it.
"""


class Protocol:
    """An immutable table of queries, their galleries and the true boxes. No images, no dataset-specific code.

    A query's gallery is the scenes that are listed for it, then the `rest`: a rule that stands for scenes without
    the person, so that "every other frame" (PRW: 2,057 queries x 6,111 frames) needs no list.
    A list may name a scene twice (CUHK-SYSU's do, in four rows of its gallery-100 file), so entries and scenes are
    kept apart: every true box counts, but a scene is searched once, for the box of its first entry (the rule of
    SeqNet's evaluator).

    Attributes:
        name: for example `gallery-100`.
        dataset: the dataset's name.
        synthetic: the dataset's, see `PersonSearchDataset`.
        version: grows when a score under this protocol can change.
        scenes: the test scenes that all indices refer to.
        queries: the Q queries.
        listed_offsets: (Q + 1,) int64; query q's entries are rows `listed_offsets[q]:listed_offsets[q + 1]`.
        listed_scenes: (E,) int32, the scene of each entry, in the order of the official list.
        rest: the rule for all other scenes.
        by_rule: whether the galleries follow from the annotation alone, as in PRW; the listed scenes are then all those
            with the person. Otherwise an official or drawn list names them.
        pool: (P,) int32, ascending: the test scenes that belong to this protocol.
        truth_offsets: (Q + 1,) int64; query q's true boxes are rows `truth_offsets[q]:truth_offsets[q + 1]`.
        truth_entries: (T,) int32, which of the query's listed entries each true box belongs to.
        truth_boxes: (T, 4) float32, xyxy, pixels.
        table: all of this as an Arrow table, one row a query.
    """

    def __init__(
        self,
        name: str,
        table: pa.Table,
        scenes: Scenes,
        *,
        dataset: str,
        synthetic: bool,
        version: int,
    ) -> None:
        """Wrap a table made by `psbench_data.galleries`."""
        self.name = name
        self.dataset = dataset
        self.synthetic = synthetic
        self.version = version
        self.scenes = scenes
        self.table = table = table.combine_chunks()
        self.queries = Queries(table, scenes)
        self.listed_offsets = list_offsets(table, "listed")
        self.listed_scenes = flat_values(table, "listed")
        self.truth_offsets = list_offsets(table, "truth_entries")
        self.truth_entries = flat_values(table, "truth_entries")
        self.truth_boxes = flat_values(table, "truth_boxes").reshape(-1, 4)
        settings = json.loads(table.schema.metadata[b"settings"])
        self.rest: Rest = settings["rest"]
        self.by_rule: bool = settings["by_rule"]
        pool = settings["pool"]
        self.pool = np.arange(len(scenes), dtype=np.int32) if pool is None else np.array(pool, np.int32)

    def __repr__(self) -> str:
        return f"Protocol({self.dataset}/{self.name} v{self.version}: {len(self.queries)} queries)"

    @property
    def fingerprint(self) -> str:
        """Of the test scenes: predictions belong to these and to no others."""
        return self.scenes.fingerprint

    def listed(self, query: int) -> np.ndarray:
        """(n,) int32: the scenes listed for a query, in official order, repeats kept."""
        return self.listed_scenes[self.listed_offsets[query] : self.listed_offsets[query + 1]]

    def rest_of(self, query: int) -> np.ndarray:
        """(S,) bool: the scenes that are searched for a query without being listed."""
        group, members = self.rest_sets
        if not len(members):
            return np.zeros(len(self.scenes), bool)
        chosen = members[group[query]].copy()
        chosen[self.queries.scenes[query]] = False
        chosen[self.listed(query)] = False
        return chosen

    @cached_property
    def rest_sets(self) -> tuple[np.ndarray, np.ndarray]:
        """The rest, as few sets: all queries of a camera share one, but for their own and their listed scenes.

        Returns:
            (Q,) int64, which set each query's rest is taken from, and (G, S) bool, the scenes of each set; without any
            set where `rest` is `none`.
        """
        pool = np.zeros(len(self.scenes), bool)
        pool[self.pool] = True
        if self.rest == "none":
            return np.full(len(self.queries), -1), np.zeros((0, len(pool)), bool)
        if self.rest == "all":
            return np.zeros(len(self.queries), np.int64), pool[None]
        cameras, group = np.unique(self.scenes.camera_ids[self.queries.scenes], return_inverse=True)
        same = cameras[:, None] == self.scenes.camera_ids
        return group, pool & (same if self.rest == "same-camera" else ~same)

    def searched(self, query: int) -> np.ndarray:
        """(S,) bool: the scenes searched for a query."""
        chosen = self.rest_of(query)
        chosen[self.listed(query)] = True
        return chosen

    def gallery(self, query: int) -> np.ndarray:
        """(n,) int32: the scenes searched for a query, each once: as they are first listed, then the rest."""
        listed = self.listed(query)
        once = listed[np.sort(np.unique(listed, return_index=True)[1])]
        return np.concatenate([once, np.flatnonzero(self.rest_of(query)).astype(np.int32)])

    @cached_property
    def gallery_sizes(self) -> np.ndarray:
        """(Q,) int64: the entries of each query's gallery; an entry listed twice counts twice."""
        sizes = np.diff(self.listed_offsets)
        if self.rest == "none":
            return sizes
        group, members = self.rest_sets
        rows = np.arange(len(sizes))
        # Each query's own scene and its listed ones are not among the rest.
        key = np.concatenate([rows, self.listed_queries]) * len(self.scenes)
        # Not np.unique, which hashes integers: of millions, that takes a hundred times as long.
        key = np.sort(key + np.concatenate([self.queries.scenes, self.listed_scenes]))
        key = key[np.diff(key, prepend=-1) > 0]
        query, scene = np.divmod(key, len(self.scenes))
        left_out = np.bincount(query[members[group[query], scene]], minlength=len(sizes))
        return sizes + members.sum(axis=1)[group] - left_out

    @cached_property
    def needed(self) -> np.ndarray:
        """(n,) ascending: the test scenes that are in any gallery."""
        chosen = np.zeros(len(self.scenes), bool)
        chosen[self.listed_scenes] = True
        group, members = self.rest_sets
        for g, scenes in enumerate(members):
            own = np.unique(self.queries.scenes[group == g])
            # Queries of two scenes cover each other's.
            chosen |= scenes if len(own) > 1 else scenes & (np.arange(len(scenes)) != own)
        return np.flatnonzero(chosen)

    @cached_property
    def unanswerable(self) -> np.ndarray:
        """(n,) the queries whose person is nowhere in their gallery; no average precision is defined for them."""
        return np.flatnonzero(np.diff(self.truth_offsets) == 0)

    @cached_property
    def listed_queries(self) -> np.ndarray:
        """(E,) int64: the query of each listed entry."""
        return np.repeat(np.arange(len(self.queries)), np.diff(self.listed_offsets))

    @cached_property
    def truth_queries(self) -> np.ndarray:
        """(T,) int64: the query of each true box."""
        return np.repeat(np.arange(len(self.queries)), np.diff(self.truth_offsets))

    @cached_property
    def truth_scenes(self) -> np.ndarray:
        """(T,) int32: the scene of each true box."""
        return self.listed_scenes[self.listed_offsets[:-1][self.truth_queries] + self.truth_entries]

    @cached_property
    def truth_searched(self) -> np.ndarray:
        """(T,) bool: whether the true box can be found, being that of its scene's first entry."""
        found = np.ones(len(self.truth_entries), bool)
        if self.by_rule:
            return found
        for row, (query, entry) in enumerate(zip(self.truth_queries, self.truth_entries, strict=True)):
            # Entries with a person come first in the official lists, so looking back from them is cheap.
            before = self.listed(query)[: entry + 1]
            found[row] = before[-1] not in before[:-1]
        return found

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that a score depends on; two equal digests are the same task."""
        sha = hashlib.sha256(f"{self.dataset}/{self.name}/{self.version}/{self.rest}/{self.by_rule}".encode())
        sha.update("\0".join(self.scenes.names).encode())
        for column in (
            self.scenes.camera_ids,
            self.scenes.offsets,
            self.scenes.boxes,
            self.scenes.annotated_boxes,
            self.scenes.person_ids,
            self.pool,
            self.queries.scenes,
            self.queries.boxes,
            self.listed_offsets,
            self.listed_scenes,
            self.truth_offsets,
            self.truth_entries,
            self.truth_boxes,
        ):
            sha.update(np.ascontiguousarray(column).tobytes())
        return sha.hexdigest()


def match_iou_threshold(boxes: np.ndarray) -> np.ndarray:
    """The IoU that a detection must reach to count as finding a true box.

    0.5, and less for small people: min(0.5, w h / ((w + 10) (h + 10))), so that about five pixels of error on
    each side are forgiven. The rule of the OIM evaluator (Xiao et al., CVPR 2017), kept by all later ones.

    Args:
        boxes: (T, 4), xyxy, pixels.

    Returns:
        (T,) float64, in (0, 0.5].
    """
    width = boxes[:, 2].astype(np.float64) - boxes[:, 0]
    height = boxes[:, 3].astype(np.float64) - boxes[:, 1]
    return np.minimum(0.5, width * height / ((width + 10) * (height + 10)))
