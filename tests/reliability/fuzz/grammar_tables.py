"""Mutations of Parquet files, and manifests that are right about them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.reliability.fuzz.grammar import NUMBERS, of_its_format
from tests.reliability.fuzz.words import odd_text


@of_its_format
def parquet_changed(random: Random, content: bytes) -> bytes:
    """A Parquet file that is whole, of rows or columns that are not as they were."""
    table = pq.read_table(io.BytesIO(content))
    name = random.choice(table.column_names)
    at, column, rows = table.column_names.index(name), table.column(name), table.to_pylist()
    kind = random.randrange(8)
    if kind == 0:
        table = table.drop_columns([name])
    elif kind == 1:
        table = table.set_column(at, random.choice((odd_text(random), *table.column_names)), column)
    elif kind == 2:
        types = (pa.string(), pa.int64(), pa.float64(), pa.binary(), pa.bool_(), pa.list_(pa.float32()), pa.null())
        table = table.set_column(at, name, pa.nulls(len(table), random.choice(types)))
    elif kind == 3:
        table = table.take(random.choices(range(len(table)), k=random.randint(0, 2 * len(table)))) if rows else table
    elif kind == 4:
        table = table.append_column(random.choice((odd_text(random), name)), column)
    elif rows:
        row = random.randrange(len(rows))
        rows[row][name] = _cell_changed(random, rows[row][name])
        try:
            table = pa.Table.from_pylist(rows, table.schema if kind < 7 else None)
        except (pa.ArrowException, TypeError, OverflowError, UnicodeEncodeError):
            table = pa.table({name: [str(row) for row in rows]})
    written = io.BytesIO()
    compression = random.choice(("snappy", "none", "gzip", "zstd"))
    pq.write_table(table, written, compression=compression, write_page_checksum=random.random() < 0.5)
    return written.getvalue()


def _cell_changed(random: Random, value: Any) -> Any:
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        changed = list(value)
        if random.random() < 0.3:
            del changed[at]
        else:
            changed[at] = _cell_changed(random, changed[at])
        return changed
    if random.random() < 0.3:
        return None
    if isinstance(value, float | int):
        return random.choice(NUMBERS)
    return odd_text(random) if isinstance(value, str) else value


def sealed(random: Random, files: dict[str, bytes], manifest: str) -> dict[str, bytes]:
    """A manifest that names the shards beside it as they are now, and so gets a reader to open them.

    Args:
        random: decides how many rows it says where a shard does not tell.
        files: the shards, and the manifest.
        manifest: its path; the answer has it, or nothing where it can no longer be read.
    """
    try:
        written = json.loads(files[manifest])
        for shard in _shards(written):
            content = files[manifest.rpartition("/")[0] + "/" + shard["file"]]
            shard["sha256"] = hashlib.sha256(content).hexdigest()
            try:
                shard["rows"] = pq.read_metadata(io.BytesIO(content)).num_rows
            except (pa.ArrowException, OSError):
                shard["rows"] = random.choice((shard["rows"], 0, 2**40))
        return {manifest: json.dumps(written).encode()}
    except (ValueError, RecursionError, KeyError, TypeError):
        return {}


def _shards(manifest: Any) -> Iterator[dict[str, Any]]:
    inside = manifest.values() if isinstance(manifest, dict) else manifest if isinstance(manifest, list) else ()
    for value in inside:
        if isinstance(value, dict) and "sha256" in value:
            yield value
        else:
            yield from _shards(value)
