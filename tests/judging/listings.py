"""What plain loops find for a query, and predictions that are written either way."""

from dataclasses import dataclass

import numpy as np

import psbench
from psbench import Evaluation, PairwisePredictions, Predictions
from psbench_data import PersonSearchDataset, Protocol
from psbench_data.protocol import match_iou_threshold
from tests.judging import worlds
from tests.judging.oracle import iou

Ranked = tuple[float, bool, tuple[int, tuple[float, ...]]]
"""A similarity, whether it is right, and the scene and box that it is of."""


@dataclass
class Truth:
    """What plain loops find for a query: its ranking, and its true boxes with the rank of each, None if not found."""

    ranking: list[Ranked]
    ranks: list[int | None]
    matches: int


def truth_of(p: Predictions, protocol: Protocol, q: int) -> Truth:
    """Wrong ones first among equals; a rank counts all that are as similar or more."""
    listed, mine = protocol.listed(q).tolist(), np.flatnonzero(protocol.truth_queries == q)
    wanted = {}
    for t in mine:
        entry = int(protocol.truth_entries[t])
        if listed[entry] not in listed[:entry]:
            wanted[listed[entry]] = protocol.truth_boxes[t]
    ranking, right = [], {}
    for scene in np.flatnonzero(protocol.searched(q)).tolist():
        found = [d for d in range(p.offsets[scene], p.offsets[scene + 1]) if p.scores[d] >= 0.5]
        similar = {d: float(p.embeddings[d].astype(float) @ p.query_embeddings[q].astype(float)) for d in found}
        near = []
        if scene in wanted:
            enough = match_iou_threshold(wanted[scene][None])[0]
            near = [d for d in found if iou(p.boxes[d].astype(float), wanted[scene].astype(float)) >= enough]
        best = max(near, key=lambda d: similar[d], default=None)
        right[scene] = None if best is None else similar[best]
        ranking += [(similar[d], d == best, (scene, tuple(p.boxes[d].tolist()))) for d in found]
    ranking.sort(key=lambda item: (-item[0], item[1]))
    ranks = [None if right[s] is None else sum(item[0] >= right[s] for item in ranking) for s in wanted]
    return Truth(ranking, ranks, len(mine))


def pairs_of(p: Predictions, protocol: Protocol) -> PairwisePredictions:
    """The detections that are searched for each query, pair by pair."""
    pairs, rows = [], []
    for q in range(len(protocol.queries)):
        for scene in np.flatnonzero(protocol.searched(q)).tolist():
            pairs.append((q, scene))
            rows.append([d for d in range(p.offsets[scene], p.offsets[scene + 1]) if p.scores[d] >= 0.5])
    every = np.array([d for found in rows for d in found], np.int64)
    asked = np.array([q for (q, _), found in zip(pairs, rows, strict=True) for _ in found], np.int64)
    return PairwisePredictions.from_arrays(
        p.scene_names,
        queries=[q for q, _ in pairs],
        scenes=[scene for _, scene in pairs],
        counts=[len(found) for found in rows],
        boxes=p.boxes[every],
        similarities=np.einsum("nd,nd->n", p.embeddings[every], p.query_embeddings[asked]),
        num_queries=len(protocol.queries),
    )


def drawn_world(seed: int, embedder: worlds.Embedder = worlds.coarse) -> tuple[Predictions, Protocol, Evaluation]:
    """Of whole numbers, whose similarities are the same in any arithmetic, with many ties."""
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    protocol = worlds.protocol(rng, test)
    predictions = worlds.predictions(rng, test, protocol, embedder, 4)
    return predictions, protocol, psbench.evaluate(predictions, protocol, det_threshold=0.5)


def answered(evaluation: Evaluation) -> list[int]:
    return np.flatnonzero(evaluation.per_query["ap"].notna()).tolist()


def noisy_predictions(world: PersonSearchDataset, protocol: Protocol) -> Predictions:
    """Most people found, some twice or loosely, and told apart badly."""
    rng, test = np.random.default_rng(0), world.split("test")
    boxes, ids, counts = [], [], []
    for scene in test:
        found = [(box, person) for box, person in zip(scene.boxes, scene.person_ids, strict=True) if rng.random() < 0.8]
        found += [(box + rng.uniform(-4, 4, 4), person) for box, person in found if rng.random() < 0.3]
        found += [(np.array([3.0, 3, 20, 50]), -1)] * int(rng.random() < 0.3)
        boxes += [box for box, _ in found]
        ids += [person for _, person in found]
        counts.append(len(found))
    people = rng.standard_normal((100, 16))
    embeddings = people[ids] + rng.standard_normal((len(ids), 16))
    asked = people[protocol.queries.person_ids] + rng.standard_normal((len(protocol.queries), 16))
    return Predictions.from_arrays(
        test.names,
        counts=counts,
        boxes=np.array(boxes),
        scores=rng.uniform(0.3, 1, len(ids)),
        embeddings=embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True),
        query_embeddings=asked / np.linalg.norm(asked, axis=1, keepdims=True),
        query_scenes=protocol.queries.scene_names,
        query_boxes=protocol.queries.boxes,
        method="noisy",
        synthetic=True,
    )
