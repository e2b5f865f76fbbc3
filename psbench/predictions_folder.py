"""Predictions on disk: Parquet shards and a manifest. Plain data, readable without psbench, never executed.

manifest.json          schema_version (1), method, dataset, fingerprint, synthetic, embedding_dim (D), and the shards:
                       scenes (a list), queries, context (or null); each has file, rows, sha256
scenes-00000.parquet   one row a scene: scene string, boxes list<float[4]>, scores list<float>,
                       embeddings list<float[D]>
queries.parquet        one row a query: scene string or null, box float[4] or null, embedding float[D]
context.parquet        optional, for CBGM, one row a query: boxes, scores and embeddings as in a scene, the detections
                       of the query's scene, its own box first
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from psbench.predictions import Predictions, QueryContext
from psbench_data import InputError
from psbench_data.atomic import new_folder
from psbench_data.columns import flat_values, lists, vectors
from psbench_data.validation import file_error

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
_SCENES_PER_SHARD = 4096
_CONTEXT = "context.parquet"


class Shard(BaseModel):
    """A Parquet file of the folder."""

    model_config = ConfigDict(extra="forbid")

    file: str = Field(pattern=r"^[a-z0-9-]+\.parquet$")
    rows: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What manifest.json holds."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int
    method: str
    dataset: str
    fingerprint: str
    synthetic: bool
    embedding_dim: int = Field(ge=1)
    scenes: list[Shard]
    queries: Shard
    context: Shard | None = None


def write(predictions: Predictions, folder: Path) -> Path:
    """Write a folder that `read` takes; see `Predictions.save`."""
    with new_folder(folder) as partial:
        write_into(predictions, partial)
    return folder


def write_into(predictions: Predictions, partial: Path) -> None:
    """Write the files of a predictions folder into a folder that is there."""
    shards: list[Shard] = []
    for start in range(0, len(predictions.scene_names), _SCENES_PER_SHARD):
        stop = min(start + _SCENES_PER_SHARD, len(predictions.scene_names))
        path = partial / f"scenes-{len(shards):05d}.parquet"
        shards.append(_write_shard(_scenes_to_table(predictions, start, stop), path))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        method=predictions.method,
        dataset=predictions.dataset,
        fingerprint=predictions.fingerprint,
        synthetic=predictions.synthetic,
        embedding_dim=predictions.query_embeddings.shape[1],
        scenes=shards,
        queries=_write_shard(_queries_to_table(predictions), partial / "queries.parquet"),
        context=None
        if predictions.context is None
        else _write_shard(_context_to_table(predictions.context), partial / _CONTEXT),
    )
    (partial / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> Predictions:
    """Read a folder; see `Predictions.load`."""
    manifest = _read_manifest(folder)
    shards = [*manifest.scenes, manifest.queries, *([manifest.context] if manifest.context else [])]
    if faults := [fault for shard in shards for fault in _file_faults(folder, shard)]:
        raise InputError(faults)
    dim = manifest.embedding_dim
    scenes = [_read_detections(folder, shard, dim, named=True) for shard in manifest.scenes]
    queries = _read_shard(folder / manifest.queries.file, _query_schema(dim), manifest.queries.rows)
    context = _read_detections(folder, manifest.context, dim, named=False) if manifest.context else None
    keyed = queries.column("scene").null_count < queries.num_rows
    if faults := _query_faults(folder / manifest.queries.file, queries, keyed):
        raise InputError(faults)
    predictions = Predictions(
        scene_names=[name for table in scenes for name in table.column("scene").to_pylist()],
        **_detections(scenes, dim),
        query_embeddings=_values([queries], "embedding").reshape(-1, dim),
        query_scenes=queries.column("scene").to_pylist() if keyed else None,
        query_boxes=_values([queries], "box").reshape(-1, 4) if keyed else None,
        context=None if context is None else QueryContext(**_detections([context], dim)),
        method=manifest.method,
        dataset=manifest.dataset,
        fingerprint=manifest.fingerprint,
        synthetic=manifest.synthetic,
    )
    starts = np.cumsum([0, *(shard.rows for shard in manifest.scenes)])

    def at_scene(scene: int) -> str:
        shard = int(np.searchsorted(starts, scene, side="right")) - 1
        row = f"row {scene - starts[shard]} (scene {predictions.scene_names[scene]!r})"
        return f"{folder / manifest.scenes[shard].file}: {row}"

    faults = [f"{folder}: {fault}" for fault in predictions.shape_faults()]
    faults = faults or list(
        predictions.value_faults(at_scene, lambda query: f"{folder / manifest.queries.file}: row {query}")
    )
    if faults:
        raise InputError(faults)
    return predictions


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{path}: not there, so {folder} is not a predictions folder. Give one that `psbench predict` wrote."
        )
    try:
        written = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}). Write the folder again.") from None
    version = written.get("schema_version") if isinstance(written, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema version {version}, while this psbench reads {SCHEMA_VERSION}. "
            "Write the folder again with this version, or install the one that wrote it."
        )
    try:
        return Manifest.model_validate(written)
    except ValidationError as error:
        raise file_error(path, error, "Write the folder again.") from None


def _file_faults(folder: Path, shard: Shard) -> list[str]:
    path = folder / shard.file
    if path.is_symlink() or not path.is_file():
        return [f"{path}: named in {MANIFEST} and not there as a file. Copy the folder again in full."]
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != shard.sha256:
            return [f"{path}: its SHA-256 is not the one in {MANIFEST}. Copy the folder again, or write it again."]
    return []


def _read_shard(path: Path, schema: pa.Schema, rows: int) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read().combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error}). Write the folder again.") from error
    try:
        table = table.select(schema.names).cast(schema)
    except (KeyError, pa.ArrowException) as error:
        found = ", ".join(f"{f.name}: {f.type}" for f in table.schema)
        expected = ", ".join(f"{f.name}: {f.type}" for f in schema)
        raise InputError(f"{path}: expected the columns ({expected}), found ({found}). Write it so.") from error
    if table.num_rows != rows:
        raise InputError(f"{path}: {table.num_rows} rows, while {MANIFEST} says {rows}. Write the folder again.")
    return table


def _read_detections(folder: Path, shard: Shard, dim: int, *, named: bool) -> pa.Table:
    """A shard with one list of detections a row; each row has as many boxes as scores and embeddings."""
    table = _read_shard(folder / shard.file, _detection_schema(dim, named=named), shard.rows)
    counts = {column: _lengths(table, column) for column in ("boxes", "scores", "embeddings")}
    unequal = (counts["boxes"] != counts["scores"]) | (counts["embeddings"] != counts["scores"])
    faults = [
        f"{folder / shard.file}: row {row}: {name} is missing. Give an empty list where there are no detections."
        for name in table.column_names
        for row in np.flatnonzero(table.column(name).is_null().to_numpy())
    ]
    faults = faults or [
        f"{folder / shard.file}: row {row}: {', '.join(f'{c[row]} {name}' for name, c in counts.items())}. "
        "Give as many of each."
        for row in np.flatnonzero(unequal)
    ]
    if faults:
        raise InputError(faults)
    return table


def _query_faults(path: Path, queries: pa.Table, keyed: bool) -> list[str]:
    required = ["embedding", "scene", "box"] if keyed else ["embedding"]
    return [
        f"{path}: row {row}: {name} is missing. Give it in every row (scene and box in every row, or in none)."
        for name in required
        for row in np.flatnonzero(queries.column(name).is_null().to_numpy())
    ]


def _detections(tables: list[pa.Table], dim: int) -> dict[str, np.ndarray]:
    counts = np.concatenate([np.zeros(1, np.int64), *(_lengths(table, "scores") for table in tables)])
    return {
        "offsets": np.cumsum(counts),
        "boxes": _values(tables, "boxes").reshape(-1, 4),
        "scores": _values(tables, "scores"),
        "embeddings": _values(tables, "embeddings").reshape(-1, dim),
    }


def _detection_schema(dim: int, *, named: bool) -> pa.Schema:
    import pyarrow as pa

    name = {"scene": pa.string()} if named else {}
    return pa.schema(
        {
            **name,
            "boxes": pa.large_list(pa.list_(pa.float32(), 4)),
            "scores": pa.large_list(pa.float32()),
            "embeddings": pa.large_list(pa.list_(pa.float32(), dim)),
        }
    )


def _query_schema(dim: int) -> pa.Schema:
    import pyarrow as pa

    return pa.schema({"scene": pa.string(), "box": pa.list_(pa.float32(), 4), "embedding": pa.list_(pa.float32(), dim)})


def _scenes_to_table(predictions: Predictions, start: int, stop: int) -> pa.Table:
    import pyarrow as pa

    columns = [pa.array(predictions.scene_names[start:stop], pa.string()), *_detection_lists(predictions, start, stop)]
    return pa.Table.from_arrays(columns, schema=_detection_schema(predictions.embeddings.shape[1], named=True))


def _context_to_table(context: QueryContext) -> pa.Table:
    import pyarrow as pa

    columns = _detection_lists(context, 0, len(context.offsets) - 1)
    return pa.Table.from_arrays(columns, schema=_detection_schema(context.embeddings.shape[1], named=False))


def _detection_lists(columns: Predictions | QueryContext, start: int, stop: int) -> list[pa.Array]:
    rows = slice(columns.offsets[start], columns.offsets[stop])
    offsets = columns.offsets[start : stop + 1] - columns.offsets[start]
    return [
        lists(offsets, vectors(columns.boxes[rows])),
        lists(offsets, columns.scores[rows]),
        lists(offsets, vectors(columns.embeddings[rows])),
    ]


def _queries_to_table(predictions: Predictions) -> pa.Table:
    import pyarrow as pa

    q, dim = predictions.query_embeddings.shape
    scenes, boxes = predictions.query_scenes, predictions.query_boxes
    columns = [
        pa.nulls(q, pa.string()) if scenes is None else pa.array(scenes, pa.string()),
        pa.nulls(q, pa.list_(pa.float32(), 4)) if boxes is None else vectors(boxes),
        vectors(predictions.query_embeddings),
    ]
    return pa.Table.from_arrays(columns, schema=_query_schema(dim))


def _write_shard(table: pa.Table, path: Path) -> Shard:
    import pyarrow.parquet as pq

    pq.write_table(table, path)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Shard(file=path.name, rows=table.num_rows, sha256=digest)


def _lengths(table: pa.Table, column: str) -> np.ndarray:
    import pyarrow.compute as pc

    return pc.fill_null(pc.list_value_length(table.column(column)), 0).to_numpy().astype(np.int64)


def _values(tables: list[pa.Table], column: str) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *(flat_values(table, column) for table in tables)])
