"""Predictions: what a method found in the test scenes, and how it embeds the queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from psbench.blocks import longest
from psbench.intake import BOX, SCORE, UNIT_LENGTH, At, Check, Intake

_LEAST_IOU = 0.5
"""Of a query's box and the first one of its context; models clip and resize boxes, and never move them."""


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

    def find_strangers(self, intake: Intake, boxes: np.ndarray, at_query: At) -> None:
        """Note the contexts that begin with somebody else than their query; columns that do not fit are passed over.

        Args:
            intake: takes the faults.
            boxes: (Q, 4), of the queries.
            at_query: says where a query stands.
        """
        from psbench.evaluation.segments import pair_iou

        starts = self.offsets[:-1]
        if boxes.shape != (len(starts), 4) or np.shape(self.boxes) != (self.offsets[-1], 4):
            return
        first = self.boxes[starts]
        other = (pair_iou(first, boxes) < _LEAST_IOU) & (first != boxes).any(axis=1)
        wrong = np.flatnonzero(other & np.isfinite(first + boxes).all(axis=1)).tolist()
        intake.add_all(
            (
                f"{at_query(q)}: its own box {boxes[q].tolist()} was expected as the first of its context, which "
                f"begins with {first[q].tolist()}. Are these queries of this dataset and protocol, in this order?"
                for q in wrong
            ),
            len(wrong),
        )


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
        unit_length: the method says that all embeddings have length one, and they do (within 0.001).
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
    unit_length: bool = False

    def __repr__(self) -> str:
        of = f" of {self.method}" if self.method else ""
        return (
            f"Predictions({len(self.scores):,} detections{of} in {len(self.scene_names):,} scenes, "
            f"{len(self.query_embeddings):,} queries, {self.embeddings.shape[1]} dimensions)"
        )

    @cached_property
    def longest(self) -> tuple[float, float]:
        """The lengths of the longest embedding of a detection and of a query."""
        return longest(self.embeddings), longest(self.query_embeddings)

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
        unit_length: bool = False,
    ) -> Predictions:
        """Put a method's output together; numpy arrays, tensors and lists are taken.

        Arrays that are float32 in C order already are kept as they are, memory maps too, and not copied: leave them
        alone afterwards. Checking a memory map that was opened for reading ("r") needs little memory.

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
            unit_length: say that the embeddings, also those of queries and context, have length one, to have that
                checked. Not so for embeddings weighted by scores (CWS). Nothing is normalised either way.

        Raises:
            InputError: listing everything that cannot be right.
        """
        intake = Intake("Predictions.from_arrays")
        columns: dict[str, Any] = {
            "scene_names": intake.names("scene_names", scene_names),
            **_detections(intake, {"counts": counts, "boxes": boxes, "scores": scores, "embeddings": embeddings}),
            "query_embeddings": intake.floats("query_embeddings", query_embeddings),
            **intake.queries(query_scenes, query_boxes),
            "context": None if context is None else _context(intake, context),
        }
        predictions = cls(
            **columns,
            method=intake.text("method", method),
            dataset=intake.text("dataset", dataset),
            fingerprint=intake.text("fingerprint", fingerprint),
            synthetic=synthetic,
            unit_length=unit_length,
        )
        predictions.find_faults(
            intake,
            at_scene=lambda scene: f"{intake.where}: scene {predictions.scene_names[scene]!r}",
            at_query=lambda query: f"{intake.where}: query {query}",
        )
        intake.raise_faults()
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

    def find_faults(self, intake: Intake, at_scene: At, at_query: At) -> None:
        """Check the columns against each other and in themselves.

        Args:
            intake: takes the faults; a column that it could not take is None here, and not checked.
            at_scene, at_query: say where a scene or a query stands.
        """
        queries, context = self.query_embeddings, self.context
        vectors = [self.embeddings, queries, None if context is None else context.embeddings]
        dim = next((v.shape[1] for v in vectors if v is not None and v.ndim == 2), None)
        if dim == 0:
            intake.add("embeddings have no dimensions. Give (N, D) with D at least 1.")
        claimed = [UNIT_LENGTH] if self.unit_length else []
        count = len(queries) if queries is not None and queries.ndim else None
        if self.scene_names is not None:
            intake.distinct(
                self.scene_names,
                lambda again, first: (
                    f"{at_scene(again)}: the scene {self.scene_names[again]!r} is listed a second "
                    "time. List each scene once."
                ),
            )
        scenes = None if self.scene_names is None else len(self.scene_names)
        _find_detection_faults(self, intake, "", scenes, dim, at_scene, [SCORE], claimed)
        intake.column(
            "query_embeddings",
            queries,
            (None, dim),
            "one row for each query, with as many dimensions as the other embeddings have",
            lambda query: f"{at_query(query)}: the embedding",
            *claimed,
        )
        if self.query_scenes is not None or self.query_boxes is not None:
            intake.query_keys(self.query_scenes, self.query_boxes, count, at_query)
        if context is not None:
            _find_detection_faults(context, intake, "context ", count, dim, at_query, [], claimed)
            if context.offsets is not None:
                empty = np.flatnonzero(np.diff(context.offsets) < 1).tolist()
                remedy = "Give the query's own box as its first detection."
                intake.add_all((f"{at_query(q)}: the context is empty. {remedy}" for q in empty), len(empty))
                if not empty and self.query_boxes is not None:
                    context.find_strangers(intake, self.query_boxes, at_query)


