"""The search among pairwise predictions: every query has boxes and similarities of its own in every scene."""

from __future__ import annotations

import numpy as np

from psbench.evaluation.gallery import query_rows
from psbench.evaluation.ranks import Ranks
from psbench.evaluation.rules import Rules
from psbench.evaluation.segments import pair_iou, ranges, segment_argmax, weight_from
from psbench.evaluation.visits import Targets, Visits
from psbench.pairwise import PairwisePredictions
from psbench_data import InputError, Protocol
from psbench_data.protocol import match_iou_threshold


def pairwise_faults(predictions: PairwisePredictions, protocol: Protocol, rules: Rules) -> list[str]:
    """Everything that a protocol needs and pairwise predictions lack, a sentence each."""
    positions = protocol.scenes.positions
    faults = [
        f"predictions: scene {name!r} is not a test scene of this dataset. Predict on the dataset that is evaluated."
        for name in predictions.scene_names
        if name not in positions
    ]
    try:
        rows = query_rows(predictions, protocol)
    except InputError as error:
        return faults + error.faults
    known = [positions.get(name, -1) for name in predictions.scene_names]
    scene_of = np.array(known, np.int64)[predictions.pair_scenes]
    visits = Visits(protocol, rules)
    for query, row in enumerate(rows):
        lacking = visits.times(np.array([query]))[0] > 0
        lacking[scene_of[predictions.query_offsets[row] : predictions.query_offsets[row + 1]]] = False
        if lacking.any():
            first = protocol.scenes.names[int(lacking.argmax())]
            faults.append(
                f"predictions: query {query} of {protocol.name} was not searched in {lacking.sum()} scenes of its "
                f"gallery, for example {first!r}. List every pair; one without boxes has count 0."
            )
    return faults


def pairwise_ranks(predictions: PairwisePredictions, protocol: Protocol, rules: Rules, targets: Targets) -> Ranks:
    """Where the right boxes stand among all boxes of their query; `detections` are rows of the predictions' boxes."""
    rows, offsets = query_rows(predictions, protocol), predictions.query_offsets
    of_query = offsets[rows + 1] - offsets[rows]
    pair, owner = ranges(offsets[rows], of_query), np.repeat(np.arange(len(rows)), of_query)
    scene = np.array([protocol.scenes.positions[name] for name in predictions.scene_names], np.int64)[
        predictions.pair_scenes[pair]
    ]
    visits, ends = Visits(protocol, rules), np.cumsum(of_query)
    times = [
        visits.times(np.array([query]))[0, scene[end - n : end]]
        for query, (end, n) in enumerate(zip(ends, of_query, strict=True))
    ]
    often = np.concatenate([np.zeros(0, np.int64), *times])
    counts = np.diff(predictions.offsets)[pair]
    box = ranges(predictions.offsets[pair], counts)
    similarity = predictions.similarities.astype(np.float64)

    key = owner * len(protocol.scenes) + scene
    order = np.argsort(key)
    wanted = targets.queries * len(protocol.scenes) + targets.scenes
    # Every scene with a target is searched, so its pair is there.
    place = order[np.searchsorted(key, wanted, sorter=order)]
    target = np.repeat(np.arange(len(wanted)), counts[place])
    near = ranges(predictions.offsets[pair[place]], counts[place])
    dtype = np.float32 if rules.true_boxes == "annotation" else np.float64
    iou = pair_iou(predictions.boxes[near], targets.boxes[target], dtype)
    enough = iou >= match_iou_threshold(targets.boxes[target])
    target, near = target[enough], near[enough]
    best = segment_argmax(similarity[near], target)
    target, right = target[best], near[best]

    probes = targets.queries[target], similarity[right]
    items = np.repeat(owner, counts), similarity[box], np.repeat(often, counts)
    at_least = weight_from(items, probes)
    right_at_least = weight_from((*probes, np.ones(len(target), np.int64)), probes)
    twice = np.zeros(len(target), np.int64)
    if visits.lists_again:
        for i, t in enumerate(target):
            query = targets.queries[[t]]
            twice[i] = (visits.times(query) - visits.revised(query))[0, targets.scenes[t]]
    again_at_least = weight_from((*probes, twice), probes)
    return Ranks(target, right, similarity[right], at_least, right_at_least, again_at_least)


def in_galleries(predictions: PairwisePredictions, protocol: Protocol, rules: Rules) -> np.ndarray:
    """(P,) bool: the pairs whose scene is in the gallery of their query."""
    visits, inside = Visits(protocol, rules), np.zeros(len(predictions.pair_scenes), bool)
    scene_of = np.array([protocol.scenes.positions[name] for name in predictions.scene_names], np.int64)
    for query, row in enumerate(query_rows(predictions, protocol)):
        pairs = slice(predictions.query_offsets[row], predictions.query_offsets[row + 1])
        inside[pairs] = visits.times(np.array([query]))[0, scene_of[predictions.pair_scenes[pairs]]] > 0
    return inside
