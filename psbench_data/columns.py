"""Arrow columns as numpy arrays, and back: flat lists of vectors, and lists of them a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def flat_values(table: pa.Table, name: str) -> np.ndarray:
    """Every number of a column, however deep its lists, in order. Nulls among the numbers become NaN."""
    values = one_chunk(table, name)
    while values.type.num_fields:
        values = values.flatten()
    return _numbers(values)


def list_offsets(table: pa.Table, name: str) -> np.ndarray:
    """(rows + 1,) int64: where each row's list begins and ends in the flattened column."""
    offsets = _numbers(one_chunk(table, name).offsets).astype(np.int64)
    # Those of a slice go on counting where the rows before it ended.
    return offsets - offsets[:1]


def _numbers(values: pa.Array) -> np.ndarray:
    if values.null_count:
        return values.to_numpy(zero_copy_only=False)
    # pyarrow's to_numpy imports pandas, which takes longer than opening a dataset.
    dtype = np.dtype({"float": "float32", "double": "float64"}.get(str(values.type), str(values.type)))
    buffer = values.buffers()[1]
    if buffer is None or not len(values):
        return np.zeros(0, dtype)
    return np.frombuffer(buffer, dtype, len(values), values.offset * dtype.itemsize)


def one_chunk(table: pa.Table, name: str) -> pa.Array:
    """A column of a table that `combine_chunks` was called on."""
    column = table.column(name)
    return column.chunk(0) if column.num_chunks else column.combine_chunks()


def vectors(array: np.ndarray) -> pa.Array:
    """(n, d) numbers as n vectors of fixed length."""
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(array).ravel()), array.shape[1])


def lists(offsets: np.ndarray, values: pa.Array | np.ndarray) -> pa.Array:
    """One list a row: row i is `values[offsets[i]:offsets[i + 1]]`."""
    import pyarrow as pa

    return pa.LargeListArray.from_arrays(pa.array(np.asarray(offsets, np.int64)), values)
