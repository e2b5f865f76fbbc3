"""Parquet files from outside: their columns, or why they cannot be had; nothing is expanded that could fill memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from psbench_data import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_SMALL = 2**26
_MOST_EXPANSION = 200
"""Bytes that a table may always take in memory, and how many times its file's size a larger one: floats that a method
computed hardly compress at all."""


def read_table(path: Path, schema: pa.Schema, rows: int) -> pa.Table:
    """A Parquet file's columns, in one chunk.

    Raises:
        InputError: it does not hold these columns, or so many rows, is damaged, or would expand beyond all measure.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
        _require_measure(path, _bytes_in_memory(metadata, schema.names))
        leaves = {metadata.schema.column(i).path for i in range(metadata.num_columns)}
        # Names stay in a dictionary until it is known how long they are together.
        names = [field.name for field in schema if pa.types.is_string(field.type) and field.name in leaves]
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=names) as file:
            there = file.schema_arrow
            table = file.read(columns=schema.names).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error}). Write the folder again.") from error
    _require_measure(path, sum(_text_bytes(table.column(name)) for name in names))
    try:
        table = table.select(schema.names).cast(schema)
    except (KeyError, pa.ArrowException) as error:
        found = ", ".join(f"{f.name}: {f.type}" for f in there)
        expected = ", ".join(f"{f.name}: {f.type}" for f in schema)
        raise InputError(f"{path}: expected the columns ({expected}), found ({found}). Write it so.") from error
    if table.num_rows != rows:
        raise InputError(f"{path}: {table.num_rows} rows, expected {rows}. Write the folder again.")
    return table


def _require_measure(path: Path, size: int) -> None:
    limit = max(_SMALL, _MOST_EXPANSION * path.stat().st_size)
    if size > limit:
        raise InputError(
            f"{path}: {path.stat().st_size:,} bytes that would become {size:,} in memory, expected at most {limit:,}. "
            "Write what the method computed, and floats without a dictionary (use_dictionary=False)."
        )


def _bytes_in_memory(metadata: pq.FileMetaData, names: list[str]) -> int:
    """What some columns would take; runs of equal values are small in the file even before they are compressed."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
    return sum(
        max(chunk.total_uncompressed_size, chunk.num_values * (8 if chunk.physical_type in ("DOUBLE", "INT64") else 4))
        for chunk in chunks
        if chunk.path_in_schema.split(".")[0] in names
    )


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Of names that were read as a dictionary; nothing of another type, which will be found out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return 0
    lengths = [pc.take(pc.binary_length(chunk.dictionary), chunk.indices) for chunk in column.chunks]
    return sum(pc.sum(length).as_py() or 0 for length in lengths)
