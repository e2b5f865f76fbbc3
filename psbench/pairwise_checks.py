"""What must hold in pairwise predictions, however they came about."""

from __future__ import annotations

import numpy as np

from psbench.intake import BOX, At, Check, Intake
from psbench.pairwise import PairwisePredictions


def find_faults(predictions: PairwisePredictions, intake: Intake, at_pair: At, at_scene: At, at_query: At) -> None:
    """Check the columns against each other and in themselves.

    Args:
        predictions: what is checked.
        intake: takes the faults; a column that it could not take is None here, and not checked.
        at_pair, at_scene, at_query: say where a pair, a scene or a query stands.
    """
    names, queries, scenes, offsets = (
        predictions.scene_names,
        predictions.pair_queries,
        predictions.pair_scenes,
        predictions.offsets,
    )
    count = 0 if names is None else len(names)
    if names is not None:
        intake.distinct(
            names,
            lambda again, _: f"{at_scene(again)}: {names[again]!r} is listed a second time. List each scene once.",
        )
    if predictions.num_queries is not None and predictions.num_queries >= 2**31:
        intake.add(f"there are {predictions.num_queries} queries, expected fewer than 2**31. Number them from 0.")
    columns = [queries, scenes, None if offsets is None else offsets[1:]]
    pairs = next((len(column) for column in columns if column is not None), None)
    because = "one number for each pair"
    intake.column("queries", queries, (pairs,), because, at_pair, *_numbered("query", predictions.num_queries))
    intake.column("scenes", scenes, (pairs,), because, at_pair, *_numbered("scene", None if names is None else count))
    intake.column("counts", columns[2], (pairs,), because, at_pair)
    listed = np.zeros(pairs or 0, bool)
    if queries is not None and scenes is not None and len(queries) == len(scenes):
        listed = _within(queries, predictions.num_queries or 0) & _within(scenes, count)

    def at_listed(pair: int) -> str:
        of = f" (query {queries[pair]}, scene {names[scenes[pair]]!r})" if listed[pair] else ""
        return f"{at_pair(pair)}{of}"

    again = _repeats(queries[listed].astype(np.int64) * count + scenes[listed]) if listed.any() else listed[:0]
    repeated = np.flatnonzero(listed)[again].tolist()
    remedy = "List each pair of a query and a scene once."
    intake.add_all((f"{at_listed(pair)}: listed a second time. {remedy}" for pair in repeated), len(repeated))

    def at(what: str) -> At | None:
        def at_row(row: int) -> str:
            pair = int(np.searchsorted(offsets, row, side="right")) - 1
            return f"{at_listed(pair)}: the {what} of proposal {row - offsets[pair]}"

        return at_row if offsets is not None and len(offsets) - 1 == pairs else None

    total = None if offsets is None else int(offsets[-1])
    because = "one row for each proposal, as many as counts add up to"
    intake.column("boxes", predictions.boxes, (total, 4), because, at("box"), BOX)
    intake.column("similarities", predictions.similarities, (total,), because, at("similarity"))
    proposal = predictions.proposal_similarities
    intake.column("proposal_similarities", proposal, (total,), because, at("proposal similarity"))
    if predictions.query_scenes is not None or predictions.query_boxes is not None:
        intake.query_keys(predictions.query_scenes, predictions.query_boxes, predictions.num_queries, at_query)


def _repeats(keys: np.ndarray) -> np.ndarray:
    """(n,) ascending: where a key stands that occurred before."""
    ordered = np.sort(keys)
    if not (ordered[1:] == ordered[:-1]).any():
        return np.zeros(0, np.int64)
    order = np.argsort(keys, kind="stable")
    return np.sort(order[1:][keys[order[1:]] == keys[order[:-1]]])


def _within(numbers: np.ndarray, count: int) -> np.ndarray:
    return (numbers >= 0) & (numbers < count)


def _numbered(what: str, count: int | None) -> list[Check]:
    """That numbers are below a count, if it is known."""
    if count is None:
        return []
    return [
        Check(
            lambda numbers: ~_within(numbers, count),
            lambda number: f"is of {what} {number}, while there are {count}, numbered from 0.",
        )
    ]
