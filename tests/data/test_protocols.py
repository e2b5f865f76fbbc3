"""Protocols: a worked toy example, rules against brute force, and what must hold for any of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import psbench_data
from psbench_data import UNLABELED, Protocol, Scenes
from psbench_data.galleries import QueryList, by_rule, chosen_queries, drawn, protocol_table
from psbench_data.protocol import Rest, match_iou_threshold
from psbench_data.scenes import scenes_table
from tests.conftest import EVALUATION
from tests.judging import worlds as irregular

RULES: tuple[Rest, ...] = ("all", "other-cameras", "same-camera")


def _scenes(people: list[list[int]], cameras: list[int]) -> Scenes:
    """One scene an entry of `people`, with one box a person, the k-th at x = 10 k."""
    boxes = [np.array([[10 * k, 0, 10 * k + 8, 20] for k in range(len(ids))]).reshape(-1, 4) for ids in people]
    names = [f"{i}.jpg" for i in range(len(people))]
    table = scenes_table(names, names, boxes, [np.array(ids, int) for ids in people], cameras)
    labels = [str(i) for i in range(max((i for ids in people for i in ids), default=-1) + 1)]
    return Scenes(table, Path(), labels)


def _protocol(table: object, scenes: Scenes) -> Protocol:
    return Protocol("toy", table, scenes, dataset="toy", synthetic=True, version=1)


def _query(scenes: Scenes, scene: int, person: int) -> QueryList:
    box = scenes[scene].boxes[scenes[scene].person_ids.tolist().index(person)]
    return QueryList(np.array([scene]), box[None], np.array([person]))


def test_toy_example_of_the_rules() -> None:
    """The example of docs/protocols.md: person 0 is searched for from scene 0, which camera 1 took."""
    scenes = _scenes([[0, 1], [0], [1], [0, UNLABELED], []], cameras=[1, 1, 1, 2, 2])
    query = _query(scenes, 0, 0)
    found = {}
    for rule in RULES:
        protocol = _protocol(by_rule(scenes, query, rule), scenes)
        found[rule] = (sorted(protocol.gallery(0).tolist()), protocol.truth_scenes.tolist())
    assert found == {
        "all": ([1, 2, 3, 4], [1, 3]),
        "other-cameras": ([3, 4], [3]),
        "same-camera": ([1, 2], [1]),
    }
    listed = _protocol(drawn(scenes, query, 3, seed=0), scenes)
    gallery = listed.gallery(0).tolist()
    assert sorted(gallery[:2]) == listed.truth_scenes.tolist() == [1, 3]
    assert len(gallery) == 3
    assert gallery[2] in (2, 4)


def test_a_slice_of_a_protocols_table_is_a_protocol_of_these_queries() -> None:
    scenes = _scenes([[0, 1], [0], [1], [0, 1], [0]], cameras=[1] * 5)
    asked = QueryList(np.array([0, 0]), scenes[0].boxes, np.array([0, 1]))
    table = drawn(scenes, asked, 4, seed=0)
    whole, second = _protocol(table, scenes), _protocol(table.slice(1), scenes)
    assert second.gallery(0).tolist() == whole.gallery(1).tolist()
    assert second.truth_boxes.tolist() == whole.truth_boxes[whole.truth_offsets[1] :].tolist()
    assert second.truth_scenes.tolist() == whole.truth_scenes[whole.truth_offsets[1] :].tolist()


def test_person_twice_in_a_scene_counts_once_with_the_first_box() -> None:
    scenes = _scenes([[0], [1, 0, 0]], cameras=[1, 1])
    protocol = _protocol(by_rule(scenes, _query(scenes, 0, 0)), scenes)
    assert protocol.truth_boxes.tolist() == [[10, 0, 18, 20]]


def test_query_without_a_match_is_named() -> None:
    scenes = _scenes([[0, 1], [1], [1]], cameras=[1, 1, 2])
    queries = QueryList(np.array([0, 0]), scenes[0].boxes, np.array([0, 1]))
    assert _protocol(by_rule(scenes, queries), scenes).unanswerable.tolist() == [0]


worlds = st.lists(
    st.tuples(st.lists(st.integers(-1, 4), max_size=4), st.integers(1, 3)), min_size=2, max_size=12
).filter(lambda world: any(i >= 0 for ids, _ in world for i in ids))


@given(world=worlds, rule=st.sampled_from(RULES))
def test_rules_equal_their_definition(world: list[tuple[list[int], int]], rule: Rest) -> None:
    people, cameras = [ids for ids, _ in world], [camera for _, camera in world]
    scenes = _scenes(people, cameras)
    own = next(i for i, ids in enumerate(people) if any(p >= 0 for p in ids))
    person = next(p for p in people[own] if p >= 0)
    protocol = _protocol(by_rule(scenes, _query(scenes, own, person), rule), scenes)
    allowed = [
        i
        for i in range(len(people))
        if i != own and (rule == "all" or (cameras[i] == cameras[own]) == (rule == "same-camera"))
    ]
    assert sorted(protocol.gallery(0).tolist()) == allowed
    assert protocol.gallery_sizes.tolist() == [len(allowed)]
    assert np.flatnonzero(protocol.searched(0)).tolist() == protocol.needed.tolist() == allowed
    assert protocol.truth_scenes.tolist() == [i for i in allowed if person in people[i]]
    firsts = [people[i].index(person) for i in protocol.truth_scenes.tolist()]
    assert protocol.truth_boxes[:, 0].tolist() == [10 * k for k in firsts]


def _allowed(protocol: Protocol, rule: str, own: int, scene: int) -> bool:
    """Whether a rule adds a scene to a query's list, as the words of `Rest` say."""
    cameras = protocol.scenes.camera_ids.tolist()
    same = cameras[scene] == cameras[own]
    return scene != own and {"none": False, "all": True, "other-cameras": not same, "same-camera": same}[rule]


