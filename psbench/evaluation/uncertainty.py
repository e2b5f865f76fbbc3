"""Uncertainty: how far a mean over queries would move with other people to search for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from psbench_data import InputError
from psbench_data.errors import near_names

if TYPE_CHECKING:
    import pandas as pd

_METRICS = ("map", "top1", "top5", "top10")
_FEWEST_SAMPLES = 100
_AT_ONCE = 2**20
"""Resampled identities that are held in memory together."""


def metric_values(per_query: pd.DataFrame, metric: str) -> np.ndarray:
    """What each query adds to the mean that `metric` is.

    Args:
        per_query: `Evaluation.per_query`, Q rows.
        metric: "map", or "top" and any k from 1: "top1", "top20".

    Returns:
        (Q,) float64 in [0, 1]: the AP, or whether the first right detection has rank <= k; NaN for queries without any
        match in their gallery, which are in no mean.

    Raises:
        InputError: for another metric, naming those that there are.
    """
    ap = per_query["ap"].to_numpy(dtype=float, na_value=np.nan)
    if metric == "map":
        return ap
    if faults := metric_faults(metric):
        raise InputError(faults)
    rank = per_query["rank"].to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isnan(ap), np.nan, rank <= int(metric.removeprefix("top")))


def metric_faults(metric: str) -> list[str]:
    """What is wrong with the name of a metric."""
    if metric == "map" or re.fullmatch(r"top[1-9]\d*", metric):
        return []
    return [f"no metric is called {metric!r}. {near_names(metric, _METRICS)} (top takes any k from 1.)"]


def cluster_bootstrap(
    values: npt.ArrayLike, groups: npt.ArrayLike, *, level: float = 0.95, samples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Confidence interval of the mean of `values`, by drawing identities again, each with all of its queries.

    Queries of one person are not independent (the 2,057 of PRW are 450 people): whoever is easy to find is easy to find
    from all of them. Drawing single queries would take each for news and give an interval that is too narrow. The
    interval is of percentiles (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13; chapter 8 for
    what to draw where observations depend on each other). The order of the queries does not matter.

    Args:
        values: (Q,) float; NaN is left out.
        groups: (Q,) the identity of each query.
        level: the interval's coverage, in (0, 1).
        samples: how often to draw, at least 100.
        seed: of the draws.

    Returns:
        The lower and the upper bound, in the unit of `values`; both NaN with fewer than two identities, which say
        nothing of how much people differ.

    Raises:
        InputError: if `level` or `samples` is out of its range.
    """
    from scipy import stats

    check_sampling(level, samples)
    sums, counts = identity_sums(values, groups)
    if len(sums) < 2:
        return np.nan, np.nan
    result = stats.bootstrap(
        (sums, counts),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=level,
        n_resamples=samples,
        batch=batch_size(len(sums)),
        random_state=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return float(low), float(high)


def identity_sums(values: npt.ArrayLike, groups: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Add up `values`, (Q,) float, by identity, leaving out NaN.

    Returns:
        (I,) sums and (I,) counts of the I identities that have any value, float64, in the order of their names; to the
        last bit the same for any order of the queries.
    """
    values, groups = np.asarray(values, dtype=float), np.asarray(groups)
    known = ~np.isnan(values)
    _, identity = np.unique(groups[known], return_inverse=True)
    order = np.lexsort((values[known], identity))
    sums = np.bincount(identity[order], weights=values[known][order])
    return sums, np.bincount(identity).astype(float)


def batch_size(identities: int) -> int:
    """How many samples of `identities` to hold in memory together."""
    return max(1, _AT_ONCE // identities)


def check_sampling(level: float, samples: int) -> None:
    """Raise an `InputError` that names what is out of range."""
    faults = []
    if not 0 < level < 1:
        faults.append(f"level is {level}, expected more than 0 and less than 1, for example 0.95.")
    if not samples >= _FEWEST_SAMPLES:
        faults.append(f"samples is {samples}, expected at least {_FEWEST_SAMPLES}.")
    if faults:
        raise InputError(faults)
