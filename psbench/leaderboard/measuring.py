"""Predictions measured: what an entry says of one run, in submitting it and in verifying it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

from psbench.evaluation import CBGM, Evaluation, evaluate_all
from psbench.folders import load_predictions
from psbench.leaderboard.card import LONGEST_LINE, Rules
from psbench.leaderboard.entry import Detection, Interval, Result, Run
from psbench.leaderboard.scrutiny import scrutinise
from psbench.leaderboard.wholeness import counts_of, part_signs
from psbench.pairwise import PairwisePredictions
from psbench.shards import MANIFEST, sha256_of
from psbench_data import PersonSearchDataset


def measure(
    folder: Path,
    dataset: PersonSearchDataset,
    rules: Rules,
    *,
    seed: int,
    device: str | None = None,
    progress: bool = False,
) -> Run:
    """Evaluate a predictions folder by the card's rules.

    Args:
        folder: of either kind.
        dataset: that was predicted on.
        rules: of the method's card.
        seed: of the training.
        device: where torch computes similarities, for example "cuda"; numpy without one.
        progress: whether to show a bar.

    Raises:
        InputError: listing what does not fit.
    """
    manifest = sha256_of(folder / MANIFEST)
    predictions = load_predictions(folder)
    protocols = [dataset.protocol(name) for name in protocol_names(dataset, rules)]
    evaluations = evaluate_all(predictions, protocols, **_options(rules), device=device, progress=progress)
    pairwise = isinstance(predictions, PairwisePredictions)
    signs = [
        *part_signs(dataset.name, counts_of(dataset, protocols), synthetic=dataset.synthetic),
        *scrutinise(predictions, protocols, evaluations),
    ]
    found = None if pairwise else evaluations[0].detection
    return Run(
        seed=seed,
        kind="pairwise" if pairwise else "detections",
        manifest=manifest,
        results={evaluation.protocol: _result(evaluation) for evaluation in evaluations},
        detection=None if found is None else Detection(recall=found.recall, ap=found.ap),
        review=tuple(sign[:LONGEST_LINE] for sign in signs),
    )


def protocol_names(dataset: PersonSearchDataset, rules: Rules) -> Sequence[str]:
    """Those that are evaluated."""
    return rules.protocols or dataset.protocols


def rule_faults(rules: Rules, kind: str) -> list[str]:
    """Which of a card's rules predictions of a kind cannot follow."""
    others = ("det_threshold", "cbgm_k1", "cbgm_k2") if kind == "pairwise" else ("keep", "protocols")
    given = rules.model_dump(exclude_defaults=True)
    return [f"rules.{name}: not for {kind} predictions. Leave it out." for name in others if name in given]


def _options(rules: Rules) -> dict[str, Any]:
    cbgm = CBGM(rules.cbgm_k1, rules.cbgm_k2) if rules.cbgm_k1 and rules.cbgm_k2 else None
    return {"det_threshold": rules.det_threshold, "cbgm": cbgm, "keep": rules.keep}


def _result(evaluation: Evaluation) -> Result:
    return Result(
        version=evaluation.protocol_version,
        digest=evaluation.protocol_digest,
        gallery_size=evaluation.gallery_size,
        queries=len(evaluation.per_query),
        skipped=evaluation.skipped,
        map=_known(evaluation.map),
        **{f"top{k}": _known(evaluation.top(k)) for k in (1, 5, 10)},
        map_interval=_interval(evaluation, "map"),
        top1_interval=_interval(evaluation, "top1"),
    )


def _known(value: float) -> float | None:
    return None if isnan(value) else min(value, 1.0)


def _interval(evaluation: Evaluation, metric: str) -> Interval:
    low, high = evaluation.confidence_interval(metric)
    return None if isnan(low) else (min(low, 1.0), min(high, 1.0))
