"""`evaluate`: predictions under protocols, by the rules of psbench or of a published evaluator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from psbench.evaluation.adapting import adapted
from psbench.evaluation.arrays import arrays_on
from psbench.evaluation.cbgm import CBGM
from psbench.evaluation.detection import PendingDetection
from psbench.evaluation.evaluation import Evaluation, box_table, query_table
from psbench.evaluation.fitting import argument_faults, fit_faults
from psbench.evaluation.gallery import arrange, query_rows, scenes_needed
from psbench.evaluation.pairs import asked, in_galleries, pairwise_ranks
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
    faults = argument_faults(predictions, protocols, det_threshold, cbgm, keep, memory)
    if faults := faults or fit_faults(predictions, protocols, rules, cbgm):
        raise InputError(faults)
    thresholds: list[float | None] = []
    results: list[_Result] = []
    detection = None
    if isinstance(predictions, PairwisePredictions):
        thresholds = [None] * len(protocols)
        results = [_pairwise(predictions, protocol, rules, keep) for protocol in protocols]
    else:
        for group, threshold in _together(protocols, rules, det_threshold):
            searches, similarities = prepared(
                predictions, group, rules, threshold, cbgm=cbgm, device=device, memory=memory
            )
            found = rank(searches, similarities, progress=progress)
            results += [(search.targets, search.counted, ranks) for search, ranks in zip(searches, found, strict=True)]
            thresholds += [threshold] * len(group)
        detection = PendingDetection.of(predictions, protocols[0].scenes, rules)
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
            keep=keep,
            per_query=query_table(protocol, targets, counted, ranks),
            per_box=box_table(protocol, targets, counted, ranks),
            skipped=int((~counted).sum()),
            synthetic=protocol.synthetic,
            _detection=detection,
        )
        for protocol, threshold, (targets, counted, ranks) in zip(protocols, thresholds, results, strict=True)
    ]


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
    if cbgm is not None:
        rules = rules.with_cbgm()
    if rules.query == "detection":
        predictions, embedded = adapted(predictions, protocols[0], rules, det_threshold)
        rows = [embedded]
    else:
        rows = [query_rows(predictions, protocol) for protocol in protocols]
    scenes, needed = protocols[0].scenes, scenes_needed(protocols)
    gallery = arrange(predictions, scenes, det_threshold, among=needed, ordered=cbgm is not None)
    searches = [
        Search(protocol, rules, gallery, of_protocol, cbgm, predictions.context)
        for protocol, of_protocol in zip(protocols, rows, strict=True)
    ]
    similarities = Similarities(predictions, gallery.rows, arrays_on(device), memory, normalise=rules.normalise)
    return searches, similarities


def _together(
    protocols: Sequence[Protocol], rules: Rules, det_threshold: float | None
) -> list[tuple[Sequence[Protocol], float]]:
    """The protocols, in order, that share a search of the gallery, and from which score detections take part."""
    thresholds = [float(rules.det_threshold(p) if det_threshold is None else det_threshold) for p in protocols]
    if rules.query == "box" and len(set(thresholds)) == 1:
        return [(protocols, thresholds[0])]
    return [([protocol], threshold) for protocol, threshold in zip(protocols, thresholds, strict=True)]


def prepared_pairs(
    predictions: PairwisePredictions, protocol: Protocol, rules: Rules, keep: int | None
) -> PairwisePredictions:
    """The predictions of a protocol's queries, in its order, and of each only the boxes that are kept, if not all."""
    predictions = asked(predictions, protocol)
    return predictions if keep is None else predictions.keep(keep, among=in_galleries(predictions, protocol, rules))


def _pairwise(predictions: PairwisePredictions, protocol: Protocol, rules: Rules, keep: int | None) -> _Result:
    predictions = prepared_pairs(predictions, protocol, rules, keep)
    targets = targets_of(protocol, rules)
    return targets, targets.matches > 0, pairwise_ranks(predictions, protocol, rules, targets)
