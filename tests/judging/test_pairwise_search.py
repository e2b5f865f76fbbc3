"""The search among pairwise predictions, against that among detections and against plain loops."""

import dataclasses

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import psbench
from psbench import CBGM, Evaluation, InputError, PairwisePredictions, Predictions
from psbench.evaluation.pairs import coverage_faults, pairwise_faults
from psbench.evaluation.rules import Rules
from psbench_data import Protocol, Scenes
from tests.judging import oracle, worlds

EXACT = 1e-9
SEEDS = st.integers(0, 2**31)
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""A smaller seed is no simpler."""


def _world(seed: int) -> tuple[Scenes, Protocol, Predictions]:
    """With embeddings of whole numbers, whose similarities are the same in any arithmetic."""
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    protocol = worlds.protocol(rng, test)
    return test, protocol, worlds.predictions(rng, test, protocol, worlds.coarse, 4)


def _pairs(p: Predictions, protocol: Protocol, everywhere: bool = False, **columns: object) -> PairwisePredictions:
    """Every query's detections with a score of 0.5 in every scene of its gallery, or of the test set, pair by pair."""
    queries, scenes, rows = [], [], []
    for q in range(len(protocol.queries)):
        for scene in np.flatnonzero(protocol.searched(q) | everywhere):
            found = np.arange(p.offsets[scene], p.offsets[scene + 1])
            queries.append(q)
            scenes.append(scene)
            rows.append(found[p.scores[found] >= 0.5])
    every = np.concatenate([np.zeros(0, np.int64), *rows])
    asked = np.repeat(queries, [len(found) for found in rows]).astype(int)
    return PairwisePredictions.from_arrays(
        p.scene_names,
        queries=queries,
        scenes=scenes,
        counts=[len(found) for found in rows],
        boxes=p.boxes[every],
        similarities=np.einsum("nd,nd->n", p.embeddings[every], p.query_embeddings[asked]),
        query_scenes=p.query_scenes,
        query_boxes=p.query_boxes,
        **columns,
    )


def _outcome(result: Evaluation) -> list[tuple]:
    table = result.per_query[["matches", "found", "ap", "rank"]].fillna(-1)
    return list(table.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    "preset",
    [
        "default",
        "nae",
        "oim",
        "pcnet",
        "seqnet",
    ],
)
@settings(max_examples=20, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS)
@example(seed=0)
def test_pairs_of_all_detections_score_as_the_detections_do(preset: str, seed: int) -> None:
    _, protocol, predictions = _world(seed)
    one = psbench.evaluate(predictions, protocol, preset=preset, det_threshold=0.5)
    other = psbench.evaluate(_pairs(predictions, protocol), protocol, preset=preset)
    assert _outcome(one) == _outcome(other)
    assert one.skipped == other.skipped
    assert one.per_box.equals(other.per_box)


@settings(max_examples=20, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS)
def test_pairs_of_several_protocols_score_in_each_as_they_do_alone(seed: int) -> None:
    test, protocol, predictions = _world(seed)
    asked = worlds.QueryList(protocol.queries.scenes, protocol.queries.boxes, protocol.queries.person_ids)
    protocols = [protocol, worlds.protocol(np.random.default_rng(seed), test, asked)]
    pairs = _pairs(predictions, protocol, everywhere=True)
    together = psbench.evaluate_all(pairs, protocols)
    alone = [psbench.evaluate(_pairs(predictions, one), one) for one in protocols]
    assert [_outcome(result) for result in together] == [_outcome(result) for result in alone]


