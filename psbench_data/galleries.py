"""Making a protocol's table: from explicit lists, by a rule over the annotation, or drawn from a seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from psbench_data.columns import lists, vectors
from psbench_data.protocol import Rest
from psbench_data.scenes import UNLABELED, Scenes

if TYPE_CHECKING:
    import pyarrow as pa


class QueryList(NamedTuple):
    """Queries without galleries.

    Attributes:
        scenes: (Q,) indices into the test scenes.
        boxes: (Q, 4), xyxy, pixels.
        person_ids: (Q,).
    """

    scenes: np.ndarray
    boxes: np.ndarray
    person_ids: np.ndarray


def protocol_table(
    scenes: Sequence[int] | np.ndarray,
    boxes: np.ndarray,
    person_ids: Sequence[int] | np.ndarray,
    listed: Sequence[np.ndarray],
    truth_entries: Sequence[np.ndarray],
    truth_boxes: Sequence[np.ndarray],
    *,
    rest: Rest = "none",
    pool: Sequence[int] | None = None,
    by_rule: bool = False,
) -> pa.Table:
    """Put queries and their galleries into columns.

    Args:
        scenes: Q indices into the test scenes.
        boxes: (Q, 4), xyxy, pixels.
        person_ids: Q identities.
        listed: Q arrays of indices into the test scenes, in official order, repeats kept.
        truth_entries: Q arrays of positions in the query's list.
        truth_boxes: Q arrays (n, 4), xyxy, pixels.
        rest: which scenes are searched besides the listed ones, see `Protocol`.
        pool: the test scenes that belong to the protocol; None for all.
        by_rule: whether the galleries follow from the annotation, see `Protocol`.

    Returns:
        A table with one row a query.
    """
    import pyarrow as pa

    def ragged(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return np.cumsum([0, *map(len, arrays)]), np.concatenate(arrays) if len(arrays) else np.zeros(0)

    listed_offsets, entries = ragged(listed)
    truth_offsets, truths = ragged(truth_entries)
    settings = {"rest": rest, "pool": None if pool is None else sorted(int(i) for i in pool), "by_rule": by_rule}
    return pa.table(
        {
            "scene": pa.array(np.asarray(scenes, np.int32)),
            "box": vectors(np.asarray(boxes, np.float32).reshape(-1, 4)),
            "person_id": pa.array(np.asarray(person_ids, np.int64)),
            "listed": lists(listed_offsets, entries.astype(np.int32)),
            "truth_entries": lists(truth_offsets, truths.astype(np.int32)),
            "truth_boxes": lists(truth_offsets, vectors(ragged(truth_boxes)[1].astype(np.float32).reshape(-1, 4))),
        }
    ).replace_schema_metadata({"settings": json.dumps(settings)})


def by_rule(test: Scenes, queries: QueryList, rest: Rest = "all") -> pa.Table:
    """The protocol of PRW: every scene but the query's own, of all, other or the same cameras.

    The scenes with the person are listed, in the order of `test`, each with the first of the person's boxes there;
    all others are the rest.

    Args:
        test: the scenes; with cameras where the rule asks for them.
        queries: who is searched for.
        rest: the rule.
    """
    appearances = _Appearances(test)
    listed, truth = [], []
    for own, person in zip(queries.scenes, queries.person_ids, strict=True):
        places, their_boxes = appearances.of(person)
        kept = places != own
        if rest == "other-cameras":
            kept &= test.camera_ids[places] != test.camera_ids[own]
        elif rest == "same-camera":
            kept &= test.camera_ids[places] == test.camera_ids[own]
        listed.append(places[kept])
        truth.append(their_boxes[kept])
    entries = [np.arange(len(places)) for places in listed]
    return protocol_table(*queries, listed, entries, truth, rest=rest, by_rule=True)


def drawn(test: Scenes, queries: QueryList, size: int, seed: int) -> pa.Table:
    """Galleries of `size` scenes, as CUHK-SYSU's were made: the person's other scenes, then scenes drawn at random.

    A larger gallery holds the smaller ones of the same seed. Where the person is in more than `size` other scenes,
    `size` of them are drawn.

    Args:
        test: the scenes.
        queries: who is searched for.
        size: scenes a query, at most all but its own.
        seed: of the draw.
    """
    appearances = _Appearances(test)
    listed, truth = [], []
    for q, (own, person) in enumerate(zip(queries.scenes, queries.person_ids, strict=True)):
        order = _shuffled(seed, q, len(test))
        places, their_boxes = appearances.of(person)
        kept = places != own
        places, their_boxes = places[kept], their_boxes[kept]
        rank = np.argsort(order)
        first = np.argsort(rank[places])[:size]
        without = np.ones(len(test), bool)
        without[places] = without[own] = False
        others = order[without[order]]
        listed.append(np.concatenate([places[first], others[: size - len(first)]]))
        truth.append(their_boxes[first])
    entries = [np.arange(len(found)) for found in truth]
    return protocol_table(*queries, listed, entries, truth)


def chosen_queries(test: Scenes, seed: int) -> QueryList:
    """Queries for data that has none: of each person that is in two scenes or more, one box a camera, as in PRW.

    Args:
        test: the scenes; scenes without a camera count as one camera.
        seed: of the choice among a person's boxes.
    """
    appearances = _Appearances(test)
    scenes, boxes, person_ids = [], [], []
    for person in range(test.num_identities):
        places, their_boxes = appearances.of(person)
        if len(places) < 2:
            continue
        order = _shuffled(seed, person, len(places))
        first = np.unique(test.camera_ids[places[order]], return_index=True)[1]
        chosen = order[first]
        scenes.append(places[chosen])
        boxes.append(their_boxes[chosen])
        person_ids.append(np.full(len(chosen), person))
    return QueryList(
        np.concatenate([np.zeros(0, np.int64), *scenes]),
        np.concatenate([np.zeros((0, 4), np.float32), *boxes]),
        np.concatenate([np.zeros(0, np.int64), *person_ids]),
    )


class _Appearances:
    """The scenes of each person, ascending, each with the first of the person's boxes in it."""

    def __init__(self, test: Scenes) -> None:
        scene = np.repeat(np.arange(len(test)), np.diff(test.offsets))
        rows = np.flatnonzero(test.person_ids != UNLABELED)
        key = test.person_ids[rows] * len(test) + scene[rows]
        key, first = np.unique(key, return_index=True)
        self._persons, self._scenes = key // max(len(test), 1), key % max(len(test), 1)
        self._boxes = test.boxes[rows[first]]

    def of(self, person: int) -> tuple[np.ndarray, np.ndarray]:
        """(n,) scenes and (n, 4) boxes."""
        mine = slice(*np.searchsorted(self._persons, [person, person + 1]))
        return self._scenes[mine], self._boxes[mine]


def _shuffled(seed: int, stream: int, n: int) -> np.ndarray:
    """(n,) a permutation of 0..n-1 that is the same for ever, on every platform and with every numpy.

    Ordered by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) of seed, stream and position: numpy's generators may
    change between versions, and with them the galleries that numbers were measured on.
    """

    def mixed(x: np.ndarray) -> np.ndarray:
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))

    state = mixed(mixed(np.array([seed], np.uint64)) + np.uint64(stream))
    return np.argsort(mixed(state + np.arange(n, dtype=np.uint64)), kind="stable")
