"""Which scenes are searched for each query, and which boxes are to be found there, under an evaluator's rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from psbench.blocks import ranges
from psbench.evaluation.rules import Rules
from psbench_data import Protocol

_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Visits:
    """How often each scene is searched for each query.

    Attributes:
        protocol, rules: that say so.
    """

    protocol: Protocol
    rules: Rules

    def times(self, queries: np.ndarray, scenes: slice | None = None) -> np.ndarray:
        """(b, s) int16: how often each of a stretch of scenes, or each of all, is searched for some queries."""
        scenes = scenes or slice(0, len(self.protocol.scenes))
        listed = self._listed(queries, scenes)
        if self.protocol.rest == "none":
            return listed
        rest = self._rest(queries, scenes)
        return rest + listed if self.lists_again else np.where(listed > 0, listed, rest)

    def revised(self, queries: np.ndarray, scenes: slice | None = None) -> np.ndarray:
        """(b, s) bool: the scenes that are searched with the similarities that CBGM revised.

        The released code that searches the lists a second time does so with the plain ones.
        """
        scenes = scenes or slice(0, len(self.protocol.scenes))
        return (self._listed(queries, scenes) if self.lists_again else self.times(queries, scenes)) > 0

    def of_pairs(self, queries: np.ndarray, scenes: np.ndarray) -> np.ndarray:
        """(n,) int64: how often the scenes of pairs of a query and a scene are searched."""
        return self._of_pairs(self.times, queries, scenes)

    def again(self, queries: np.ndarray, scenes: np.ndarray) -> np.ndarray:
        """(n,) int64: how often scenes of pairs are searched with every detection wrong, see `Rules.lists_again`."""
        if not self.lists_again:
            return np.zeros(len(queries), np.int64)
        return self._of_pairs(self._rest, queries, scenes)

    @property
    def lists_again(self) -> bool:
        """Whether listed scenes are searched a second time, see `Rules`."""
        return self.rules.lists_again and self.protocol.rest != "none" and not self.protocol.by_rule

    def _of_pairs(
        self, times: Callable[[np.ndarray], np.ndarray], queries: np.ndarray, scenes: np.ndarray
    ) -> np.ndarray:
        found = np.zeros(len(queries), np.int64)
        asked, row = np.unique(queries, return_inverse=True)
        order = np.argsort(row, kind="stable")
        step = max(1, _AT_ONCE // max(1, len(self.protocol.scenes)))
        for start in range(0, len(asked), step):
            part = order[slice(*np.searchsorted(row[order], [start, start + step]))]
            found[part] = times(asked[start : start + step])[row[part] - start, scenes[part]]
        return found

    def _rest(self, queries: np.ndarray, scenes: slice | None = None) -> np.ndarray:
        """(b, s) int16: whether each scene is one of the others that a protocol with such a rule adds to its lists."""
        scenes = scenes or slice(0, len(self.protocol.scenes))
        set_of, sets = self.protocol.rest_sets
        rest = sets[set_of[queries], scenes].astype(np.int16)
        self._leave_out_own(rest, queries, scenes)
        return rest

    def _listed(self, queries: np.ndarray, scenes: slice) -> np.ndarray:
        protocol, width = self.protocol, scenes.stop - scenes.start
        counts = protocol.listed_offsets[queries + 1] - protocol.listed_offsets[queries]
        scene = protocol.listed_scenes[ranges(protocol.listed_offsets[queries], counts)]
        place = np.repeat(np.arange(len(queries)) * width - scenes.start, counts) + scene
        if width < len(protocol.scenes):
            place = place[(scene >= scenes.start) & (scene < scenes.stop)]
        times = np.zeros((len(queries), width), np.int16)
        if self.rules.repeats == "each":
            np.add.at(times.reshape(-1), place, 1)
        else:
            times.reshape(-1)[place] = 1
        if self.rules.own_scene == "never":
            self._leave_out_own(times, queries, scenes)
        return times

    def _leave_out_own(self, times: np.ndarray, queries: np.ndarray, scenes: slice) -> None:
        own = self.protocol.queries.scenes[queries]
        inside = np.flatnonzero((own >= scenes.start) & (own < scenes.stop))
        times[inside, own[inside] - scenes.start] = 0


@dataclass(frozen=True, eq=False)
class Targets:
    """The boxes to be found.

    Attributes:
        queries: (T,) int64, ascending.
        scenes: (T,) int64.
        boxes: (T, 4) float32, xyxy, pixels.
        matches: (Q,) int64, how many boxes recall is measured against; more than the targets of a query where its list
            names a scene twice and it is searched once.
    """

    queries: np.ndarray
    scenes: np.ndarray
    boxes: np.ndarray
    matches: np.ndarray


def targets_of(protocol: Protocol, rules: Rules) -> Targets:
    """The boxes to be found for each query."""
    if rules.true_boxes == "annotation":
        return _annotated(protocol, rules)
    found = np.flatnonzero(protocol.truth_searched | (rules.repeats == "each"))
    return Targets(
        protocol.truth_queries[found],
        protocol.truth_scenes[found].astype(np.int64),
        protocol.truth_boxes[found],
        np.diff(protocol.truth_offsets),
    )


def _annotated(protocol: Protocol, rules: Rules) -> Targets:
    """In each listed scene, the query's person as the scene's annotation has it: the first of its boxes there."""
    scenes, people = protocol.scenes, protocol.scenes.person_ids
    query, scene = protocol.listed_queries, protocol.listed_scenes.astype(np.int64)
    kept = np.ones(len(scene), bool)
    if rules.own_scene == "never":
        kept = scene != protocol.queries.scenes[query]
    query, scene = query[kept], scene[kept]
    labelled = np.flatnonzero(people >= 0)
    of_scene = np.repeat(np.arange(len(scenes)), np.diff(scenes.offsets))[labelled]
    known, first = np.unique(of_scene * scenes.num_identities + people[labelled], return_index=True)
    wanted = scene * scenes.num_identities + protocol.queries.person_ids[query]
    place = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    there = np.flatnonzero(known[place] == wanted) if len(known) else np.zeros(0, np.int64)
    matches = np.bincount(query[there], minlength=len(protocol.queries))
    if rules.repeats == "once":
        entries = query[there] * len(scenes) + scene[there]
        there = there[np.sort(np.unique(entries, return_index=True)[1])]
    return Targets(query[there], scene[there], scenes.annotated_boxes[labelled[first[place[there]]]], matches)