@pytest.mark.parametrize("seed", range(60))
def test_all_that_a_protocol_says_follows_from_its_table(seed: int) -> None:
    rng = np.random.default_rng(seed)
    test = irregular.scenes(rng)
    protocol = irregular.protocol(rng, test)
    settings = json.loads(protocol.table.schema.metadata[b"settings"])
    pool = range(len(test)) if settings["pool"] is None else settings["pool"]
    assert (protocol.rest, protocol.by_rule, protocol.pool.tolist()) == (settings["rest"], settings["by_rule"], [*pool])
    assert (protocol.pool.dtype, protocol.truth_searched.dtype) == (np.int32, bool)
    rows, needed, truths = protocol.table.to_pylist(), set(), []
    assert len(protocol.queries) == len(rows)
    for q, row in enumerate(rows):
        query, listed, own = protocol.queries[q], row["listed"], row["scene"]
        assert (query.scene, query.box.tolist(), query.person_id, query.camera_id) == (
            test.names[own], row["box"], row["person_id"], test[own].camera_id
        )  # fmt: skip
        rest = [i for i in pool if _allowed(protocol, settings["rest"], own, i) and i not in listed]
        assert protocol.listed(q).tolist() == listed
        assert np.flatnonzero(protocol.rest_of(q)).tolist() == rest
        assert protocol.rest_of(q).dtype == protocol.searched(q).dtype == bool
        assert protocol.gallery(q).tolist() == [*dict.fromkeys(listed), *rest]
        assert np.flatnonzero(protocol.searched(q)).tolist() == sorted({*listed, *rest})
        assert protocol.gallery_sizes[q] == len(listed) + len(rest)
        needed |= {*listed, *rest}
        truths += [
            (q, listed[entry], box, entry, settings["by_rule"] or listed[entry] not in listed[:entry])
            for entry, box in zip(row["truth_entries"], row["truth_boxes"], strict=True)
        ]
    assert protocol.needed.tolist() == sorted(needed)
    assert protocol.unanswerable.tolist() == [q for q, row in enumerate(rows) if not row["truth_entries"]]
    assert protocol.listed_queries.tolist() == [q for q, row in enumerate(rows) for _ in row["listed"]]
    columns = (
        protocol.truth_queries, protocol.truth_scenes, protocol.truth_boxes, protocol.truth_entries,
        protocol.truth_searched,
    )  # fmt: skip
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == truths


def test_queries_are_a_sequence() -> None:
    scenes = _scenes([[0, 1], [0], [1]], cameras=[0, -1, 2])
    asked = QueryList(np.array([0, 1, 2]), np.array([[0, 0, 8, 20]] * 3), np.array([0, 0, 1]))
    protocol = _protocol(by_rule(scenes, asked), scenes)
    queries = protocol.queries
    assert [query.camera_id for query in queries] == [0, None, 2]
    assert [query.scene for query in queries[::-2]] == ["2.jpg", "0.jpg"]
    assert queries[-1].person_id == 1
    assert queries.scene_names == ["0.jpg", "1.jpg", "2.jpg"]
    with pytest.raises(IndexError):
        queries[3]
    assert repr(protocol) == "Protocol(toy/toy v1: 3 queries)"
    assert (protocol.name, protocol.dataset, protocol.version, protocol.synthetic) == ("toy", "toy", 1, True)
    assert protocol.fingerprint == scenes.fingerprint