def _find_detection_faults(
    columns: Predictions | QueryContext,
    intake: Intake,
    prefix: str,
    owners: int | None,
    dim: int | None,
    at_owner: At,
    of_scores: list[Check],
    of_embeddings: list[Check],
) -> None:
    """Check detections; their owners, each with a count, are the scenes, or the queries for a context."""
    offsets = columns.offsets
    total: int | None = None if offsets is None else int(offsets[-1])
    if offsets is not None:
        what = "query" if prefix else "one of scene_names"
        intake.column(f"{prefix}counts", offsets[1:], (owners,), f"one number for each {what}", None)
    known = offsets is not None and len(offsets) - 1 == owners
    given = [len(column) for column in (columns.boxes, columns.scores, columns.embeddings) if np.ndim(column)]
    if total is not None and len(given) == 3 and len({*given}) == 1 and total != given[0]:
        found = f"{prefix}boxes, scores and embeddings have {given[0]:,} rows"
        intake.add(f"{prefix}counts add up to {total:,}; {found}. Give one row for each detection.")
        # It is the counts that are wrong: the columns fit each other, and whose a row is cannot be told.
        total, known = None, False

    def at(what: str) -> At | None:
        def at_row(row: int) -> str:
            owner = int(np.searchsorted(offsets, row, side="right")) - 1
            return f"{at_owner(owner)}: the {prefix}{what} of detection {row - offsets[owner]}"

        return at_row if known else None

    because = f"one row for each detection, as many as {prefix}counts add up to"
    intake.column(f"{prefix}boxes", columns.boxes, (total, 4), because, at("box"), BOX)
    intake.column(f"{prefix}scores", columns.scores, (total,), because, at("score"), *of_scores)
    intake.column(f"{prefix}embeddings", columns.embeddings, (total, dim), because, at("embedding"), *of_embeddings)


def _detections(intake: Intake, given: Mapping[str, Any], prefix: str = "") -> dict[str, np.ndarray | None]:
    names = [name for name in ("boxes", "scores", "embeddings") if name in given]
    columns = dict.fromkeys(("boxes", "scores", "embeddings")) | {
        name: intake.floats(f"{prefix}{name}", given[name]) for name in names
    }
    return columns | {"offsets": intake.offsets(f"{prefix}counts", given["counts"]) if "counts" in given else None}


def _context(intake: Intake, given: Any) -> QueryContext | None:
    expected = {"boxes", "counts", "embeddings", "scores"}
    if not isinstance(given, Mapping) or given.keys() != expected:
        found = list(given) if isinstance(given, Mapping) else type(given)
        intake.add(f"context is {found}, expected a dict with {', '.join(sorted(expected))}.")
    if not isinstance(given, Mapping):
        return None
    columns: dict[str, Any] = _detections(intake, given, "context ")
    return QueryContext(**columns)
