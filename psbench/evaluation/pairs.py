"""The search among pairwise predictions: every query has boxes and similarities of its own in every scene."""

from __future__ import annotations

import numpy as np

from psbench.blocks import ranges
from psbench.evaluation.gallery import query_rows, unknown_faults
from psbench.evaluation.ranks import Ranks
from psbench.evaluation.rules import Rules
from psbench.evaluation.segments import pair_iou, segment_argmax, weight_from
from psbench.evaluation.visits import Targets, Visits
from psbench.pairwise import PairwisePredictions
from psbench_data import InputError, Protocol
from psbench_data.protocol import match_iou_threshold


def pairwise_faults(predictions: PairwisePredictions, protocol: Protocol, rules: Rules) -> list[str]:
    """Everything that a protocol needs and pairwise predictions lack, a sentence each."""
    faults = unknown_faults(predictions.scene_names, protocol.scenes)
    try:
        rows = query_rows(predictions, protocol)
    except InputError as error:
        return faults + error.faults
    return faults or coverage_faults(predictions, protocol, rules, rows)


def coverage_faults(
    predictions: PairwisePredictions, protocol: Protocol, rules: Rules, rows: np.ndarray, where: str = "predictions"
) -> list[str]:
    """Every query whose gallery was not searched in full, a sentence each.

    Args:
        predictions: pairs of unknown scenes are passed over.
        protocol, rules: what is searched.
        rows: (Q,) of the queries, see `query_rows`; those with -1 are passed over, too.
        where: the beginning of the sentences.
    """
    faults = []
    scene_of, visits = _scenes_of(predictions, protocol), Visits(protocol, rules)
    for query, row in enumerate(rows):
        if row < 0:
            continue
        lacking = visits.times(np.array([query]))[0] > 0
        searched = scene_of[predictions.query_offsets[row] : predictions.query_offsets[row + 1]]
        lacking[searched[searched >= 0]] = False
        if lacking.any():
            first = protocol.scenes.names[int(lacking.argmax())]
            faults.append(
                f"{where}: query {query} of {protocol.name} was not searched in {lacking.sum()} scenes of its "
                f"gallery, for example {first!r}. List every pair; one without boxes has count 0."
            )
    return faults


def asked(predictions: PairwisePredictions, protocol: Protocol) -> PairwisePredictions:
    """The predictions of a protocol's queries, in their order."""
    return predictions.of_queries(query_rows(predictions, protocol))


def in_galleries(predictions: PairwisePredictions, protocol: Protocol, rules: Rules) -> np.ndarray:
    """(P,) bool: the pairs whose scene is in the gallery of their query; the predictions are those of `asked`."""
    scenes = _scenes_of(predictions, protocol)
    return Visits(protocol, rules).of_pairs(predictions.pair_queries, scenes) > 0


def pairwise_ranks(predictions: PairwisePredictions, protocol: Protocol, rules: Rules, targets: Targets) -> Ranks:
    """Where the right boxes stand among all boxes of their query.

    Args:
        predictions: those of `asked`; `detections` of the result are rows of their boxes.
        protocol, rules: what is searched.
        targets: what is to be found.
    """
    visits, scene, owner = Visits(protocol, rules), _scenes_of(predictions, protocol), predictions.pair_queries
    similarity, counts = predictions.similarities.astype(np.float64), predictions.counts

    key = owner.astype(np.int64) * len(protocol.scenes) + scene
    order = np.argsort(key)
    wanted = targets.queries * len(protocol.scenes) + targets.scenes
    # Every scene with a target is searched, so its pair is there.
    pair = order[np.searchsorted(key, wanted, sorter=order)]
    target = np.repeat(np.arange(len(wanted)), counts[pair])
    near = ranges(predictions.offsets[pair], counts[pair])
    dtype = np.float32 if rules.true_boxes == "annotation" else np.float64
    iou = pair_iou(predictions.boxes[near], targets.boxes[target], dtype)
    enough = iou >= match_iou_threshold(targets.boxes[target])
    target, near = target[enough], near[enough]
    best = segment_argmax(similarity[near], target)
    target, right = target[best], near[best]

    items = np.repeat(owner, counts), similarity, np.repeat(visits.of_pairs(owner, scene), counts)
    probes = targets.queries[target], similarity[right]
    again = visits.again(probes[0], targets.scenes[target])
    return Ranks(
        target,
        right,
        similarity[right],
        at_least=weight_from(items, probes),
        right_at_least=weight_from((*probes, np.ones(len(target), np.int64)), probes),
        again_at_least=weight_from((*probes, again), probes),
    )


def _scenes_of(predictions: PairwisePredictions, protocol: Protocol) -> np.ndarray:
    """(P,) int64: the test scene of each pair, -1 for an unknown one."""
    positions = [protocol.scenes.positions.get(name, -1) for name in predictions.scene_names]
    return np.array(positions, np.int64)[predictions.pair_scenes]