@settings(max_examples=50)
@given(world=worlds, seed=st.integers(0, 2**32), data=st.data())
def test_drawn_galleries_nest_and_hold_every_match(
    world: list[tuple[list[int], int]], seed: int, data: st.DataObject
) -> None:
    scenes = _scenes([ids for ids, _ in world], [camera for _, camera in world])
    queries = chosen_queries(scenes, seed)
    small, large = sorted(data.draw(st.tuples(*[st.integers(1, len(scenes) - 1)] * 2)))
    one, other = (_protocol(drawn(scenes, queries, size, seed), scenes) for size in (small, large))
    for q, query in enumerate(one.queries):
        inner, outer = one.listed(q).tolist(), other.listed(q).tolist()
        assert (len(set(inner)), len(set(outer))) == (small, large)
        assert set(inner) <= set(outer)
        assert query.scene not in {scenes.names[i] for i in outer}
        matches = [i for i in outer if query.person_id in scenes[i].person_ids]
        assert other.truth_scenes[other.truth_queries == q].tolist() == matches
        everywhere = [s for s in scenes if query.person_id in s.person_ids and s.name != query.scene]
        assert len(matches) == min(large, len(everywhere))


def test_chosen_queries_are_one_a_person_and_camera() -> None:
    scenes = _scenes([[0], [0, 1], [0], [0, 2], [1]], cameras=[1, 1, 2, 2, 1])
    queries = chosen_queries(scenes, seed=0)
    keys = {(int(p), int(scenes.camera_ids[s])) for s, p in zip(queries.scenes, queries.person_ids, strict=True)}
    assert keys == {(0, 1), (0, 2), (1, 1)}
    assert len(queries.scenes) == 3
    others = {tuple(chosen_queries(scenes, seed).scenes.tolist()) for seed in range(20)}
    assert len(others) > 1


def _splitmix64(x: int) -> int:
    """The finaliser of Steele, Lea and Flood, in integers of any size."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def _shuffled(seed: int, stream: int, count: int) -> list[int]:
    state = _splitmix64(_splitmix64(seed) + stream)
    return sorted(range(count), key=lambda place: _splitmix64((state + place) % 2**64))


def test_draw_is_the_same_for_ever() -> None:
    """Numbers were measured on these galleries: whoever changes the draw changes the protocol's version."""
    scenes = _scenes([[0], [0], *[[] for _ in range(10)]], cameras=[1] * 12)
    others = [scene for scene in _shuffled(7, 0, 12) if scene > 1]
    table = drawn(scenes, _query(scenes, 0, 0), 6, seed=7)
    assert table.column("listed").to_pylist() == [[1, *others[:5]]] == [[1, 8, 3, 2, 4, 10]]


def _firsts(scenes: Scenes, person: int) -> dict[int, list[float]]:
    """By scene, the first of a person's boxes in it."""
    found = {}
    for i, scene in enumerate(scenes):
        mine = scene.boxes[scene.person_ids == person]
        if len(mine):
            found[i] = mine[0].tolist()
    return found


@pytest.mark.parametrize("seed", range(20))
def test_galleries_are_drawn_and_queries_chosen_by_the_generators_order(seed: int) -> None:
    """A query's scenes are shuffled in a stream of its own, a person's boxes in one of theirs."""
    scenes = irregular.scenes(np.random.default_rng(seed), size=4 + seed)
    queries = chosen_queries(scenes, seed)
    expected = []
    for person in range(scenes.num_identities):
        of_person = _firsts(scenes, person)
        by_camera: dict[int, int] = {}
        for place in _shuffled(seed, person, len(of_person)):
            scene = list(of_person)[place]
            by_camera.setdefault(int(scenes.camera_ids[scene]), scene)
        if len(of_person) > 1:
            expected += [(scene, of_person[scene], person) for _, scene in sorted(by_camera.items())]
    assert list(zip(*(column.tolist() for column in queries), strict=True)) == expected
    for size in (1, 3, len(scenes) - 1):
        rows = drawn(scenes, queries, size, seed).to_pylist()
        assert len(rows) == len(expected)
        for q, (row, (own, box, person)) in enumerate(zip(rows, expected, strict=True)):
            hers = _firsts(scenes, person)
            order = [scene for scene in _shuffled(seed, q, len(scenes)) if scene != own]
            found = [scene for scene in order if scene in hers][:size]
            others = [scene for scene in order if scene not in hers]
            assert row == {
                "scene": own, "box": box, "person_id": person, "listed": [*found, *others][:size],
                "truth_entries": [*range(len(found))], "truth_boxes": [hers[scene] for scene in found],
            }  # fmt: skip


def test_a_scene_alone_has_no_gallery() -> None:
    scenes = _scenes([[0, 1]], cameras=[1])
    assert not len(chosen_queries(scenes, seed=0).scenes)
    queries = QueryList(np.zeros(2, int), scenes[0].boxes, np.array([0, 1]))
    for rule in RULES:
        protocol = _protocol(by_rule(scenes, queries, rule), scenes)
        assert protocol.gallery_sizes.tolist() == [0, 0]
        assert protocol.unanswerable.tolist() == [0, 1]


