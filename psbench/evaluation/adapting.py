"""Predictions as evaluators see them that take the query from a detection, or scale embeddings (AlignPS, PSTR)."""

from __future__ import annotations

import dataclasses

import numpy as np

from psbench.blocks import ranges, unit
from psbench.evaluation.rules import Rules
from psbench.evaluation.segments import pair_iou, segment_argmax
from psbench.predictions import Predictions, QueryContext
from psbench_data import Protocol


def adapted(
    predictions: Predictions, protocol: Protocol, rules: Rules, det_threshold: float
) -> tuple[Predictions, np.ndarray]:
    """What such an evaluator makes of predictions.

    Args:
        predictions: of the queries' scenes, too.
        protocol: whose queries.
        rules: with `query` "detection".
        det_threshold: of the company in `context`.

    Returns:
        Predictions with one query embedding and context a query of the protocol, in its order, scaled where the rules
        say so (the gallery's are scaled when they are needed, see `Similarities`), and (Q,) which of them is each
        query's: its own number, or -1 where nothing is detected in its scene.
    """
    scaled = unit if rules.normalise else np.asarray
    position = {name: i for i, name in enumerate(predictions.scene_names)}
    names = protocol.queries.scene_names
    scene = np.array([position[name] for name in names], np.int64)
    counts = predictions.counts[scene]
    query = np.repeat(np.arange(len(names)), counts)
    detection = ranges(predictions.offsets[scene], counts)
    iou = pair_iou(predictions.boxes[detection], protocol.queries.boxes[query], extra=1)
    own = np.full(len(names), -1)
    own[np.unique(query)] = detection[segment_argmax(iou, query)]
    there = own >= 0
    # The query first, then the confident others by falling score.
    first = detection == own[query]
    company = first | (predictions.scores[detection] >= det_threshold)
    order = np.lexsort((-predictions.scores[detection], ~first, query))
    chosen = detection[order[company[order]]]
    context = QueryContext(
        offsets=np.concatenate([[0], np.cumsum(np.bincount(query[company], minlength=len(names)))]),
        boxes=predictions.boxes[chosen],
        scores=predictions.scores[chosen],
        embeddings=scaled(predictions.embeddings[chosen]),
    )
    asked = np.zeros((len(names), predictions.embeddings.shape[1]), np.float32)
    asked[there] = scaled(predictions.embeddings[own[there]])
    changed = dataclasses.replace(
        predictions,
        query_embeddings=asked,
        query_scenes=None,
        query_boxes=None,
        context=context,
    )
    return changed, np.where(there, np.arange(len(names)), -1)
