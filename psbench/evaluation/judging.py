"""`evaluate`: predictions under protocols, by the rules of psbench or of a published evaluator."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from psbench.blocks import row_blocks
from psbench.evaluation.adapting import adapted
from psbench.evaluation.arrays import arrays_on
from psbench.evaluation.cbgm import CBGM
from psbench.evaluation.detection import DetectionEvaluation, detection_of
from psbench.evaluation.evaluation import Evaluation, box_table, query_table
from psbench.evaluation.gallery import arrange, query_rows, scene_faults
from psbench.evaluation.pairs import in_galleries, pairwise_faults, pairwise_ranks
from psbench.evaluation.ranks import Ranks, rank
from psbench.evaluation.rules import Rules, rules_of
from psbench.evaluation.search import Search
from psbench.evaluation.similarities import Similarities
from psbench.evaluation.visits import Targets, targets_of
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench_data import InputError, Protocol

MEMORY = 2**28
"""Bytes; see `evaluate`."""


def evaluate(
    predictions: Predictions | PairwisePredictions,
    protocol: Protocol,
    *,
    det_threshold: float | None = None,
    cbgm: CBGM | None = None,
    preset: str = "default",
    device: str | None = None,
    keep: int | None = None,
    memory: int = MEMORY,
    progress: bool = False,
) -> Evaluation:
    """Search for every query of a protocol in its gallery.

    All detections of a query's gallery with score >= det_threshold are ranked by similarity, the dot product of the
    embeddings as they are. In a scene with the person, the most similar detection that overlaps the true box
    (`psbench_data.protocol.match_iou_threshold`) is right and all others are wrong. Average precision is scaled by the
    share of true boxes that were found, so a missed person costs. The rule of SeqNet's evaluator, which most later work
    copies; `preset` follows others.

    Equal similarities form one step of the average precision; for top-k, wrong detections come before right ones:
    constant embeddings earn nothing. Similarities are compared as float64 dot products, each of its two vectors alone,
    so that no result depends on the order of the input, the device or the number of threads.

    Args:
        predictions: of every scene in the protocol's galleries; pairwise ones come with their similarities.
        protocol: for example `dataset.protocol("gallery-100")`.
        det_threshold: in [0, 1]; 0.5, or the preset's, if not given. Pairwise predictions have no scores to compare.
        cbgm: revise the similarities by the people around each query; the predictions need their context for it.
        preset: the evaluator whose rules to follow: `default`, or one of `psbench.PRESETS`.
        device: where torch computes the similarities, for example "cuda"; numpy computes them without one.
        keep: of pairwise predictions, keep so many proposals a query, the most similar over its whole gallery.
        memory: bytes that a tile of similarities and a stretch of gallery embeddings may take each; several small
            arrays of the size of the gallery come on top.
        progress: whether to show a bar when it takes long.

    Returns:
        The evaluation: `.map`, `.top(k)`, `.per_query`, `.detection`.

    Raises:
        InputError: listing everything in the predictions that does not fit the protocol.
    """
    return evaluate_all(
        predictions,
        [protocol],
        det_threshold=det_threshold,
        cbgm=cbgm,
        preset=preset,
        device=device,
        keep=keep,
        memory=memory,
        progress=progress,
    )[0]


def evaluate_all(
    predictions: Predictions | PairwisePredictions,
    protocols: Sequence[Protocol],
    *,
    det_threshold: float | None = None,
    cbgm: CBGM | None = None,
    preset: str = "default",
    device: str | None = None,
    keep: int | None = None,
    memory: int = MEMORY,
    progress: bool = False,
) -> list[Evaluation]:
    """`evaluate` under several protocols of a dataset; each similarity is computed once for all of them.

    Args:
        predictions: of every scene in the protocols' galleries.
        protocols: for example all gallery sizes of CUHK-SYSU.
        det_threshold, cbgm, preset, device, keep, memory, progress: as for `evaluate`.

    Returns:
        One evaluation a protocol, in order.

    Raises:
        InputError: listing everything in the predictions that does not fit the protocols.
    """
    rules = rules_of(preset)
    pairwise = isinstance(predictions, PairwisePredictions)
    if faults := [*_argument_faults(predictions, protocols, det_threshold, cbgm, keep, memory)]:
        raise InputError(faults)
    if faults := _fit_faults(predictions, protocols, rules, cbgm):
        raise InputError(faults)
    if cbgm is not None:
        rules = rules.with_cbgm()
    if isinstance(predictions, PairwisePredictions):
        results = [_pairwise(predictions, protocol, rules, keep) for protocol in protocols]
        thresholds: list[float | None] = [None] * len(protocols)
    else:
        thresholds = [rules.det_threshold(p) if det_threshold is None else det_threshold for p in protocols]
        options = {"cbgm": cbgm, "device": device, "memory": memory, "progress": progress}
        results = _searched(predictions, protocols, rules, [t for t in thresholds if t is not None], options)

    @functools.cache
    def detect() -> DetectionEvaluation:
        if isinstance(predictions, PairwisePredictions):
            raise InputError("pairwise predictions have no detection: what they find in a scene depends on the query.")
        scenes = protocols[0].scenes
        gallery = arrange(predictions, scenes, rules.detection_threshold)
        return detection_of(gallery, scenes, rules, rules.detection_threshold, labeled_only=False)

    return [
        Evaluation(
            protocol=protocol.name,
            protocol_version=protocol.version,
            protocol_digest=protocol.digest,
            gallery_size=int(protocol.gallery_sizes.max(initial=0)),
            dataset=protocol.dataset,
            preset=preset,
            det_threshold=threshold,
            cbgm=cbgm,
            keep=keep if pairwise else None,
            per_query=query_table(protocol, targets, counted, ranks),
            per_box=box_table(protocol, targets, counted, ranks),
            skipped=int((~counted).sum()),
            synthetic=protocol.synthetic,
            _detect=detect,
        )
        for protocol, threshold, (targets, counted, ranks) in zip(protocols, thresholds, results, strict=True)
    ]


def _comparable(predictions: Predictions) -> bool:
    """Whether no similarity is beyond float32."""
    lengths = [
        max(
            (float(np.einsum("nd,nd->n", b, b, dtype=np.float64).max(initial=0)) for _, b in row_blocks(a, 2**16)),
            default=0.0,
        )
        for a in (predictions.query_embeddings, predictions.embeddings)
    ]
    return lengths[0] * lengths[1] < 2.0**252


_Result = tuple[Targets, np.ndarray, Ranks]


def prepared(
    predictions: Predictions,
    protocols: Sequence[Protocol],
    rules: Rules,
    det_threshold: float,
    *,
    cbgm: CBGM | None = None,
    device: str | None = None,
    memory: int = MEMORY,
) -> tuple[list[Search], Similarities]:
    """The searches of several protocols over one gallery, and the similarities that they share."""
    if rules.query == "detection":
        predictions, embedded = adapted(predictions, protocols[0], rules, det_threshold)
        rows = [embedded]
    else:
        rows = [query_rows(predictions, protocol) for protocol in protocols]
    needed = functools.reduce(np.union1d, [protocol.needed for protocol in protocols])
    scenes = protocols[0].scenes
    gallery = arrange(predictions, scenes, det_threshold, among=needed, ordered=cbgm is not None)
    searches = [
        Search(protocol, rules, gallery, of_protocol, cbgm, predictions.context)
        for protocol, of_protocol in zip(protocols, rows, strict=True)
    ]
    arrays = arrays_on(device)
    return searches, Similarities(predictions.query_embeddings, predictions.embeddings, gallery.rows, arrays, memory)


def _searched(
    predictions: Predictions,
    protocols: Sequence[Protocol],
    rules: Rules,
    thresholds: list[float],
    options: dict[str, Any],
) -> list[_Result]:
    progress = options.pop("progress")
    together = rules.query == "box" and len(set(thresholds)) == 1
    results: list[_Result] = []
    for group in [range(len(protocols))] if together else [range(i, i + 1) for i in range(len(protocols))]:
        asked = [protocols[i] for i in group]
        searches, similarities = prepared(predictions, asked, rules, thresholds[group[0]], **options)
        ranks = rank(searches, similarities, progress=progress)
        results += [(s.targets, s.counted, found) for s, found in zip(searches, ranks, strict=True)]
    return results


def _pairwise(predictions: PairwisePredictions, protocol: Protocol, rules: Rules, keep: int | None) -> _Result:
    if keep is not None:
        predictions = predictions.keep(keep, among=in_galleries(predictions, protocol, rules))
    targets = targets_of(protocol, rules)
    return targets, targets.matches > 0, pairwise_ranks(predictions, protocol, rules, targets)


def _argument_faults(
    predictions: Any,
    protocols: Sequence[Any],
    det_threshold: float | None,
    cbgm: CBGM | None,
    keep: int | None,
    memory: int,
) -> list[str]:
    pairwise = isinstance(predictions, PairwisePredictions)
    if not isinstance(predictions, Predictions | PairwisePredictions) or not all(
        isinstance(protocol, Protocol) for protocol in protocols
    ):
        given = ", ".join(sorted({type(p).__name__ for p in protocols}))
        return [
            f"evaluate was given {type(predictions).__name__} and {given}, expected Predictions "
            '(Predictions.load(folder)) and a Protocol (dataset.protocol("gallery-100")).'
        ]
    faults = []
    if not protocols:
        faults.append("no protocol was given. Name at least one.")
    if det_threshold is not None and not 0 <= det_threshold <= 1:
        faults.append(f"det_threshold is {det_threshold}, expected 0 to 1.")
    if pairwise and det_threshold is not None:
        faults.append(
            "det_threshold: pairwise predictions have no scores. Leave it out, or choose proposals with keep."
        )
    if pairwise and cbgm is not None:
        faults.append("cbgm: it revises similarities of embeddings, and pairwise predictions have none. Leave it out.")
    if keep is not None and not pairwise:
        faults.append("keep: it chooses among the proposals of pairwise predictions. Leave it out for these.")
    if keep is not None and keep < 1:
        faults.append(f"keep is {keep}, expected at least 1.")
    if memory < 2**20:
        faults.append(f"memory is {memory} bytes, expected at least {2**20}.")
    return faults


def _fit_faults(
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
    if predictions.fingerprint and predictions.fingerprint != first.fingerprint:
        return [
            f"predictions: made on another {predictions.dataset or 'dataset'} (fingerprint "
            f"{predictions.fingerprint[:12]}) than this {first.dataset} (fingerprint {first.fingerprint[:12]}). "
            "Evaluate with the data that was predicted on."
        ]
    if isinstance(predictions, PairwisePredictions):
        return list(dict.fromkeys(f for protocol in protocols for f in pairwise_faults(predictions, protocol, rules)))
    needed = functools.reduce(np.union1d, [protocol.needed for protocol in protocols])
    faults = []
    if not _comparable(predictions):
        faults.append(
            "predictions: embeddings are so long that similarities of query and detection exceed float32. Scale them."
        )
    dims = predictions.query_embeddings.shape[1], predictions.embeddings.shape[1]
    if dims[0] != dims[1]:
        faults.append(
            f"predictions: query embeddings have {dims[0]} dimensions, those of detections {dims[1]}. "
            "Take both from the same model."
        )
    if rules.query == "box":
        for protocol in protocols:
            try:
                query_rows(predictions, protocol)
            except InputError as error:
                faults += error.faults
        if cbgm is not None and predictions.context is None:
            faults.append(
                "predictions: CBGM needs the detections of the queries' scenes, and there are none. "
                "Predict with context (psbench predict --context), or give from_arrays its context."
            )
    return faults + scene_faults(predictions, first.scenes, needed)
