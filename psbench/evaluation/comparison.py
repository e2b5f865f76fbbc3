"""Comparison: whether one evaluation is better than another, and on which queries."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from psbench.evaluation.uncertainty import batch_size, check_sampling, cluster_bootstrap, identity_sums, metric_values
from psbench_data import InputError

if TYPE_CHECKING:
    import pandas as pd

    from psbench.evaluation.evaluation import Evaluation

_DIGITS = 12
"""Decimals beyond which two numbers differ only by the order in which something was added up."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """The result of `compare`, over the queries that count in both evaluations.

    Attributes:
        dataset, protocol, protocol_version, protocol_digest, synthetic: what both were evaluated on.
        metric: what is compared, for example "map".
        a, b: the means of the two, in [0, 1]; NaN where no query counts.
        difference: b - a: positive where the second is better.
        low, high: confidence interval of the difference; NaN with fewer than two identities.
        p_value: how often two equally good methods would differ at least as much, in (0, 1].
        level, samples, seed: how interval and p-value were drawn.
        queries, identities: over how many the means go.
        unanswered: queries that count in one of the two only, and therefore in neither mean (where the query is a
            detection and there is none).
        better, worse, equal: how many queries have more, less, and as much in b as in a.
        per_query: one row a query, the largest loss of b first: query (its row in `Evaluation.per_query`), scene,
            person_id, a, b, difference.
    """

    dataset: str
    protocol: str
    protocol_version: int
    protocol_digest: str
    synthetic: bool
    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p_value: float
    level: float
    samples: int
    seed: int
    queries: int
    identities: int
    unanswered: int
    better: int
    worse: int
    equal: int
    per_query: pd.DataFrame

    def to_json(self) -> str:
        """Everything but the queries, at full precision; what is not known is null."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "per_query"}
        return json.dumps({name: None if value != value else value for name, value in values.items()}, indent=1)


def compare(
    a: Evaluation,
    b: Evaluation,
    *,
    metric: str = "map",
    level: float = 0.95,
    samples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two evaluations query by query.

    Both have the same queries, and most of what makes a query hard is common to both, so their difference is known far
    better than either mean. Its interval is of `cluster_bootstrap`. Its p-value is of a sign-flip permutation test: if
    it did not matter which is which, the two could be exchanged for any person, with all queries of the person at once
    (Smucker, Allan and Carterette, A Comparison of Statistical Significance Tests for Information Retrieval Evaluation,
    2007). All exchanges are tried where they are no more than `samples`, and `samples` random ones otherwise.

    Args:
        a: the evaluation to start from.
        b: the evaluation to compare with it, under the same protocol; the rest (det_threshold, cbgm) may differ.
        metric: "map", or "top" and any k: "top1".
        level: coverage of the interval, in (0, 1).
        samples: how often to draw, at least 100; no p-value from random exchanges is below 1 / (samples + 1).
        seed: of the draws.

    Returns:
        The comparison: `.difference`, `.low`, `.high`, `.p_value`, `.per_query`.

    Raises:
        InputError: if the two were evaluated under different protocols or have different queries, or if an argument is
            unknown or out of its range.
    """
    import pandas as pd

    check_sampling(level, samples)
    _check_comparable(a, b)
    frame = pd.DataFrame(
        {
            "query": np.arange(len(a.per_query)),
            "scene": a.per_query["scene"].to_numpy(),
            "person_id": a.per_query["person_id"].to_numpy(),
            "a": metric_values(a.per_query, metric),
            "b": metric_values(b.per_query, metric),
        }
    )
    unanswered = int((frame["a"].isna() != frame["b"].isna()).sum())
    frame["difference"] = (frame["b"] - frame["a"]).round(_DIGITS)
    frame = frame.dropna(subset="difference")
    mean_a, mean_b = float(frame["a"].mean()), float(frame["b"].mean())
    frame = frame.sort_values("difference", kind="stable", ignore_index=True)
    difference, person_ids = frame["difference"], frame["person_id"]
    low, high = cluster_bootstrap(difference, person_ids, level=level, samples=samples, seed=seed)
    sums, _ = identity_sums(difference, person_ids)
    return Comparison(
        dataset=a.dataset,
        protocol=a.protocol,
        protocol_version=a.protocol_version,
        protocol_digest=a.protocol_digest,
        synthetic=a.synthetic,
        metric=metric,
        a=mean_a,
        b=mean_b,
        difference=mean_b - mean_a,
        low=low,
        high=high,
        p_value=_sign_flip_test(sums, samples, seed),
        level=level,
        samples=samples,
        seed=seed,
        queries=len(frame),
        identities=len(sums),
        unanswered=unanswered,
        better=int((difference > 0).sum()),
        worse=int((difference < 0).sum()),
        equal=int((difference == 0).sum()),
        per_query=frame,
    )


def _check_comparable(a: Evaluation, b: Evaluation) -> None:
    from psbench.evaluation.evaluation import Evaluation

    if wrong := [type(e).__name__ for e in (a, b) if not isinstance(e, Evaluation)]:
        raise InputError(f"compare was given {' and '.join(wrong)}, expected two results of evaluate.")
    names = [f"{e.dataset} {e.protocol}, digest {e.protocol_digest[:12]}" for e in (a, b)]
    counts = [len(e.per_query) for e in (a, b)]
    faults = []
    if a.protocol_digest != b.protocol_digest:
        faults.append(f"a is of another protocol ({names[0]}) than b ({names[1]}). Evaluate both under one protocol.")
    if counts[0] != counts[1]:
        faults.append(f"a ({names[0]}) has {counts[0]} queries, b ({names[1]}) has {counts[1]}, expected the same.")
    if faults:
        raise InputError(faults)


def _sign_flip_test(sums: np.ndarray, samples: int, seed: int) -> float:
    """The share of sign flips of `sums`, (I,), whose total is at least as far from 0 as it is; random ones include it.

    Counting the observed total among random flips keeps the test valid (Phipson and Smyth 2010).
    """
    from scipy import stats

    # A flip of 0 changes nothing. Without these there are fewer flips, and all of them can be tried more often.
    sums = sums[sums.round(_DIGITS) != 0]
    if len(sums) < 2:
        return 1.0  # no flip brings the total nearer to 0
    result = stats.permutation_test(
        (sums,),
        # Equal totals must be equal whatever the order of addition.
        lambda flipped, axis: np.abs(flipped.sum(axis=axis)).round(_DIGITS - 3),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=samples,
        batch=batch_size(len(sums)),
        random_state=np.random.default_rng(seed),
    )
    return float(result.pvalue)
