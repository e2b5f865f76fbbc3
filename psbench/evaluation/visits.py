"""Which scenes are searched for each query, and which boxes are to be found there, under an evaluator's rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from psbench.evaluation.rules import Rules
from psbench.evaluation.segments import ranges
from psbench_data import Protocol


@dataclass(frozen=True, eq=False)
class Visits:
    """How often each scene is searched for each query.

    Attributes:
        protocol, rules: that say so.
    """

    protocol: Protocol
    rules: Rules

    def times(self, queries: np.ndarray) -> np.ndarray:
        """(b, S) int16: how often each scene is searched for some queries."""
        listed = self._listed(queries)
        set_of, sets = self.protocol.rest_sets
        if not len(sets):
            return listed
        rest = sets[set_of[queries]].astype(np.int16)
        rest[np.arange(len(queries)), self.protocol.queries.scenes[queries]] = 0
        return rest + listed if self.lists_again else np.where(listed > 0, listed, rest)

    def revised(self, queries: np.ndarray) -> np.ndarray:
        """(b, S) int16: how often each scene is searched with the similarities that CBGM revised.

        The released code that searches the lists a second time does so with the plain ones.
        """
        return self._listed(queries) if self.lists_again else self.times(queries)

    @property
    def lists_again(self) -> bool:
        """Whether listed scenes are searched a second time, see `Rules`."""
        return self.rules.lists_again and not self.protocol.by_rule

    def _listed(self, queries: np.ndarray) -> np.ndarray:
        protocol = self.protocol
        counts = protocol.listed_offsets[queries + 1] - protocol.listed_offsets[queries]
        scene = protocol.listed_scenes[ranges(protocol.listed_offsets[queries], counts)]
        query = np.repeat(np.arange(len(queries)), counts)
        times = np.zeros((len(queries), len(protocol.scenes)), np.int16)
        if self.rules.repeats == "each":
            np.add.at(times, (query, scene), 1)
        else:
            times[query, scene] = 1
        if self.rules.own_scene == "never":
            times[np.arange(len(queries)), protocol.queries.scenes[queries]] = 0
        return times


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
    there = known[place] == wanted if len(known) else np.zeros(len(wanted), bool)
    return Targets(
        query[there],
        scene[there],
        scenes.annotated_boxes[labelled[first[place[there]]]],
        np.bincount(query[there], minlength=len(protocol.queries)),
    )
