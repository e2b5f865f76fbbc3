"""Breakdown: the means of groups of queries, by what is known of a query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from psbench.evaluation.uncertainty import cluster_bootstrap, metric_values
from psbench_data import InputError
from psbench_data.errors import near_names

if TYPE_CHECKING:
    import pandas as pd

_BINS = 4
_MOST_VALUES = 20
"""Numbers with more values than this are put into bins."""
_NEVER_BINNED = ("person_id", "camera_id")
"""Columns whose numbers are names, not quantities."""
TOP = (1, 5, 10)
"""The k of top-k that tables show; `Evaluation.top` takes any."""
QUERY_COLUMNS = (
    *("scene", "person_id", "camera_id", "box_height", "gallery_size", "matches", "found", "ap"),
    *(f"top{k}" for k in TOP),
    "rank",
)
"""Of `Evaluation.per_query`."""


def breakdown(
    per_query: pd.DataFrame,
    by: str | npt.ArrayLike,
    *,
    bins: int | Sequence[float] | None = None,
    level: float = 0.95,
    samples: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """mAP and top-1 of each group of queries.

    A group is a value, or a bin of numbers. A bin includes its lower edge and not its upper: "120-180" is
    120 <= x < 180. The first and the last are open, "<57" and ">=180", so that every number is in one.

    Args:
        per_query: `Evaluation.per_query`, Q rows.
        by: a column of it, for example "box_height", or (Q,) values of one's own in the order of its rows.
        bins: how many bins with about equally many queries (edges are rounded), at least 2, or the edges between bins,
            ascending. By default numbers with more than 20 values make 4 bins, but for identities and cameras.
        level, samples, seed: of the confidence interval, see `cluster_bootstrap`.

    Returns:
        One row a group, in their natural order: group (the value, or the bin's label), queries, map, map_low, map_high
        (NaN with fewer than two identities), top1. Missing values are the last group, "unknown". Queries without any
        match are not counted; a group without queries is left out.

    Raises:
        InputError: if there is no such column, if `by` does not fit the queries, if `bins` makes no sense for it, or if
            `level` or `samples` is out of its range.
    """
    import pandas as pd

    keys = _keys(per_query, by)
    counted = per_query["ap"].notna()
    keys, per_query = keys[counted], per_query[counted]
    if bins is not None or _is_quantity(keys, by):
        keys = _binned(keys, _BINS if bins is None else bins)
    rows = []
    for value, group in per_query.groupby(keys, observed=True, dropna=False):
        low, high = cluster_bootstrap(group["ap"], group["person_id"], level=level, samples=samples, seed=seed)
        rows.append(
            {
                "group": "unknown" if pd.isna(value) else value,
                "queries": len(group),
                "map": group["ap"].mean(),
                "map_low": low,
                "map_high": high,
                "top1": metric_values(group, "top1").mean(),
            }
        )
    return pd.DataFrame(rows, columns=["group", "queries", "map", "map_low", "map_high", "top1"])


def column_faults(column: str, columns: Iterable[str] = QUERY_COLUMNS) -> list[str]:
    """What is wrong with the name of a column of `Evaluation.per_query`."""
    return [] if column in columns else [f"per_query has no column {column!r}. {near_names(column, columns)}"]


def _keys(per_query: pd.DataFrame, by: str | npt.ArrayLike) -> pd.Series:
    """(Q,) what to group by, indexed as `per_query`."""
    import pandas as pd

    if isinstance(by, str):
        if faults := column_faults(by, per_query.columns):
            raise InputError(faults)
        keys = per_query[by]
    else:
        shape = np.shape(by)
        if shape != (len(per_query),):
            raise InputError(f"by has the shape {shape}, expected ({len(per_query)},): one value a query.")
        if isinstance(by, pd.Series) and not by.index.equals(per_query.index):
            raise InputError(
                "by has another index than per_query. Give it the same, by.reindex(per_query.index), or none, "
                "by.to_numpy(), if its order is that of the queries."
            )
        keys = pd.Series(by, index=per_query.index)
    # A camera that is missing somewhere makes the others floats; they are still called 1 and not 1.0.
    with np.errstate(invalid="ignore"):  # pandas before 2.2 tries whether infinity is an integer
        return keys.convert_dtypes()


def _is_quantity(keys: pd.Series, by: Any) -> bool:
    from pandas.api import types

    if isinstance(by, str) and by in _NEVER_BINNED:
        return False
    return types.is_numeric_dtype(keys) and not types.is_bool_dtype(keys) and keys.nunique() > _MOST_VALUES


def _binned(keys: pd.Series, bins: int | Sequence[float]) -> pd.Series:
    """The bin of each number, as an ordered categorical of labels."""
    import pandas as pd
    from pandas.api import types

    if keys.notna().any() and not types.is_numeric_dtype(keys):
        raise InputError(f"bins are for numbers; by has values such as {keys.dropna().iloc[0]!r}.")
    values = keys.to_numpy(dtype=float, na_value=np.nan)
    edges = _quantiles(values, bins) if isinstance(bins, (int, np.integer)) else np.asarray(bins, dtype=float)
    if edges.ndim != 1 or not edges.size or not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        raise InputError(f"bins is {bins!r}, expected a number of bins or the finite, ascending edges between them.")
    names = [np.format_float_positional(edge, trim="-") for edge in edges]
    between = [f"{low}-{high}" for low, high in pairwise(names)]
    codes = np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right"))
    labels = [f"<{names[0]}", *between, f">={names[-1]}"]
    return pd.Series(pd.Categorical.from_codes(codes, labels, ordered=True), index=keys.index)


def _quantiles(values: np.ndarray, bins: int | np.integer) -> np.ndarray:
    """The edges between `bins` bins of about equally many `values`, in as few digits as tell them apart."""
    if bins < 2:
        raise InputError(f"bins is {bins}, expected at least 2.")
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros(1)
    points = np.quantile(finite, np.linspace(0, 1, bins + 1), method="higher")
    edges, gaps = np.unique(points[1:-1]), np.diff(np.unique(points))
    # A twentieth of the smallest gap, at most, is lost.
    return edges.round(1 - int(np.floor(np.log10(gaps.min())))) if gaps.size else edges
