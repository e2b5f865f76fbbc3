"""Which queries a report of rankings shows, and what it says of each: what plain loops find."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import psbench
from psbench import PRESETS, Evaluation
from psbench.evaluation.listing import listing_of
from psbench.reporting.ranking_rows import CHOICES, Row, chosen_queries, rows_of
from tests.judging.listings import answered, drawn_world, pairs_of, truth_of
from tests.judging.oracle import iou

SEEDS = st.integers(0, 2**31)
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
EVERY = 10**6


@settings(max_examples=40, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS, top=st.integers(1, 6))
def test_missed_matches_are_those_of_plain_loops(seed: int, top: int) -> None:
    predictions, protocol, evaluation = drawn_world(seed)
    chosen = chosen_queries(evaluation, EVERY, seed=0)
    assert sorted(q for q, _ in chosen) == answered(evaluation)
    rows = rows_of(listing_of(predictions, protocol, evaluation), protocol, evaluation, chosen, top)
    pairs = pairs_of(predictions, protocol)
    of_pairs = psbench.evaluate(pairs, protocol)
    again = rows_of(listing_of(pairs, protocol, of_pairs), protocol, of_pairs, chosen, top)
    for row, other in zip(rows, again, strict=True):
        truth = truth_of(predictions, protocol, row.query)
        shown = sum(right for _, right, _ in truth.ranking[:top])
        found = sum(rank is not None for rank in truth.ranks)
        assert row.first_right == (bool(truth.ranking) and truth.ranking[0][1])
        assert [hit.right for hit in row.hits] == [right for _, right, _ in truth.ranking[:top]]
        assert (row.matches, row.below, row.not_found) == (truth.matches, found - shown, len(truth.ranks) - found)
        assert row.listed_twice == truth.matches - len(truth.ranks)
        assert len(row.missed) == min(row.below + row.not_found, 3)
        below = sorted(rank for rank in truth.ranks if rank is not None)[shown:]
        ranks = [missed.rank for missed in row.missed]
        assert ranks == (below + [None] * row.not_found)[: len(ranks)]
        assert _facts(row) == _facts(other)


def _facts(row: Row) -> list[object]:
    """Equal hits may stand in any order."""
    hits = sorted((-hit.similarity, hit.right) for hit in row.hits)
    return [row.choice, row.person, row.matches, row.below, row.not_found, hits, [m.rank for m in row.missed]]


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=15, deadline=None, phases=NO_SHRINKING)
@given(seed=SEEDS)
def test_nothing_found_is_below_a_ranking_that_is_shown_whole(preset: str, seed: int) -> None:
    predictions, protocol, _ = drawn_world(seed)
    evaluation = psbench.evaluate(predictions, protocol, preset=preset)
    chosen = chosen_queries(evaluation, EVERY, seed=0)
    for row in rows_of(listing_of(predictions, protocol, evaluation), protocol, evaluation, chosen, EVERY):
        boxes = evaluation.per_box[evaluation.per_box["query"] == row.query]
        assert (row.below, row.not_found) == (0, (~boxes["found"]).sum())
        assert any(hit.right for hit in row.hits) == boxes["found"].any()


def test_all_kinds_of_choices_are_what_they_are_called() -> None:
    evaluation = _many(40)
    ap = evaluation.per_query["ap"].to_numpy()
    groups: dict[str, list[int]] = {choice: [] for choice in CHOICES}
    for query, choice in chosen_queries(evaluation, 12, seed=3):
        groups[choice].append(query)
    assert [len(group) for group in groups.values()] == [3, 3, 3, 3]
    assert len({q for group in groups.values() for q in group}) == 12
    in_order = np.sort(ap[~np.isnan(ap)])
    assert sorted(ap[groups["best"]]) == in_order[-3:].tolist()
    assert ap[groups["worst"]].tolist() == in_order[:3].tolist()
    middle = (len(in_order) - 3) // 2
    assert sorted(ap[groups["median"]]) == in_order[middle : middle + 3].tolist()
    assert chosen_queries(evaluation, 12, seed=3) == chosen_queries(evaluation, 12, seed=3)
    others = [chosen_queries(evaluation, 12, seed=s) for s in range(5)]
    assert len({tuple(q for q, choice in chosen if choice == "random") for chosen in others}) > 1
    assert [choice for _, choice in chosen_queries(evaluation, 3, seed=0)] == ["random", "best", "worst"]


def _many(queries: int) -> Evaluation:
    """An evaluation of as many queries, no two of one AP."""
    evaluation = drawn_world(0)[2]
    ap = np.random.default_rng(1).permutation(queries) / queries
    table = evaluation.per_query.iloc[[0] * queries].assign(ap=np.where(np.arange(queries) == 5, np.nan, ap))
    return Evaluation(**{**vars(evaluation), "per_query": table.reset_index(drop=True)})


@pytest.mark.parametrize("seed", range(6))
def test_a_detection_is_on_whom_it_overlaps_by_half_and_else_on_nobody(seed: int) -> None:
    predictions, protocol, evaluation = drawn_world(seed)
    chosen = chosen_queries(evaluation, EVERY, seed=0)
    for row in rows_of(listing_of(predictions, protocol, evaluation), protocol, evaluation, chosen, EVERY):
        for hit in row.hits:
            scene, box = hit.shot.scene, hit.shot.mark.box.astype(float)
            overlaps = [iou(box, other.astype(float)) for other in scene.boxes]
            best = max(overlaps, default=0)
            person = int(scene.person_ids[overlaps.index(best)]) if best >= 0.5 else None
            if person is None:
                assert not hit.right
                assert hit.who == "on nobody (IoU < 0.5)"
            elif person == -1:
                assert hit.who.startswith("somebody unlabelled")
            else:
                assert hit.who.split(",")[0] == f"person {protocol.scenes.identities[person]}"