def test_where_nobody_is_seen_twice_nobody_is_searched_for() -> None:
    """Also in no scene at all."""
    for people in ([[0], [1, 2]], []):
        scenes = _scenes(people, [1] * len(people))
        queries = chosen_queries(scenes, seed=0)
        assert [len(column) for column in queries] == [0, 0, 0]
        assert [column.dtype for column in queries] == [np.int64, np.float32, np.int64]
        assert queries.boxes.shape == (0, 4)
        for table in (drawn(scenes, queries, 1, seed=0), by_rule(scenes, queries)):
            assert table.schema == protocol_table([], np.zeros((0, 4)), [], [], [], []).schema
            assert not table.num_rows


def test_a_table_has_the_same_types_whatever_it_is_made_of() -> None:
    """Those that the words about its file say, and settings beside them."""
    box = [1.5, 2, 3, 4]
    row = {"scene": 1, "box": box, "person_id": 3, "listed": [2, 0], "truth_entries": [1], "truth_boxes": [box]}
    types = [
        "int32", "fixed_size_list<item: float>[4]", "int64", "large_list<item: int32>", "large_list<item: int32>",
        "large_list<item: fixed_size_list<item: float>[4]>",
    ]  # fmt: skip
    for dtype in (np.float64, np.float32):
        boxes = np.array([box], dtype)
        listed, entries = [np.array([2, 0], dtype)], [np.array([1], dtype)]
        table = protocol_table(np.array([1], dtype), boxes, np.array([3], dtype), listed, entries, [boxes])
        assert table.to_pylist() == [row]
        assert dict(zip(table.column_names, map(str, table.schema.types), strict=True)) == dict(
            zip(row, types, strict=True)
        )
        assert table.schema.metadata == {b"settings": b'{"rest": "none", "pool": null, "by_rule": false}'}
    chosen = protocol_table([1], boxes, [3], listed, entries, [boxes], rest="all", pool=np.array([4, 2]), by_rule=True)
    assert chosen.schema.metadata == {b"settings": b'{"rest": "all", "pool": [2, 4], "by_rule": true}'}


def test_prw_at_full_scale_is_held_without_lists() -> None:
    """2,057 queries in 6,112 frames would be 12.6 million positions; the matches are a hundredth of that."""
    protocol = psbench_data.load("prw", root=EVALUATION / "prw").protocol("regular")
    assert len(protocol.listed_scenes) == len(protocol.truth_boxes)
    assert (protocol.gallery_sizes == len(protocol.scenes) - 1).all()


def test_every_test_scene_of_the_pool_is_in_gallery_all() -> None:
    protocol = psbench_data.load("cuhk_sysu", root=EVALUATION / "cuhk_sysu").protocol("gallery-all")
    small = psbench_data.load("cuhk_sysu", root=EVALUATION / "cuhk_sysu").protocol("gallery-50")
    for q, query in enumerate(protocol.queries):
        searched = protocol.searched(q)
        own = protocol.scenes.positions[query.scene]
        # Row 7 and row 9 list the query's own scene: there, and only there, it is searched.
        assert searched[own] == (own in small.listed(q))
        assert searched.sum() == len(protocol.scenes) - (not searched[own])


@pytest.mark.parametrize("name", ["cuhk_sysu", "prw", "lsps", "movienet_cs"])
def test_digests_tell_protocols_apart(name: str) -> None:
    dataset = psbench_data.load(name, root=EVALUATION / name)
    digests = [dataset.protocol(p).digest for p in dataset.protocols]
    assert len(set(digests)) == len(digests)
    assert [psbench_data.load(name, root=EVALUATION / name).protocol(p).digest for p in dataset.protocols] == digests


def test_a_digest_stays_what_entries_of_leaderboards_name() -> None:
    scenes = _scenes([[0, 1], [0], [1], [0, UNLABELED], []], cameras=[1, 1, 1, 2, 2])
    found = {rule: _protocol(by_rule(scenes, _query(scenes, 0, 0), rule), scenes).digest[:12] for rule in RULES}
    assert found == {"all": "9cb4cb390b6c", "other-cameras": "26a1119485f4", "same-camera": "2582be6fa33f"}


BOX = st.tuples(*[st.integers(0, 300).map(lambda n: n / 4)] * 2, *[st.integers(1, 300).map(lambda n: n / 4)] * 2)


@given(box=BOX)
def test_small_people_may_be_missed_by_five_pixels_a_side(box: tuple[float, ...]) -> None:
    x, y, width, height = box
    [threshold] = match_iou_threshold(np.array([[x, y, x + width, y + height]], np.float32))
    assert threshold == pytest.approx(min(0.5, width * height / ((width + 10) * (height + 10))))
