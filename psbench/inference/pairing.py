"""The pairs of queries and scenes that a protocol asks for, cut into pieces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from psbench.blocks import query_names, ranges
from psbench.evaluation.rules import rules_of
from psbench.evaluation.visits import Visits
from psbench.inference.sharing import Record
from psbench.pairwise import PairwisePredictions
from psbench_data import InputError, PersonSearchDataset, Protocol, Scenes

PIECE_PAIRS = 4096
"""Pairs of a piece, about: some seconds of a GPU's work, so that little is lost with it."""
QUERIES_AT_HAND = 3072
"""Queries that are held encoded at once, at most; more come in turns, for each of which the scenes are encoded anew."""
_VISITS_AT_ONCE = 2**22


class PairsRecord(Record):
    """Of a search."""

    fingerprint: str
    protocol: str
    keep: int | None
    piece_pairs: int
    queries_at_hand: int


class Piece(NamedTuple):
    """Pairs that are searched and written together: of the queries of a turn, with a stretch of the scenes it needs."""

    number: int
    turn: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Turn:
    """Queries that are held encoded together, and the scenes that any of them is searched in.

    Attributes:
        queries: from which to which.
        scenes: (s,) int64, positions, ascending.
        offsets: (s + 1,) int64: where the pairs of each of these scenes begin and end.
        pairs: (p,) int32: the query of each pair, scene after scene, ascending in each.
    """

    queries: range
    scenes: np.ndarray
    offsets: np.ndarray
    pairs: np.ndarray

    def queries_of(self, place: int) -> np.ndarray:
        """The queries that are searched in one of the scenes."""
        return self.pairs[self.offsets[place] : self.offsets[place + 1]]


@dataclass(frozen=True, eq=False)
class Pairing:
    """What is to be searched.

    A box that the protocol asks for twice is one query, with both galleries. Four bytes a pair are in memory.

    Attributes:
        dataset: of the protocol.
        protocol: whose queries are searched in their galleries: in their own scenes only where a gallery lists them.
        query_scenes: Q positions among the test scenes.
        query_boxes: (Q, 4) float32, xyxy, pixels.
        turns: the pairs.
        keep: proposals of a query that are kept in the end; None for all.
        method: a name to keep with the predictions.
        piece_pairs, queries_at_hand: how the work is cut.
    """

    dataset: PersonSearchDataset
    protocol: Protocol
    query_scenes: np.ndarray
    query_boxes: np.ndarray
    turns: list[Turn]
    keep: int | None
    method: str
    piece_pairs: int
    queries_at_hand: int

    @classmethod
    def of(cls, dataset: PersonSearchDataset, protocol: str, *, keep: int | None, method: str) -> Pairing:
        """The pairs of a protocol.

        Raises:
            InputError: the protocol is unknown or has no queries, or `keep` is not positive.
        """
        task = dataset.protocol(protocol)
        if keep is not None and keep < 1:
            raise InputError(f"keep is {keep}, expected a number of proposals a query, at least 1.")
        if not len(task.queries):
            raise InputError(f"{dataset.root}: the protocol {protocol} has no queries, so there is nothing to search.")
        numbers: dict[tuple[str, bytes], int] = {}
        names = query_names(task.queries.scene_names, task.queries.boxes)
        row = np.array([numbers.setdefault(name, len(numbers)) for name in names])
        first = np.unique(row, return_index=True)[1]
        scenes, queries = _gallery_pairs(task, row)
        return cls(
            dataset,
            task,
            task.queries.scenes[first],
            task.queries.boxes[first],
            _turns(scenes, queries, len(first), QUERIES_AT_HAND),
            keep,
            method,
            PIECE_PAIRS,
            QUERIES_AT_HAND,
        )

    @property
    def scenes(self) -> Scenes:
        """The S test scenes."""
        return self.protocol.scenes

    def record(self, model: str) -> PairsRecord:
        """By which this work is known again, with the model of this digest."""
        return PairsRecord(
            model=model,
            fingerprint=self.scenes.fingerprint,
            protocol=self.protocol.digest,
            keep=self.keep,
            piece_pairs=self.piece_pairs,
            queries_at_hand=self.queries_at_hand,
        )

    def pieces(self) -> list[Piece]:
        """All there is to do, turn after turn; a scene is never divided within a turn."""
        stretches = [
            (turn, int(places[0]), int(places[-1]) + 1)
            for turn, work in enumerate(self.turns)
            for places in cut(work.offsets, self.piece_pairs)
        ]
        return [Piece(number, *stretch) for number, stretch in enumerate(stretches)]

    def positions(self, piece: Piece) -> list[int]:
        """The scenes of a piece."""
        return self.turns[piece.turn].scenes[piece.start : piece.stop].tolist()

    def size(self, piece: Piece) -> int:
        """The pairs of a piece."""
        offsets = self.turns[piece.turn].offsets
        return int(offsets[piece.stop] - offsets[piece.start])

    def keys(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        """Query and scene, int32, of each pair of a piece, in the order in which they are written."""
        turn, places = self.turns[piece.turn], np.arange(piece.start, piece.stop)
        counts = np.diff(turn.offsets)[places]
        queries = turn.pairs[ranges(turn.offsets[places], counts)]
        scenes = np.repeat(turn.scenes[places], counts).astype(np.int32)
        order = np.argsort(queries, kind="stable")
        return queries[order], scenes[order]

    def predictions(self, **columns: Any) -> PairwisePredictions:
        """Pairs with what was found, as `PairwisePredictions.from_arrays` takes them; none without columns."""
        none = {"queries": [], "scenes": [], "counts": [], "boxes": np.zeros((0, 4)), "similarities": []}
        return PairwisePredictions.from_arrays(
            self.scenes.names,
            **none | columns,
            num_queries=len(self.query_scenes),
            query_scenes=[self.scenes.names[scene] for scene in self.query_scenes],
            query_boxes=self.query_boxes,
            method=self.method,
            dataset=self.dataset.name,
            fingerprint=self.scenes.fingerprint,
            synthetic=self.dataset.synthetic,
        )


def cut(offsets: np.ndarray, size: int) -> list[np.ndarray]:
    """Stretches of the segments that (n + 1,) offsets describe, of about so many rows each, none divided."""
    if len(offsets) == 1:
        return []
    number = (offsets[1:] - 1) // size
    return np.split(np.arange(len(number)), np.flatnonzero(np.diff(number)) + 1)


def _gallery_pairs(protocol: Protocol, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) scenes, ascending, and (P,) queries, ascending in each scene: all that is searched, each pair once.

    Args:
        protocol: that says so.
        row: (q,) which query each of the protocol's is.
    """
    visits, count = Visits(protocol, rules_of("default")), int(row.max()) + 1
    step = max(1, _VISITS_AT_ONCE // max(1, len(protocol.scenes)))
    keys = []
    for start in range(0, len(row), step):
        asked = np.arange(start, min(start + step, len(row)))
        query, scene = np.nonzero(visits.times(asked))
        keys.append(scene * count + row[asked[query]])
    scenes, queries = np.divmod(np.unique(np.concatenate(keys)), count)
    return scenes, queries.astype(np.int32)


def _turns(scenes: np.ndarray, queries: np.ndarray, count: int, at_hand: int) -> list[Turn]:
    bounds = np.linspace(0, count, math.ceil(count / at_hand) + 1).astype(int)
    turns = []
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        of_turn = (queries >= start) & (queries < stop)
        needed, starts = np.unique(scenes[of_turn], return_index=True)
        turns.append(Turn(range(start, stop), needed, np.append(starts, of_turn.sum()), queries[of_turn]))
    return turns
