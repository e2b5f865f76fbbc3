"""How much of a number is the evaluator: the same predictions under the rules of every published one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from psbench.evaluation.cbgm import CBGM
from psbench.evaluation.judging import evaluate_all
from psbench.evaluation.rules import PRESETS
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench_data import Protocol

if TYPE_CHECKING:
    import pandas as pd


def audit(
    predictions: Predictions | PairwisePredictions,
    protocols: Sequence[Protocol],
    *,
    det_threshold: float | None = None,
    cbgm: CBGM | None = None,
    keep: int | None = None,
    device: str | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Evaluate under every preset.

    Args:
        predictions, protocols, cbgm, keep, device, progress: as for `evaluate_all`.
        det_threshold: one for all; each evaluator's own if not given.

    Returns:
        One row a protocol and preset: protocol, preset, source (its public code), published (whether that code reads
        this dataset; otherwise its rules are applied where its authors never did), det_threshold, map, difference (of
        mAP, from the default's), top1, skipped (queries in no mean), rules (in words, what differs from the default
        and can matter under this protocol).

    Raises:
        InputError: listing everything in the predictions that does not fit the protocols.
    """
    import pandas as pd
    from tqdm import tqdm

    options = {"det_threshold": det_threshold, "cbgm": cbgm, "keep": keep, "device": device}
    by_preset = {
        name: evaluate_all(predictions, protocols, preset=name, **options)  # type: ignore[arg-type]
        for name in tqdm(PRESETS, desc="audit", unit="preset", disable=not progress, delay=2)
    }
    rows = []
    for i, protocol in enumerate(protocols):
        usual = by_preset["default"][i]
        for name, rules in PRESETS.items():
            evaluation = by_preset[name][i]
            words = rules.differences(protocol)
            if cbgm is None:
                words = [word for word in words if "CBGM" not in word]
            rows.append(
                {
                    "protocol": protocol.name,
                    "preset": name,
                    "source": rules.source,
                    "published": not rules.datasets or protocol.dataset in rules.datasets,
                    "det_threshold": evaluation.det_threshold,
                    "map": evaluation.map,
                    "difference": evaluation.map - usual.map,
                    "top1": evaluation.top(1),
                    "skipped": evaluation.skipped,
                    "rules": "; ".join(words),
                }
            )
    return pd.DataFrame(rows)
