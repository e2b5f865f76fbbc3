"""What a maintainer has to look at before an entry is taken: signs that predictions were made of the answers.

None of them is proof, and none of them is what a method that detects and compares people comes to by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from psbench.blocks import ranges
from psbench.evaluation import Evaluation
from psbench.evaluation.gallery import query_rows
from psbench.evaluation.segments import pair_iou, segment_argmax
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench_data import Protocol
from psbench_data.protocol import match_iou_threshold

_SAME_BOX = 1e-3
"""Pixels."""
_ONE = 1 - 1e-6
_MANY = 0.5
"""A share; of what a method does once in a while, more than this is a sign."""
_AT_ONCE = 4096


def scrutinise(
    predictions: Predictions | PairwisePredictions, protocols: Sequence[Protocol], evaluations: Sequence[Evaluation]
) -> list[str]:
    """Signs that predictions were made of the answers, a sentence each.

    Args:
        predictions: that fit the protocols.
        protocols: of the dataset.
        evaluations: of the predictions, one a protocol.
    """
    largest = max(protocols, key=lambda protocol: len(protocol.truth_boxes))
    if isinstance(predictions, PairwisePredictions):
        signs = list(_of_pairs(predictions, largest))
    else:
        signs = list(_of_detections(predictions, largest))
    perfect = [evaluation.protocol for evaluation in evaluations if evaluation.map >= 1]
    if perfect:
        more = f" and {len(perfect) - 3} more" if len(perfect) > 3 else ""
        signs.append(f"mAP is 100 % under {', '.join(perfect[:3])}{more}.")
    return signs


def _of_detections(predictions: Predictions, protocol: Protocol) -> Iterator[str]:
    test = protocol.scenes
    scene = _rows(test.names, predictions.scene_names)
    of_person = scene[np.repeat(np.arange(len(test)), np.diff(test.offsets))]
    yield from _copied(test.boxes, predictions.boxes, *_stretches(predictions.offsets, of_person))
    if len(predictions.scores) > 1 and np.ptp(predictions.scores) == 0:
        yield f"All {len(predictions.scores)} detections have the same score, {predictions.scores[0]:g}."

    starts, counts = _stretches(predictions.offsets, scene[protocol.truth_scenes])
    found = _right(protocol.truth_boxes, predictions.boxes, starts, counts)
    asked = query_rows(predictions, protocol)[protocol.truth_queries[found.truths]]
    equal, cosine = _alike(predictions.query_embeddings, asked, predictions.embeddings, found.boxes)
    if len(equal) and equal.mean() > _MANY:
        yield (
            f"{equal.sum()} of {len(equal)} people in {protocol.name} have, to the bit, the embedding of their query, "
            "which is another picture."
        )
    if len(cosine) and (cosine >= _ONE).all():
        yield f"All {len(cosine)} people found in {protocol.name} have a similarity of 1 with their query."


def _of_pairs(predictions: PairwisePredictions, protocol: Protocol) -> Iterator[str]:
    if not len(predictions.similarities):
        return
    scene = _rows(protocol.scenes.names, predictions.scene_names)
    predicted = query_rows(predictions, protocol)[protocol.truth_queries]
    scenes = len(predictions.scene_names)
    keys = predictions.pair_queries.astype(np.int64) * scenes + predictions.pair_scenes
    order = np.argsort(keys)
    wanted = predicted * scenes + scene[protocol.truth_scenes]
    place = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    pair = np.where(keys[order[place]] == wanted, order[place], -1)
    starts, counts = _stretches(predictions.offsets, pair)
    yield from _copied(protocol.truth_boxes, predictions.boxes, starts, counts)
    found = _right(protocol.truth_boxes, predictions.boxes, starts, counts)
    similarities = predictions.similarities[found.boxes]
    if len(similarities) > 1 and np.ptp(similarities) == 0:
        yield f"All {len(similarities)} people found in {protocol.name} have the same similarity, {similarities[0]:g}."
    if len(predictions.similarities) > 1 and np.ptp(predictions.similarities) == 0:
        yield f"All {len(predictions.similarities)} similarities are the same, {predictions.similarities[0]:g}."


def _rows(names: Sequence[str], there: Sequence[str]) -> np.ndarray:
    """Where each name is among those that are there, -1 for nowhere."""
    position = {name: i for i, name in enumerate(there)}
    return np.array([position.get(name, -1) for name in names], np.int64)


class _Found(NamedTuple):
    """True boxes that are met, and by which predicted box: (n,) indices each."""

    truths: np.ndarray
    boxes: np.ndarray


def _stretches(offsets: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the boxes of some owners begin, and how many there are: none for owner -1."""
    known = owners >= 0
    return np.where(known, offsets[owners], 0), np.where(known, offsets[owners + known] - offsets[owners], 0)


def _copied(true: np.ndarray, boxes: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> Iterator[str]:
    """Whether most of (T, 4) true boxes are met by an identical one of those that they begin and count."""
    truth, near = np.repeat(np.arange(len(true)), counts), ranges(starts, counts)
    same = np.zeros(len(true), bool)
    same[truth[np.abs(true[truth] - boxes[near]).max(axis=1, initial=0) <= _SAME_BOX]] = True
    if len(true) and same.mean() > _MANY:
        yield (
            f"{same.sum()} of {len(true)} annotated boxes were predicted to within {_SAME_BOX:g} pixels, as copies are."
        )


def _right(true: np.ndarray, boxes: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> _Found:
    """For each true box the predicted one that overlaps it most, if it does enough."""
    truth, near = np.repeat(np.arange(len(true)), counts), ranges(starts, counts)
    iou = pair_iou(true[truth], boxes[near])
    best = segment_argmax(iou, truth)
    best = best[iou[best] >= match_iou_threshold(true[truth[best]])]
    return _Found(truth[best], near[best])


def _alike(a: np.ndarray, rows_a: np.ndarray, b: np.ndarray, rows_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool: whether rows are the same to the bit; and (n,) their cosines, 0 where one has no length."""
    equal, cosine = np.zeros(len(rows_a), bool), np.zeros(len(rows_a))
    for start in range(0, len(rows_a), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        one, other = a[rows_a[part]].astype(np.float64), b[rows_b[part]].astype(np.float64)
        equal[part] = (one == other).all(axis=1)
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        dots = np.einsum("nd,nd->n", one, other)
        cosine[part] = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    return equal, cosine