@settings(max_examples=40, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS, keep=st.sampled_from([1, 2, 5, 20, 1000]), two_stages=st.booleans())
def test_keeping_the_best_proposals_of_each_query_equals_a_plain_loop(seed: int, keep: int, two_stages: bool) -> None:
    _, protocol, predictions = _world(seed)
    pairs = _pairs(predictions, protocol)
    proposed = np.random.default_rng(seed).integers(0, 4, len(pairs.similarities)) if two_stages else pairs.similarities
    pairs = dataclasses.replace(pairs, proposal_similarities=proposed.astype(np.float32) if two_stages else None)
    expected = []
    for q in range(len(protocol.queries)):
        mine = [p for p in range(len(pairs.pair_queries)) if pairs.pair_queries[p] == q]
        proposals = [row for p in mine for row in range(pairs.offsets[p], pairs.offsets[p + 1])]
        kept = set(sorted(proposals, key=lambda row: -proposed[row])[:keep])
        of_query, listed, boxes = protocol.truth_queries == q, protocol.listed(q).tolist(), {}
        for entry, box in zip(protocol.truth_entries[of_query], protocol.truth_boxes[of_query], strict=True):
            if listed[entry] not in listed[:entry]:
                boxes[listed[entry]] = box
        visits = []
        for p in mine:
            scene = int(pairs.pair_scenes[p])
            rows = [row for row in range(pairs.offsets[p], pairs.offsets[p + 1]) if row in kept]
            visits.append((scene, boxes.get(scene), [(pairs.boxes[r], float(pairs.similarities[r])) for r in rows]))
        expected.append(oracle.judge(visits, int(of_query.sum())))
    result = psbench.evaluate(pairs, protocol, keep=keep)
    assert result.keep == keep
    counted = [answer for answer in expected if answer.matches]
    per_query = result.per_query[result.per_query["matches"] > 0]
    assert per_query["ap"].to_numpy() == pytest.approx([answer.ap for answer in counted], abs=EXACT)
    assert per_query["rank"].fillna(np.inf).tolist() == [answer.rank for answer in counted]


@settings(max_examples=40, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS, keep=st.sampled_from([None, 1, 3, 10]))
@example(seed=138670515, keep=1)
def test_pairs_outside_the_galleries_change_nothing(seed: int, keep: int | None) -> None:
    _, protocol, predictions = _world(seed)
    one = psbench.evaluate(_pairs(predictions, protocol), protocol, keep=keep)
    other = psbench.evaluate(_pairs(predictions, protocol, everywhere=True), protocol, keep=keep)
    assert _outcome(one) == _outcome(other)


def test_a_pair_that_was_not_searched_is_refused_with_its_query_and_scene() -> None:
    _, protocol, predictions = _world(1)
    pairs = _pairs(predictions, protocol)
    lost = [0, len(pairs.pair_queries) - 1]
    kept = np.setdiff1d(np.arange(len(pairs.pair_queries)), lost)
    rows = np.concatenate([np.arange(pairs.offsets[p], pairs.offsets[p + 1]) for p in kept])
    fewer = dataclasses.replace(
        pairs,
        pair_queries=pairs.pair_queries[kept],
        pair_scenes=pairs.pair_scenes[kept],
        offsets=np.cumsum([0, *pairs.counts[kept]]),
        boxes=pairs.boxes[rows],
        similarities=pairs.similarities[rows],
    )
    with pytest.raises(InputError) as error:
        psbench.evaluate(fewer, protocol)
    assert len(error.value.faults) == 2
    for pair, fault in zip(lost, error.value.faults, strict=True):
        name = pairs.scene_names[pairs.pair_scenes[pair]]
        assert f"query {pairs.pair_queries[pair]} of drawn was not searched in 1 scenes" in fault
        assert f"for example {name!r}" in fault
        assert "List every pair" in fault


def test_unknown_scenes_and_missing_queries_of_pairs_are_refused_together() -> None:
    _, protocol, predictions = _world(1)
    pairs = _pairs(predictions, protocol)
    moved = pairs.query_boxes.copy()
    moved[0] += 1
    other = dataclasses.replace(pairs, scene_names=[*pairs.scene_names[:-1], "nowhere.jpg"], query_boxes=moved)
    with pytest.raises(InputError) as error:
        psbench.evaluate(other, protocol)
    unknown, missing = error.value.faults
    assert "'nowhere.jpg' is not a test scene" in unknown
    assert "query 0 of drawn" in missing


