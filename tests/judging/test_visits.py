"""Which scenes are searched, and what is to be found there, by every evaluator's rules, against plain loops."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from psbench import PRESETS
from psbench.evaluation.rules import Rules
from psbench.evaluation.visits import Targets, Visits, targets_of
from psbench_data import UNLABELED, Protocol, Scenes
from psbench_data.galleries import protocol_table
from psbench_data.scenes import scenes_table
from tests.judging import worlds

SEEDS = range(8)
RULES = [*PRESETS.values(), PRESETS["pcnet"].with_cbgm(), dataclasses.replace(PRESETS["seqnet"], repeats="each")]


def _drawn(seed: int) -> Protocol:
    rng = np.random.default_rng(seed)
    # Some have more queries than scenes.
    return worlds.protocol(rng, worlds.scenes(rng, size=[12, 3][seed % 2]))


def _listed(protocol: Protocol, rules: Rules, q: int) -> list[int]:
    """The scenes that are searched because a list names them."""
    listed, own = protocol.listed(q).tolist(), protocol.queries.scenes[q]
    if rules.repeats == "once":
        listed = list(dict.fromkeys(listed))
    return [scene for scene in listed if rules.own_scene == "listed" or scene != own]


def _rest(protocol: Protocol, q: int) -> list[int]:
    """All other scenes of the rule, listed or not."""
    own, cameras = protocol.queries.scenes[q], protocol.scenes.camera_ids
    same = cameras == cameras[own]
    chosen = {"none": same & ~same, "all": same | ~same, "same-camera": same, "other-cameras": ~same}[protocol.rest]
    return [scene for scene in protocol.pool.tolist() if chosen[scene] and scene != own]


def _twice(protocol: Protocol, rules: Rules) -> bool:
    return rules.lists_again and protocol.rest != "none" and not protocol.by_rule


def _times(protocol: Protocol, rules: Rules, q: int) -> Counter[int]:
    listed, twice = _listed(protocol, rules, q), _twice(protocol, rules)
    return Counter([*listed, *(scene for scene in _rest(protocol, q) if twice or scene not in listed)])


@pytest.mark.parametrize("seed", SEEDS)
def test_scenes_are_searched_as_often_as_the_rules_say(seed: int) -> None:
    protocol = _drawn(seed)
    queries, size = np.arange(len(protocol.queries))[::-1], len(protocol.scenes)
    for rules in RULES:
        visits = Visits(protocol, rules)
        every = [_times(protocol, rules, q) for q in queries]
        expected = np.array([[of_query[scene] for scene in range(size)] for of_query in every]).reshape(-1, size)
        revised = expected > 0
        if _twice(protocol, rules):
            revised[:] = [np.isin(range(size), _listed(protocol, rules, q)) for q in queries]
        for scenes in (None, slice(0, 2), slice(1, 2), slice(1, size), slice(0, size)):
            part = slice(None) if scenes is None else scenes
            times = visits.times(queries, scenes)
            assert (times.tolist(), times.dtype) == (expected[:, part].tolist(), np.int16)
            assert visits.revised(queries, scenes).tolist() == revised[:, part].tolist()


@pytest.mark.parametrize("at_once", [1, 30, 2**22])
@pytest.mark.parametrize("seed", SEEDS)
def test_pairs_of_queries_and_scenes_are_looked_up_in_any_order(
    seed: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psbench.evaluation.visits._AT_ONCE", at_once)
    protocol, rng = _drawn(seed), np.random.default_rng(seed)
    queries, scenes = rng.integers(0, [[len(protocol.queries)], [len(protocol.scenes)]], (2, 60))
    pairs = list(zip(queries.tolist(), scenes.tolist(), strict=True))
    for rules in RULES:
        visits = Visits(protocol, rules)
        times, again = visits.of_pairs(queries, scenes), visits.again(queries, scenes)
        assert times.tolist() == [_times(protocol, rules, q)[scene] for q, scene in pairs]
        assert again.tolist() == [_twice(protocol, rules) and scene in _rest(protocol, q) for q, scene in pairs]
        assert (times.dtype, again.dtype) == (np.int64, np.int64)


def _found(targets: Targets) -> list[tuple[int, int, list[float]]]:
    assert (targets.queries.dtype, targets.scenes.dtype) == (np.int64, np.int64)
    return list(zip(targets.queries.tolist(), targets.scenes.tolist(), targets.boxes.tolist(), strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_of_the_protocol_are_to_be_found_in_its_searched_entries(seed: int) -> None:
    protocol = _drawn(seed)
    for rules in (Rules(), PRESETS["oim"]):
        expected = []
        for q in range(len(protocol.queries)):
            listed = protocol.listed(q).tolist()
            for t in np.flatnonzero(protocol.truth_queries == q):
                entry = protocol.truth_entries[t]
                if rules.repeats == "each" or listed[entry] not in listed[:entry]:
                    expected.append((q, listed[entry], protocol.truth_boxes[t].tolist()))
        targets = targets_of(protocol, rules)
        assert _found(targets) == expected
        assert targets.matches.tolist() == [(protocol.truth_queries == q).sum() for q in range(len(protocol.queries))]


@pytest.mark.parametrize("own_scene", ["never", "listed"])
@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_of_the_annotation_are_the_persons_first_in_each_listed_scene(seed: int, own_scene: str) -> None:
    protocol = _drawn(seed)
    scenes, annotated = protocol.scenes, protocol.scenes.annotated_boxes
    for repeats in ("each", "once"):
        rules = dataclasses.replace(PRESETS["pcnet"], repeats=repeats, own_scene=own_scene)
        expected, matches = [], []
        for q, person in enumerate(protocol.queries.person_ids):
            people = {s: range(scenes.offsets[s], scenes.offsets[s + 1]) for s in protocol.listed(q).tolist()}
            hers = {s: [p for p in of_scene if scenes.person_ids[p] == person] for s, of_scene in people.items()}
            searched = _listed(protocol, rules, q)
            expected += [(q, s, annotated[hers[s][0]].tolist()) for s in searched if hers[s]]
            each = _listed(protocol, dataclasses.replace(rules, repeats="each"), q)
            matches.append(sum(bool(hers[s]) for s in each))
        targets = targets_of(protocol, rules)
        assert _found(targets) == expected
        assert targets.matches.tolist() == matches


@pytest.mark.parametrize(("known", "found"), [([], []), ([0], [0]), ([1], [1]), ([0, 1], [0, 1])])
def test_where_nobody_or_hardly_anybody_is_known(known: list[int], found: list[int]) -> None:
    names, person = ["0.jpg", "1.jpg"], np.array([[0, 0, 20, 40]])
    ids = [np.array([0 if scene in known else UNLABELED]) for scene in (0, 1)]
    scenes = Scenes(scenes_table(names, names, [person] * 2, ids), Path(), ["somebody"])
    table = protocol_table([0], person, [0], [np.array([0, 1])], [np.zeros(0, int)], [np.zeros((0, 4))])
    protocol = Protocol("stage", table, scenes, dataset="stage", synthetic=True, version=1)
    targets = targets_of(protocol, dataclasses.replace(PRESETS["pcnet"], own_scene="listed"))
    assert _found(targets) == [(0, scene, person[0].tolist()) for scene in found]
    assert targets.matches.tolist() == [len(found)]
