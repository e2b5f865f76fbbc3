"""The pairs of queries and scenes that protocols ask for, cut into pieces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from psbench.blocks import query_names, ranges
from psbench.evaluation.fitting import origin_faults
from psbench.evaluation.pairs import pairwise_faults
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
Keep = int | Mapping[str, int | None] | None
"""How many proposals of a query are kept of its gallery, or by the names of protocols how many there; None for all."""


class PairsRecord(Record):
    """Of a search: `protocol` has the digests of all that are searched, and `keep` what each of them keeps."""

    fingerprint: str
    protocol: str
    keep: int | tuple[int | None, ...] | None
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

    A box that is asked for twice, by one protocol or two, is one query, with both galleries: no pair is searched twice.
    Four bytes a pair are in memory.

    Attributes:
        dataset: of the protocols.
        protocols: whose queries are searched in their galleries: in their own scenes only where a gallery lists them.
        query_scenes: Q positions among the test scenes.
        query_boxes: (Q, 4) float32, xyxy, pixels.
        turns: the pairs.
        keep: proposals of a query that are kept in the end of its gallery, in each of the protocols; None for all.
        method: a name to keep with the predictions.
        piece_pairs, queries_at_hand: how the work is cut.
    """

    dataset: PersonSearchDataset
    protocols: list[Protocol]
    query_scenes: np.ndarray
    query_boxes: np.ndarray
    turns: list[Turn]
    keep: list[int | None]
    method: str
    piece_pairs: int
    queries_at_hand: int

    @classmethod
    def of(cls, dataset: PersonSearchDataset, protocol: str | Sequence[str], *, keep: Keep, method: str) -> Pairing:
        """The pairs of a protocol, or of several, in whatever order these are named.

        Raises:
            InputError: no protocol is named, one is unknown or has no queries, or `keep` cannot be.
        """
        tasks = _protocols(dataset, [protocol] if isinstance(protocol, str) else protocol)
        kept = _kept(tasks, keep)
        numbers: dict[tuple[str, bytes], int] = {}
        rows = [
            np.array([numbers.setdefault(name, len(numbers)) for name in names])
            for names in (query_names(task.queries.scene_names, task.queries.boxes) for task in tasks)
        ]
        first = np.unique(np.concatenate(rows), return_index=True)[1]
        scenes, queries = _gallery_pairs(tasks, rows, len(numbers))
        return cls(
            dataset,
            tasks,
            np.concatenate([task.queries.scenes for task in tasks])[first],
            np.concatenate([task.queries.boxes for task in tasks])[first],
            _turns(scenes, queries, len(first), QUERIES_AT_HAND),
            kept,
            method,
            PIECE_PAIRS,
            QUERIES_AT_HAND,
        )

    @property
    def scenes(self) -> Scenes:
        """The S test scenes."""
        return self.protocols[0].scenes

    @property
    def count(self) -> int:
        """How many pairs there are."""
        return sum(len(turn.pairs) for turn in self.turns)

    def record(self, model: str) -> PairsRecord:
        """By which this work is known again, with the model of this digest."""
        return PairsRecord(
            model=model,
            fingerprint=self.scenes.fingerprint,
            protocol=" ".join(task.digest for task in self.protocols),
            keep=self.keep[0] if len(self.protocols) == 1 else tuple(self.keep),
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

    @property
    def keeps_all(self) -> bool:
        """Whether all proposals are kept."""
        return all(keep is None for keep in self.keep)

    def kept(self, found: PairwisePredictions) -> PairwisePredictions:
        """Of what was found of some pairs, what any of the protocols would keep if these were all."""
        most = int(np.diff(found.offsets[found.query_offsets]).max(initial=0))
        if all(keep is None or keep >= most for keep in self.keep):
            return found
        chosen = np.zeros(len(found.boxes), bool)
        for task, keep in zip(self.protocols, self.keep, strict=True):
            among = found.in_galleries(task) if len(self.protocols) > 1 else None
            chosen |= found.best(most if keep is None else keep, among=among)
        return found.only(chosen)

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


def searched_by(task: Protocol, found: PairwisePredictions, source: Path) -> PairwisePredictions:
    """Of a search, what a protocol asks for.

    Args:
        task: the protocol.
        found: what the search found.
        source: its folder.

    Raises:
        InputError: it is of other data, or not all that the protocol asks for was searched.
    """
    faults = origin_faults(found, task.dataset, task.fingerprint) or pairwise_faults(found, task, rules_of("default"))
    if faults:
        raise InputError(f"{source}: no search of all of {task.name}: {faults[0].removeprefix('predictions: ')}")
    return found.within(task)


def cut(offsets: np.ndarray, size: int) -> list[np.ndarray]:
    """Stretches of the segments that (n + 1,) offsets describe, of about so many rows each, none divided."""
    if len(offsets) == 1:
        return []
    number = (offsets[1:] - 1) // size
    return np.split(np.arange(len(number)), np.flatnonzero(np.diff(number)) + 1)


def _protocols(dataset: PersonSearchDataset, names: Sequence[str]) -> list[Protocol]:
    """Each once, in an order that does not depend on that of the names."""
    tasks, faults = list[Protocol](), list[str]()
    for name in sorted(set(names)):
        try:
            tasks.append(task := dataset.protocol(name))
        except InputError as error:
            faults += error.faults
            continue
        if not len(task.queries):
            faults.append(f"{dataset.root}: the protocol {name} has no queries, so there is nothing to search.")
    if not tasks and not faults:
        faults.append(f"no protocol is given to search. Name at least one of {', '.join(dataset.protocols)}.")
    if faults:
        raise InputError(faults)
    return tasks


def _kept(tasks: Sequence[Protocol], keep: Keep) -> list[int | None]:
    """How many proposals a query are kept of its gallery in each protocol."""
    if isinstance(keep, Mapping) and (others := keep.keys() - {task.name for task in tasks}):
        raise InputError(f"keep: {', '.join(sorted(others))}: not searched. Search it, too, or leave its number out.")
    kept = [keep.get(task.name) if isinstance(keep, Mapping) else keep for task in tasks]
    if wrong := [n for n in kept if n is not None and n < 1]:
        raise InputError(f"keep is {wrong[0]}, expected a number of proposals a query, at least 1.")
    return kept


def _gallery_pairs(
    protocols: Sequence[Protocol], rows: Sequence[np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """(P,) scenes, ascending, and (P,) queries, ascending in each scene: all that is searched, each pair once.

    Args:
        protocols: that say so.
        rows: of each, (q,) which query each of its own is.
        count: of all queries.
    """
    of_each = (_pair_keys(protocol, row, count) for protocol, row in zip(protocols, rows, strict=True))
    scenes, queries = np.divmod(reduce(np.union1d, of_each), count)
    return scenes, queries.astype(np.int32)


def _pair_keys(protocol: Protocol, row: np.ndarray, count: int) -> np.ndarray:
    """(p,) scene times count and query: the pairs that a protocol searches, each once, ascending."""
    visits = Visits(protocol, rules_of("default"))
    step = max(1, _VISITS_AT_ONCE // max(1, len(protocol.scenes)))
    keys = []
    for start in range(0, len(row), step):
        asked = np.arange(start, min(start + step, len(row)))
        query, scene = np.nonzero(visits.times(asked))
        keys.append(scene * count + row[asked[query]])
    return np.unique(np.concatenate(keys))


def _turns(scenes: np.ndarray, queries: np.ndarray, count: int, at_hand: int) -> list[Turn]:
    bounds = np.linspace(0, count, math.ceil(count / at_hand) + 1).astype(int)
    turns = []
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        of_turn = (queries >= start) & (queries < stop)
        needed, starts = np.unique(scenes[of_turn], return_index=True)
        turns.append(Turn(range(start, stop), needed, np.append(starts, of_turn.sum()), queries[of_turn]))
    return turns