def test_galleries_are_to_be_searched_in_full_by_every_query_that_is_there() -> None:
    """Scenes that nobody knows are passed over, as are queries that are not there."""
    test, protocol, _ = _world(1)
    names = ["nowhere.jpg", *test.names]
    count = len(protocol.queries)
    galleries = [protocol.gallery(q).tolist() for q in range(count)]
    searched = [[scene for scene in gallery if scene not in (1, q)] for q, gallery in enumerate(galleries)]
    listed = [(q, 0) for q in range(count)] + [(q, scene + 1) for q, scenes in enumerate(searched) for scene in scenes]
    pairs = PairwisePredictions.from_arrays(
        names,
        queries=[q for q, _ in listed],
        scenes=[scene for _, scene in listed],
        counts=[0] * len(listed),
        boxes=np.zeros((0, 4)),
        similarities=[],
        num_queries=count,
    )

    def told(queries: range) -> list[str]:
        lacking = {q: sorted({*galleries[q]} - {*searched[q]}) for q in queries}
        return [
            f"query {q} of drawn was not searched in {len(scenes)} scenes of its gallery, for example "
            f"{test.names[scenes[0]]!r}. List every pair; one without boxes has count 0."
            for q, scenes in lacking.items()
            if scenes
        ]

    rows = np.arange(count)
    assert coverage_faults(pairs, protocol, Rules(), rows) == [f"predictions: {fault}" for fault in told(range(count))]
    rows[:2] = -1
    expected = [f"folder: {fault}" for fault in told(range(2, count))]
    assert coverage_faults(pairs, protocol, Rules(), rows, "folder") == expected
    assert len(expected) > 1
    unknown = "predictions: scene 'nowhere.jpg' is not a test scene of this dataset."
    assert pairwise_faults(pairs, protocol, Rules()) == [f"{unknown} Predict on the dataset that is evaluated."]
    nothing = PairwisePredictions.from_arrays(
        [], queries=[], scenes=[], counts=[], boxes=np.zeros((0, 4)), similarities=[], num_queries=count
    )
    lacking = pairwise_faults(nothing, protocol, Rules())
    assert len(lacking) == sum(map(bool, galleries))
    known = dataclasses.replace(pairs, scene_names=[test.names[0], *test.names])
    assert pairwise_faults(known, protocol, Rules()) == coverage_faults(known, protocol, Rules(), np.arange(count))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"det_threshold": 0.5}, ["det_threshold: pairwise predictions have no scores"]),
        ({"cbgm": CBGM()}, ["cbgm: it revises similarities of embeddings, and pairwise predictions have none"]),
        ({"keep": 0}, ["keep is 0, expected a whole number, at least 1"]),
        (
            {"det_threshold": 2, "cbgm": CBGM(), "keep": -1, "memory": 0},
            ["det_threshold is 2", "pairwise predictions have no scores", "cbgm: ", "keep is -1", "memory is 0 bytes"],
        ),
    ],
)
def test_options_that_pairs_have_no_use_for_are_refused(options: dict, says: list[str]) -> None:
    _, protocol, predictions = _world(1)
    with pytest.raises(InputError) as error:
        psbench.evaluate(_pairs(predictions, protocol), protocol, **options)
    assert len(error.value.faults) == len(says)
    for words, fault in zip(says, error.value.faults, strict=True):
        assert words in fault


def test_keeping_some_is_refused_for_predictions_that_are_not_pairwise() -> None:
    _, protocol, predictions = _world(1)
    with pytest.raises(InputError, match="keep: it chooses among the proposals of pairwise predictions"):
        psbench.evaluate(predictions, protocol, keep=10)


def test_pairs_have_no_detection_to_evaluate() -> None:
    _, protocol, predictions = _world(1)
    result = psbench.evaluate(_pairs(predictions, protocol), protocol)
    with pytest.raises(InputError, match="pairwise predictions have no detection"):
        result.detection  # noqa: B018
