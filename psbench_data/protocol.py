"""Protocols: which queries are searched in which galleries, and where the right answers are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, overload

import numpy as np

from psbench_data.columns import flat_values, list_offsets, lists, vectors
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
        self.scenes: np.ndarray = table.column("scene").to_numpy()
        self.boxes: np.ndarray = flat_values(table, "box").reshape(-1, 4)
        self.person_ids: np.ndarray = table.column("person_id").to_numpy()
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


class Protocol:
    """An immutable table of queries, their galleries and the true boxes. No images, no dataset-specific code.

    A gallery is a list of entries, each a test scene. A dataset may list a scene twice for one query
    (CUHK-SYSU does, in four rows of its gallery-100 file), so entries and scenes are kept apart: every true
    box counts, but a scene is searched once, for the box of its first entry (the rule of SeqNet's evaluator).

    Attributes:
        name: for example `gallery-100`.
        dataset: the dataset's name.
        fingerprint, synthetic: the dataset's, see `PersonSearchDataset`.
        version: grows when a score under this protocol can change.
        scenes: the test scenes that all indices refer to.
        queries: the Q queries.
        gallery_offsets: (Q + 1,) int64; query q's entries are rows `gallery_offsets[q]:gallery_offsets[q + 1]`.
        gallery_scenes: (E,) int32, the scene of each entry, in the order of the official list.
        truth_offsets: (Q + 1,) int64; query q's true boxes are rows `truth_offsets[q]:truth_offsets[q + 1]`.
        truth_entries: (T,) int32, which of the query's gallery entries each true box belongs to.
        truth_boxes: (T, 4) float32, xyxy, pixels.
    """

    def __init__(
        self,
        name: str,
        table: pa.Table,
        scenes: Scenes,
        *,
        dataset: str,
        fingerprint: str,
        synthetic: bool,
        version: int,
    ) -> None:
        """Wrap a table made by `protocol_table`."""
        self.name = name
        self.dataset = dataset
        self.fingerprint = fingerprint
        self.synthetic = synthetic
        self.version = version
        self.scenes = scenes
        table = table.combine_chunks()
        self.queries = Queries(table, scenes)
        self.gallery_offsets = list_offsets(table, "gallery")
        self.gallery_scenes = flat_values(table, "gallery")
        self.truth_offsets = list_offsets(table, "truth_entries")
        self.truth_entries = flat_values(table, "truth_entries")
        self.truth_boxes = flat_values(table, "truth_boxes").reshape(-1, 4)

    def __repr__(self) -> str:
        return f"Protocol({self.dataset}/{self.name} v{self.version}: {len(self.queries)} queries)"

    def entries(self, query: int) -> np.ndarray:
        """(n,) int32: the scenes listed for a query, in official order, repeats kept."""
        return self.gallery_scenes[self.gallery_offsets[query] : self.gallery_offsets[query + 1]]

    def gallery(self, query: int) -> np.ndarray:
        """(n,) int32: the scenes searched for a query, each once, in the order in which they are first listed."""
        listed = self.entries(query)
        return listed[np.sort(np.unique(listed, return_index=True)[1])]

    @cached_property
    def truth_queries(self) -> np.ndarray:
        """(T,) int64: the query of each true box."""
        return np.repeat(np.arange(len(self.queries)), np.diff(self.truth_offsets))

    @cached_property
    def truth_scenes(self) -> np.ndarray:
        """(T,) int32: the scene of each true box."""
        return self.gallery_scenes[self.gallery_offsets[:-1][self.truth_queries] + self.truth_entries]

    @cached_property
    def truth_searched(self) -> np.ndarray:
        """(T,) bool: whether the true box can be found, being that of its scene's first entry."""
        found = np.zeros(len(self.truth_entries), bool)
        for q in range(len(self.queries)):
            rows = slice(self.truth_offsets[q], self.truth_offsets[q + 1])
            listed = self.entries(q)
            # Entries with a person come first in the official lists, so looking back from them is cheap.
            found[rows] = [listed[e] not in listed[:e] for e in self.truth_entries[rows]]
        return found

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that a score depends on; two equal digests are the same task."""
        sha = hashlib.sha256(f"{self.dataset}/{self.name}/{self.version}".encode())
        sha.update("\0".join(self.scenes.names).encode())
        for column in (
            self.queries.scenes,
            self.queries.boxes,
            self.gallery_offsets,
            self.gallery_scenes,
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


def protocol_table(
    scenes: Sequence[int],
    boxes: np.ndarray,
    person_ids: Sequence[int],
    galleries: Sequence[np.ndarray],
    truth_entries: Sequence[np.ndarray],
    truth_boxes: Sequence[np.ndarray],
) -> pa.Table:
    """Put the queries that a reader parsed into columns.

    Args:
        scenes: Q indices into the test scenes.
        boxes: (Q, 4), xyxy, pixels.
        person_ids: Q identities.
        galleries: Q arrays of indices into the test scenes, in official order, repeats kept.
        truth_entries: Q arrays of positions in the query's gallery.
        truth_boxes: Q arrays (n, 4), xyxy, pixels.

    Returns:
        A table with one row a query.
    """
    import pyarrow as pa

    def ragged(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return np.cumsum([0, *map(len, arrays)]), np.concatenate(arrays) if len(arrays) else np.zeros(0)

    gallery_offsets, gallery = ragged(galleries)
    truth_offsets, entries = ragged(truth_entries)
    return pa.table(
        {
            "scene": pa.array(np.asarray(scenes, np.int32)),
            "box": vectors(np.asarray(boxes, np.float32).reshape(-1, 4)),
            "person_id": pa.array(np.asarray(person_ids, np.int64)),
            "gallery": lists(gallery_offsets, gallery.astype(np.int32)),
            "truth_entries": lists(truth_offsets, entries.astype(np.int32)),
            "truth_boxes": lists(truth_offsets, vectors(ragged(truth_boxes)[1].astype(np.float32).reshape(-1, 4))),
        }
    )
