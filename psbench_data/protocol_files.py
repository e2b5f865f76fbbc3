"""A protocol as a Parquet file: how galleries are passed on, and read back with everything checked.

One row a query. Scenes are positions in the test split, which is stored beside it in the same order.

    scene          int32             the query's scene
    box            4 x float32       x1 y1 x2 y2, pixels
    person_id      int64
    listed         list of int32     the scenes listed for the query
    truth_entries  list of int32     which entries of `listed` have the person
    truth_boxes    list of 4 x float32   the person's box there

The file's metadata has `version`, and `settings` as JSON: `rest`, the rule for the scenes that are not listed; `pool`,
the positions that belong to the protocol (null for all); and `by_rule`, whether the galleries follow from the
annotation alone (false where it is not said). Positions mean nothing without the scenes that they were made for, so the
metadata also has `scenes`, the fingerprint of the test scenes, and `identities`, the SHA-256 of the identities' labels;
with other scenes a file is refused.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from psbench_data.atomic import new_file
from psbench_data.columns import flat_values, list_offsets, one_chunk
from psbench_data.errors import InputError
from psbench_data.galleries import protocol_table
from psbench_data.parquet_sizes import bytes_in_memory, most_bytes
from psbench_data.protocol import Protocol, Rest
from psbench_data.scenes import Scenes

if TYPE_CHECKING:
    import pyarrow as pa

_REMEDY = "Export the protocol again."


def write_protocol(path: Path, protocol: Protocol) -> None:
    """Write a protocol, atomically."""
    import pyarrow.parquet as pq

    metadata = {
        **(protocol.table.schema.metadata or {}),
        "version": str(protocol.version),
        **_belongs_to(protocol.scenes),
    }
    with new_file(path) as partial:
        pq.write_table(protocol.table.replace_schema_metadata(metadata), partial, compression="zstd")


def protocol_version(path: Path) -> int:
    """The version that a protocol's file states.

    Raises:
        InputError: it is no such file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int((pq.read_schema(path).metadata or {})[b"version"])
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise InputError(f"{path}: not the Parquet file of a protocol ({error}). {_REMEDY}") from error


def read_protocol(path: Path, test: Scenes) -> pa.Table:
    """Read a protocol's table.

    Args:
        path: the file.
        test: the scenes that its positions refer to.

    Raises:
        InputError: listing everything that does not fit.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    empty = np.zeros(0, np.int64)
    expected = protocol_table(empty, np.zeros((0, 4)), empty, [], [], []).schema
    try:
        if (size := bytes_in_memory(path, expected.names)) > (most := most_bytes(path)):
            raise ValueError(f"it would become {size:,} bytes in memory, expected at most {most:,}")
        table = pq.read_table(path, columns=[n for n in pq.read_schema(path).names if n in expected.names])
        metadata = table.schema.metadata or {}
        settings = json.loads(metadata[b"settings"])
        rest, pool, by_rule = settings["rest"], settings["pool"], settings.get("by_rule", False)
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not the Parquet file of a protocol ({error}). {_REMEDY}") from error
    if any(metadata.get(key.encode()) != value.encode() for key, value in _belongs_to(test).items()):
        raise InputError(f"{path}: belongs to other scenes; export it again.")
    if not table.num_rows:
        raise InputError(f"{path}: holds no query. {_REMEDY}")
    faults = [
        f"{path}: column {field.name!r}: expected {field.type}, found "
        f"{table.schema.field(field.name).type if field.name in table.column_names else 'none'}. {_REMEDY}"
        for field in expected
        if field.name not in table.column_names or not _alike(table.schema.field(field.name).type, field.type)
    ]
    if rest not in get_args(Rest):
        faults.append(f"{path}: rest is {rest!r}, expected one of {', '.join(get_args(Rest))}. {_REMEDY}")
    # Truths are whole numbers to Python; numbers beyond 64 bits are none to numpy.
    if pool is not None and not (isinstance(pool, list) and all(type(i) is int and abs(i) < 2**63 for i in pool)):
        faults.append(f"{path}: pool is no list of positions. {_REMEDY}")
    if not isinstance(by_rule, bool):
        faults.append(f"{path}: by_rule is {by_rule!r}, expected true or false. {_REMEDY}")
    if faults:
        raise InputError(faults)
    table = table.select(expected.names).cast(expected).combine_chunks()
    faults = [f"{path}: {fault}. {_REMEDY}" for fault in _misfits(table, pool, test)]
    if faults:
        raise InputError(faults)
    return table.replace_schema_metadata({"settings": json.dumps({"rest": rest, "pool": pool, "by_rule": by_rule})})


def _belongs_to(test: Scenes) -> dict[str, str]:
    """What tells whether positions and person ids are those of these scenes."""
    labels = "\0".join(test.identities)
    return {"scenes": test.fingerprint, "identities": hashlib.sha256(labels.encode()).hexdigest()}


def _alike(found: pa.DataType, expected: pa.DataType) -> bool:
    """Whether the types hold the same: Parquet does not keep how long a list's offsets are."""
    if expected.num_fields and found.num_fields:
        return _alike(found.field(0).type, expected.field(0).type)
    return found == expected


def _has_nulls(values: pa.Array) -> bool:
    """Whether a value is missing, or one in a list, however deep."""
    return bool(values.null_count) or (values.type.num_fields > 0 and _has_nulls(values.flatten()))


def _misfits(table: pa.Table, pool: list[int] | None, test: Scenes) -> list[str]:
    if nulls := [name for name in table.column_names if _has_nulls(one_chunk(table, name))]:
        return [f"column {name!r} has empty fields" for name in nulls]
    faults = []
    listed, entries = list_offsets(table, "listed"), list_offsets(table, "truth_entries")
    owner = np.repeat(np.arange(table.num_rows), np.diff(entries))
    truths = flat_values(table, "truth_entries")
    people = table.column("person_id").to_numpy()
    for what, values, limit in [
        ("scene", table.column("scene").to_numpy(), len(test)),
        ("listed", flat_values(table, "listed"), len(test)),
        ("pool", np.array(pool or [], np.int64), len(test)),
        ("person_id", people, test.num_identities),
    ]:
        if ((values < 0) | (values >= limit)).any():
            faults.append(f"{what} has values from {values.min()} to {values.max()}, expected 0 to {limit - 1}")
    if ((truths < 0) | (truths >= np.diff(listed)[owner])).any():
        faults.append("truth_entries point outside their query's list")
    if not np.array_equal(entries, list_offsets(table, "truth_boxes")):
        faults.append("truth_entries and truth_boxes differ in length")
    for name in ("box", "truth_boxes"):
        boxes = flat_values(table, name).reshape(-1, 4)
        if not (np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all()):
            faults.append(f"{name} holds a box without area")
    return faults
