"""Whether predictions, protocols and arguments fit each other: everything in which they do not, a sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from psbench.evaluation.cbgm import CBGM
from psbench.evaluation.gallery import foreign_faults, query_rows, scene_faults, scenes_needed
from psbench.evaluation.pairs import pairwise_faults
from psbench.evaluation.rules import Rules
from psbench.intake import is_whole
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench_data import InputError, Protocol


def argument_faults(
    predictions: Any,
    protocols: Any,
    det_threshold: Any,
    cbgm: Any,
    keep: Any,
    memory: Any,
) -> list[str]:
    """Everything that cannot be right in the arguments of `evaluate_all`, whatever the predictions hold."""
    if not isinstance(predictions, Predictions | PairwisePredictions):
        return [
            f"evaluate was given {type(predictions).__name__}, expected Predictions (Predictions.load(folder)) or "
            "PairwisePredictions."
        ]
    listed = protocols if isinstance(protocols, list | tuple) else [protocols]
    if wrong := sorted({type(p).__name__ for p in listed if not isinstance(p, Protocol)}):
        return [
            f"evaluate was given {', '.join(wrong)}, expected a Protocol "
            '(dataset.protocol("gallery-100")); evaluate_all takes a list of them.'
        ]
    pairwise = isinstance(predictions, PairwisePredictions)
    faults = []
    if isinstance(protocols, Protocol):
        faults.append("evaluate_all was given one protocol. Give a list of them, or use evaluate.")
    if not listed:
        faults.append("no protocol was given. Name at least one.")
    if det_threshold is not None and (
        isinstance(det_threshold, bool) or not isinstance(det_threshold, Real) or not 0 <= float(det_threshold) <= 1
    ):
        faults.append(f"det_threshold is {det_threshold!r}, expected 0 to 1.")
    if pairwise and det_threshold is not None:
        faults.append(
            "det_threshold: pairwise predictions have no scores. Leave it out, or choose proposals with keep."
        )
    if cbgm is not None and not isinstance(cbgm, CBGM):
        faults.append(f"cbgm is {cbgm!r}, expected CBGM(k1, k2), for example CBGM(10, 3).")
    if pairwise and cbgm is not None:
        faults.append("cbgm: it revises similarities of embeddings, and pairwise predictions have none. Leave it out.")
    if keep is not None and not pairwise:
        faults.append("keep: it chooses among the proposals of pairwise predictions. Leave it out for these.")
    if keep is not None and (not is_whole(keep) or keep < 1):
        faults.append(f"keep is {keep!r}, expected a whole number, at least 1.")
    if not is_whole(memory) or memory < 2**20:
        faults.append(f"memory is {memory!r} bytes, expected a whole number, at least {2**20}.")
    return faults


def fit_faults(
    predictions: Predictions | PairwisePredictions, protocols: Sequence[Protocol], rules: Rules, cbgm: CBGM | None
) -> list[str]:
    """Everything in which predictions and protocols do not fit."""
    first = protocols[0]
    faults = [
        f"protocols: {other.name} is of other test scenes ({other.dataset}) than {first.name} ({first.dataset}). "
        "Evaluate one dataset at a time."
        for other in protocols[1:]
        if other.fingerprint != first.fingerprint
    ]
    if faults:
        return faults
    if faults := origin_faults(predictions, first.dataset, first.fingerprint, synthetic=first.synthetic):
        return faults
    if faults := foreign_faults(predictions.scene_names, first.scenes, first.dataset):
        return faults
    if isinstance(predictions, PairwisePredictions):
        return list(dict.fromkeys(f for protocol in protocols for f in pairwise_faults(predictions, protocol, rules)))
    needed = scenes_needed(protocols)
    faults = length_faults(predictions)
    dims = predictions.query_embeddings.shape[1], predictions.embeddings.shape[1]
    if dims[0] != dims[1]:
        faults.append(
            f"predictions: query embeddings have {dims[0]} dimensions, those of detections {dims[1]}. "
            "Take both from the same model."
        )
    if rules.query == "detection":
        # There the query is looked for among the detections of its own scene.
        needed = np.union1d(needed, np.concatenate([protocol.queries.scenes for protocol in protocols]))
        return faults + scene_faults(predictions, first.scenes, needed)
    for protocol in protocols:
        try:
            query_rows(predictions, protocol)
        except InputError as error:
            faults += [fault for fault in error.faults if fault not in faults]
    if cbgm is not None and predictions.context is None:
        faults.append(
            "predictions: CBGM needs the detections of the queries' scenes, and there are none. "
            "Predict with context (psbench predict --context), or give from_arrays its context."
        )
    return faults + scene_faults(predictions, first.scenes, needed)


def origin_faults(
    predictions: Predictions | PairwisePredictions,
    dataset: str,
    fingerprint: str,
    where: str = "predictions",
    *,
    synthetic: bool = True,
) -> list[str]:
    """That predictions say that they are of other data.

    Args:
        predictions: that say so or, with empty texts, nothing.
        dataset, fingerprint: of the test scenes at hand.
        where: the beginning of the sentences.
        synthetic: whether these may be drawn.
    """
    faults = []
    if predictions.dataset not in ("", dataset):
        faults.append(
            f"{where}: dataset is {predictions.dataset!r}, expected {dataset!r}. Give the dataset that was predicted "
            "on."
        )
    elif predictions.fingerprint not in ("", fingerprint):
        faults.append(
            f"{where}: made on another {dataset} (fingerprint {predictions.fingerprint[:12]}) than this one "
            f"(fingerprint {fingerprint[:12]}). Evaluate with the data that was predicted on."
        )
    if predictions.synthetic and not synthetic:
        faults.append(
            f"{where}: says that its people are drawn, and those of this {dataset} are not. Give the dataset that was "
            "predicted on."
        )
    return faults


def length_faults(predictions: Predictions, where: str = "predictions") -> list[str]:
    """That embeddings are so long that similarities of the matrix product, in float32, would be infinite."""
    if predictions.longest[0] * predictions.longest[1] < 2.0**126:
        return []
    return [f"{where}: embeddings are so long that similarities of query and detection exceed float32. Scale them."]
