"""Parquet files from outside: their columns, or why they cannot be had; nothing is expanded that could fill memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from psbench_data import InputError
from psbench_data.parquet_sizes import bytes_in_memory, most_bytes

if TYPE_CHECKING:
    import pyarrow as pa


def read_table(path: Path, schema: pa.Schema, rows: int | None = None) -> pa.Table:
    """A Parquet file's columns, in one chunk; if it has so many rows, where their number is known.

    Raises:
        InputError: it does not hold these columns, or so many rows, is damaged, or would expand beyond all measure.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _reading(path):
        _require_measure(path, bytes_in_memory(path, schema.names))
        there = pq.read_metadata(path).schema
        leaves = {there.column(i).path for i in range(len(there))}
        # Names stay in a dictionary until it is known how long they are together.
        names = [field.name for field in schema if pa.types.is_string(field.type) and field.name in leaves]
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=names) as file:
            found = file.schema_arrow
            table = file.read(columns=schema.names).combine_chunks()
    try:
        # Among them those of a name that several columns have.
        _require_measure(path, sum(_text_bytes(table.column(name)) for name in names))
        table = table.select(schema.names).cast(schema)
    except (KeyError, pa.ArrowException) as error:
        raise InputError(
            f"{path}: expected the columns ({_columns(schema)}), found ({_columns(found)}). Write it so."
        ) from error
    if rows is not None and table.num_rows != rows:
        raise InputError(f"{path}: {table.num_rows} rows, expected {rows}. Write the folder again.")
    return table


def read_schema(path: Path) -> pa.Schema:
    """The columns of a Parquet file.

    Raises:
        InputError: it cannot be read.
    """
    import pyarrow.parquet as pq

    with _reading(path):
        return pq.read_schema(path)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Tell what is raised of a damaged file."""
    import pyarrow as pa

    try:
        yield
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error}). Write the folder again.") from error


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)


def _require_measure(path: Path, size: int) -> None:
    if size > (limit := most_bytes(path)):
        raise InputError(
            f"{path}: {path.stat().st_size:,} bytes that would become {size:,} in memory, expected at most {limit:,}. "
            "Write what the method computed, and floats without a dictionary (use_dictionary=False)."
        )


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Of names that were read as a dictionary; nothing of another type, which will be found out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return 0
    lengths = [pc.take(pc.binary_length(chunk.dictionary), chunk.indices) for chunk in column.chunks]
    return sum(pc.sum(length).as_py() or 0 for length in lengths)
