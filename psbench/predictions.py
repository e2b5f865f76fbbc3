"""Predictions: what a method found in the test scenes, and how it embeds the queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from psbench_data import InputError


@dataclass(frozen=True, eq=False, kw_only=True)
class QueryContext:
    """The detections of every query's own scene, for CBGM: the query's box first, then by falling score.

    Attributes:
        offsets: (Q + 1,) int64; query q's detections are rows `offsets[q]:offsets[q + 1]`.
        boxes: (M, 4) float32, xyxy, pixels.
        scores: (M,) float32.
        embeddings: (M, D) float32, not scaled by the score.
    """

    offsets: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    embeddings: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictions:
    """Detections of the test scenes and embeddings of the queries; made by `from_arrays` or `load`.

    Detection n of scene i is row `offsets[i] + n` of the detection columns.

    Attributes:
        scene_names: S names.
        offsets: (S + 1,) int64.
        boxes: (N, 4) float32, xyxy, pixels of the original images.
        scores: (N,) float32 in [0, 1].
        embeddings: (N, D) float32, used as they are: a similarity is a dot product, nothing is normalised.
        query_embeddings: (Q, D) float32.
        query_scenes: Q names, or None: then the queries are those of the protocol, in its order.
        query_boxes: (Q, 4) float32, or None together with query_scenes.
        context: what CBGM needs, or None.
        method, dataset, fingerprint: what made them, and on which data; empty where unknown.
        synthetic: whether that data was written by `psbench-data synthesize`.
    """

    scene_names: list[str]
    offsets: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    embeddings: np.ndarray
    query_embeddings: np.ndarray
    query_scenes: list[str] | None = None
    query_boxes: np.ndarray | None = None
    context: QueryContext | None = None
    method: str = ""
    dataset: str = ""
    fingerprint: str = ""
    synthetic: bool = False

    @classmethod
    def from_arrays(
        cls,
        scene_names: Sequence[str] | np.ndarray,
        *,
        counts: Any,
        boxes: Any,
        scores: Any,
        embeddings: Any,
        query_embeddings: Any,
        query_scenes: Sequence[str] | np.ndarray | None = None,
        query_boxes: Any = None,
        context: Mapping[str, Any] | None = None,
        method: str = "",
        dataset: str = "",
        fingerprint: str = "",
        synthetic: bool = False,
    ) -> Predictions:
        """Put a method's output together; numpy arrays, CPU tensors and lists are taken.

        Args:
            scene_names: S test scenes, in any order, each at most once. List a scene without detections too.
            counts: (S,) detections of each scene.
            boxes: (N, 4), xyxy, pixels of the original images, scene after scene.
            scores: (N,) in [0, 1].
            embeddings: (N, D).
            query_embeddings: (Q, D), of the queries' own boxes, in the order of `protocol.queries`.
            query_scenes, query_boxes: Q scene names and (Q, 4) boxes that tell which query each embedding belongs to;
                with them, the order is free and the same predictions serve every protocol of a dataset.
            context: for CBGM, the detections of each query's scene, the query's box first: `counts` (Q,), and `boxes`,
                `scores`, `embeddings` as above, query after query.
            method, dataset, fingerprint, synthetic: see the class.

        Raises:
            InputError: listing everything that cannot be right.
        """
        predictions = cls(
            scene_names=[str(name) for name in scene_names],
            offsets=_offsets("counts", counts),
            boxes=_floats("boxes", boxes),
            scores=_floats("scores", scores),
            embeddings=_floats("embeddings", embeddings),
            query_embeddings=_floats("query_embeddings", query_embeddings),
            query_scenes=None if query_scenes is None else [str(name) for name in query_scenes],
            query_boxes=None if query_boxes is None else _floats("query_boxes", query_boxes),
            context=None if context is None else _context(context),
            method=method,
            dataset=dataset,
            fingerprint=fingerprint,
            synthetic=synthetic,
        )
        faults = [f"Predictions.from_arrays: {fault}" for fault in predictions.shape_faults()]
        if not faults:
            faults = list(
                predictions.value_faults(
                    lambda scene: f"Predictions.from_arrays: scene {predictions.scene_names[scene]!r}",
                    lambda query: f"Predictions.from_arrays: query {query}",
                )
            )
        if faults:
            raise InputError(faults)
        return predictions

    @property
    def counts(self) -> np.ndarray:
        """(S,) int64: detections of each scene."""
        return np.diff(self.offsets)

    def save(self, folder: str | Path) -> Path:
        """Write a predictions folder (see `psbench.predictions_folder`), whole or not at all.

        Raises:
            InputError: there is something at `folder` already.
        """
        from psbench.predictions_folder import write

        return write(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Predictions:
        """Read a predictions folder, written by `save` or by anybody who keeps to its format.

        Raises:
            InputError: listing everything that is wrong with it.
        """
        from psbench.predictions_folder import read

        return read(Path(folder))

    def shape_faults(self) -> list[str]:
        """Columns that do not fit together, a sentence each."""
        n, q = int(self.offsets[-1]), len(self.query_embeddings)
        d = self.embeddings.shape[-1] if self.embeddings.ndim == 2 else 0
        expected: list[tuple[str, np.ndarray | None, tuple[int, ...]]] = [
            ("offsets", self.offsets, (len(self.scene_names) + 1,)),
            ("boxes", self.boxes, (n, 4)),
            ("scores", self.scores, (n,)),
            ("embeddings", self.embeddings, (n, d)),
            ("query_embeddings", self.query_embeddings, (q, d)),
            ("query_boxes", self.query_boxes, (q, 4)),
        ]
        if self.context is not None:
            m = int(self.context.offsets[-1])
            expected += [
                ("context counts", np.diff(self.context.offsets), (q,)),
                ("context boxes", self.context.boxes, (m, 4)),
                ("context scores", self.context.scores, (m,)),
                ("context embeddings", self.context.embeddings, (m, d)),
            ]
        faults = [
            f"{name} has shape {array.shape}, while {len(self.scene_names)} scenes with {n} detections, {q} queries "
            f"and {d} dimensions need {shape}. Give one row a detection, in order, and one a query."
            for name, array, shape in expected
            if array is not None and array.shape != shape
        ]
        if self.embeddings.ndim == 2 and d == 0:
            faults.append("embeddings have no dimensions. Give (N, D) with D at least 1.")
        if (self.query_scenes is None) != (self.query_boxes is None):
            faults.append("query_scenes and query_boxes belong together. Give both or neither.")
        elif self.query_scenes is not None and len(self.query_scenes) != q:
            faults.append(f"query_scenes has {len(self.query_scenes)} names for {q} query embeddings.")
        return faults

    def value_faults(self, at_scene: Callable[[int], str], at_query: Callable[[int], str]) -> Iterator[str]:
        """Values that cannot be right, a sentence each; the two functions say where a scene or a query stands."""
        seen: dict[str, int] = {}
        for scene, name in enumerate(self.scene_names):
            if seen.setdefault(name, scene) != scene:
                yield f"{at_scene(scene)}: the scene {name!r} is listed a second time. List each scene once."
        scene_of = np.repeat(np.arange(len(self.scene_names)), self.counts)
        remedy = "Mend the method that wrote it and predict again."
        for column, array in (("boxes", self.boxes), ("scores", self.scores), ("embeddings", self.embeddings)):
            for row in np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))):
                scene = scene_of[row]
                place = f"{column} of detection {row - self.offsets[scene]}"
                yield f"{at_scene(scene)}: {place} has NaN or infinity. {remedy}"
        for row in np.flatnonzero((self.boxes[:, 2:] < self.boxes[:, :2]).any(axis=1)):
            scene = scene_of[row]
            yield (
                f"{at_scene(scene)}: the box of detection {row - self.offsets[scene]} is {self.boxes[row].tolist()}, "
                f"where x1 <= x2 and y1 <= y2 were expected (x1, y1, x2, y2, not x, y, width, height). {remedy}"
            )
        for row in np.flatnonzero((self.scores < 0) | (self.scores > 1)):
            scene = scene_of[row]
            yield (
                f"{at_scene(scene)}: the score of detection {row - self.offsets[scene]} is {self.scores[row]}, "
                f"expected 0 to 1. {remedy}"
            )
        if self.query_scenes is not None and self.query_boxes is not None:
            keys: dict[tuple[str, bytes], int] = {}
            for query, key in enumerate(zip(self.query_scenes, map(np.ndarray.tobytes, self.query_boxes), strict=True)):
                if keys.setdefault(key, query) != query:
                    yield f"{at_query(query)}: the same scene and box as query {keys[key]}. List each query once."
        if self.context is not None:
            for row in np.flatnonzero(np.diff(self.context.offsets) < 1):
                yield f"{at_query(int(row))}: the context is empty. Give the query's own box as its first detection."
            query_of = np.repeat(np.arange(len(self.query_embeddings)), np.diff(self.context.offsets))
            for name in ("boxes", "scores", "embeddings"):
                array = getattr(self.context, name)
                wrong = ~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
                for row in np.unique(query_of[wrong]):
                    yield f"{at_query(int(row))}: the context's {name} have NaN or infinity. {remedy}"
        for name, vectors in (("embedding", self.query_embeddings), ("box", self.query_boxes)):
            for row in [] if vectors is None else np.flatnonzero(~np.isfinite(vectors).all(axis=1)):
                yield f"{at_query(int(row))}: the {name} has NaN or infinity. {remedy}"


def _offsets(name: str, counts: Any) -> np.ndarray:
    numbers = _array(name, counts, np.float64).reshape(-1)
    if not (numbers == np.floor(numbers)).all() or (numbers < 0).any():
        raise InputError(f"Predictions.from_arrays: {name} are not whole numbers from 0. Give numbers of detections.")
    return np.concatenate([[0], np.cumsum(numbers)]).astype(np.int64)


def _context(columns: Mapping[str, Any]) -> QueryContext:
    expected = {"counts", "boxes", "scores", "embeddings"}
    if not isinstance(columns, Mapping) or columns.keys() != expected:
        raise InputError(
            f"Predictions.from_arrays: context is {list(columns) if isinstance(columns, Mapping) else type(columns)}, "
            f"expected a dict with {', '.join(sorted(expected))}."
        )
    arrays = {name: _floats(f"context {name}", columns[name]) for name in ("boxes", "scores", "embeddings")}
    return QueryContext(offsets=_offsets("context counts", columns["counts"]), **arrays)


def _floats(name: str, values: Any) -> np.ndarray:
    return np.ascontiguousarray(_array(name, values, np.float32))


def _array(name: str, values: Any, dtype: type) -> np.ndarray:
    # A tensor may carry gradients or lie on a device, which numpy refuses.
    plain = values.detach().cpu() if hasattr(values, "detach") else values
    try:
        return np.asarray(plain).astype(dtype, casting="same_kind" if np.iscomplexobj(plain) else "unsafe")
    except (TypeError, ValueError) as error:
        raise InputError(f"Predictions.from_arrays: {name} is not an array of numbers ({error}).") from None
