"""How much of a number is the evaluator: the same predictions under the rules of every published one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from psbench.evaluation.cbgm import CBGM
from psbench.evaluation.evaluation import Evaluation
from psbench.evaluation.judging import evaluate_all
from psbench.evaluation.rules import PRESETS
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench_data import InputError, Protocol

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
        and can matter under this protocol, or why the evaluator cannot be applied: those that take the query from a
        detection need the queries' scenes predicted).

    Raises:
        InputError: listing everything in the predictions that does not fit the protocols.
    """
    import pandas as pd
    from tqdm import tqdm

    options = {"det_threshold": det_threshold, "cbgm": cbgm, "keep": keep, "device": device}
    pairwise = isinstance(predictions, PairwisePredictions)
    by_preset: dict[str, list[Evaluation] | str] = {}
    for name in tqdm(PRESETS, desc="audit", unit="preset", disable=not progress, delay=2):
        try:
            by_preset[name] = evaluate_all(predictions, protocols, preset=name, **options)  # type: ignore[arg-type]
        except InputError as error:
            if name == "default":
                raise
            # It asks for more than the others, the scenes of the queries: that costs its row, not the table.
            by_preset[name] = f"not possible: {error.faults[0]}"
    rows = []
    for i, protocol in enumerate(protocols):
        for name, rules in PRESETS.items():
            found = by_preset[name]
            row = {
                "protocol": protocol.name,
                "preset": name,
                "source": rules.source,
                "published": not rules.datasets or protocol.dataset in rules.datasets,
            }
            if isinstance(found, str):
                nothing = {"det_threshold": None, "map": np.nan, "difference": np.nan, "top1": np.nan}
                rows.append({**row, **nothing, "skipped": len(protocol.queries), "rules": found})
                continue
            words = rules.differences(protocol, det_threshold=det_threshold, cbgm=cbgm is not None, pairwise=pairwise)
            rows.append(
                {
                    **row,
                    "det_threshold": found[i].det_threshold,
                    "map": found[i].map,
                    "difference": found[i].map - by_preset["default"][i].map,  # type: ignore[union-attr]
                    "top1": found[i].top(1),
                    "skipped": found[i].skipped,
                    "rules": "; ".join(words),
                }
            )
    return pd.DataFrame(rows)
