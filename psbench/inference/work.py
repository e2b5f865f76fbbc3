"""What there is to predict, cut into pieces, and the record by which a folder knows its own beginning again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from torch import nn

from psbench.inference.sharing import Record, model_digest
from psbench.predictions import Predictions
from psbench_data import InputError, PersonSearchDataset, Scenes

PIECE_ROWS = 256
"""Scenes or queries of a piece: some seconds of a GPU's work, so that little is lost with it."""


Kind = Literal["scenes", "queries"]


class Piece(NamedTuple):
    """Scenes or queries that are predicted and written together: rows `start:stop`."""

    kind: Kind
    number: int
    start: int
    stop: int


class PredictionRecord(Record):
    """Of a prediction."""

    fingerprint: str
    queries: str
    ground_truth_boxes: bool
    context: bool
    piece_rows: int
    detections: str | None = None


@dataclass(frozen=True, eq=False)
class Work:
    """What is to be predicted.

    Attributes:
        scenes: S of a split.
        query_scenes: Q positions among the scenes; no two queries have the same scene and box.
        query_boxes: (Q, 4) float32, xyxy, pixels.
        ground_truth_boxes: whether to embed the annotated boxes instead of detecting.
        context: whether to detect around each query, too.
        piece_rows: scenes or queries of a piece.
        given: what is embedded instead: somebody else's detections in these scenes.
    """

    scenes: Scenes
    query_scenes: list[int]
    query_boxes: np.ndarray
    ground_truth_boxes: bool
    context: bool
    piece_rows: int
    given: Predictions | None = None

    @classmethod
    def of(
        cls,
        dataset: PersonSearchDataset,
        protocols: Sequence[str] | None,
        *,
        split: str = "test",
        ground_truth_boxes: bool,
        context: bool,
        given: Predictions | None = None,
    ) -> Work:
        """The test scenes of a dataset, and the queries of some protocols, or of all; or the scenes of another split.

        Raises:
            InputError: a protocol is unknown, or there is none; the split is unknown or empty, or has no queries and
                protocols or context are asked for; the detections are of other scenes.
        """
        scenes = dataset.split(split)
        if not len(scenes):
            raise InputError(f"{dataset.root}: the split {split} has no scenes, so there is nothing to predict.")
        if split == "test":
            query_scenes, boxes = _distinct_queries(
                dataset, dataset.require_protocols() if protocols is None else protocols
            )
        elif protocols is not None or context:
            raise InputError(f"protocols and context are for queries, and the split {split} has none. Leave them out.")
        else:
            query_scenes, boxes = [], np.zeros((0, 4), np.float32)
        if given is not None:
            _require_detections(given, scenes)
        return cls(scenes, query_scenes, boxes, ground_truth_boxes, context, PIECE_ROWS, given)

    @classmethod
    def of_scenes(cls, scenes: Scenes) -> Work:
        """Any scenes, at least one, in which people are detected; there are no queries."""
        return cls(scenes, [], np.zeros((0, 4), np.float32), False, False, PIECE_ROWS)

    @property
    def boxes_are_known(self) -> bool:
        """Whether there is nothing to detect in the scenes."""
        return self.ground_truth_boxes or self.given is not None

    def known(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """The boxes (n, 4) and scores (n,) of a scene that are embedded, where they are known."""
        scene = self.scenes[position]
        if self.given is None:
            return scene.boxes, np.ones(len(scene.boxes), np.float32)
        place = self._places[scene.name]
        rows = slice(*self.given.offsets[place : place + 2])
        return self.given.boxes[rows], self.given.scores[rows]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {} if self.given is None else {name: place for place, name in enumerate(self.given.scene_names)}

    def pieces(self) -> list[Piece]:
        """All there is to do; pieces of both kinds alternate, so that any stretch of the list holds its share of each.

        What a piece is does not depend on who does it.
        """
        numbers: dict[Kind, int] = {"scenes": len(self.scenes), "queries": len(self.query_scenes)}
        pieces = [
            Piece(kind, number, start, min(start + self.piece_rows, rows))
            for kind, rows in numbers.items()
            for number, start in enumerate(range(0, rows, self.piece_rows))
        ]
        return sorted(pieces, key=lambda piece: piece.start / numbers[piece.kind])

    def positions(self, piece: Piece) -> Sequence[int]:
        """The scene of each row of a piece."""
        rows = slice(piece.start, piece.stop)
        return range(len(self.scenes))[rows] if piece.kind == "scenes" else self.query_scenes[rows]

    def names(self, piece: Piece) -> list[str]:
        """The name of the scene of each row of a piece."""
        return [self.scenes.names[position] for position in self.positions(piece)]

    def boxes(self, piece: Piece) -> np.ndarray:
        """The boxes of a piece of queries."""
        return self.query_boxes[piece.start : piece.stop]

    def record(self, model: nn.Module) -> PredictionRecord:
        """By which this work is known again, with this model."""
        queries = hashlib.sha256("\0".join(self.scenes.names[scene] for scene in self.query_scenes).encode())
        queries.update(self.query_boxes.tobytes())
        return PredictionRecord(
            model=model_digest(model),
            fingerprint=self.scenes.fingerprint,
            queries=queries.hexdigest(),
            ground_truth_boxes=self.ground_truth_boxes,
            context=self.context,
            piece_rows=self.piece_rows,
            detections=None if self.given is None else _digest(self.given),
        )


def _require_detections(given: Predictions, scenes: Scenes) -> None:
    """Check that somebody's detections are of these scenes, and of all of them."""
    remedy = "Give detections of the data and split that are predicted."
    if given.fingerprint not in ("", scenes.fingerprint):
        raise InputError(f"detections: of other scenes (fingerprint {given.fingerprint[:12]}). {remedy}")
    faults = []
    if strangers := [name for name in given.scene_names if name not in scenes.positions]:
        faults.append(f"detections: {len(strangers)} scenes are not here, such as {strangers[0]!r}. {remedy}")
    if missing := scenes.positions.keys() - set(given.scene_names):
        faults.append(f"detections: {len(missing)} scenes are not among theirs, such as {min(missing)!r}. {remedy}")
    if faults:
        raise InputError(faults)


def _digest(given: Predictions) -> str:
    sha = hashlib.sha256("\0".join(given.scene_names).encode())
    for column in (given.offsets, given.boxes, given.scores):
        sha.update(np.ascontiguousarray(column).tobytes())
    return sha.hexdigest()


def _distinct_queries(dataset: PersonSearchDataset, protocols: Sequence[str]) -> tuple[list[int], np.ndarray]:
    """The scene (position) and box of every query of the protocols, each once."""
    if not protocols:
        raise InputError("predict: no protocol given, so there are no queries. Name at least one of dataset.protocols.")
    distinct: dict[tuple[int, bytes], np.ndarray] = {}
    for name in protocols:
        queries = dataset.protocol(name).queries
        for scene, box in zip(queries.scenes.tolist(), queries.boxes, strict=True):
            distinct.setdefault((scene, box.tobytes()), box)
    return [scene for scene, _ in distinct], np.stack(list(distinct.values()))
