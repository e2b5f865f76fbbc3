"""Predictions folders with mistakes in them, and what is said of them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psbench import InputError
from psbench.leaderboard import validate

SHARD = "scenes-00000.parquet"


def faults_of(folder: Path, *arguments: object, **options: object) -> list[str]:
    """Of a folder that has some."""
    with pytest.raises(InputError) as error:
        validate(folder, *arguments, **options)  # type: ignore[arg-type]
    return error.value.faults


def rewrite(folder: Path, change: Callable[[dict[str, list]], None], file: str = SHARD, **options: object) -> None:
    """Change a shard's columns, and the manifest with it, as an honest writer's mistake would."""
    table = pq.read_table(folder / file)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    change(columns)
    types = {field.name: field.type for field in table.schema}
    replace(
        folder, pa.table({name: pa.array(column, types[name]) for name, column in columns.items()}), file, **options
    )


def replace(folder: Path, table: pa.Table, file: str = SHARD, **options: object) -> None:
    """Write another table in a shard's place, and the manifest with it."""
    pq.write_table(table, folder / file, **options)
    manifest = json.loads((folder / "manifest.json").read_text())
    for shard in [*manifest["scenes"], manifest["queries"]]:
        if shard["file"] == file:
            digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
            shard |= {"sha256": digest, "rows": table.num_rows}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edit_manifest(folder: Path, **changes: object) -> None:
    """Change fields of the manifest."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
