"""Predictions on disk: Parquet shards and a manifest. Plain data, readable without psbench, never executed.

manifest.json          schema_version (1), kind ("detections", the default), method, dataset, fingerprint, synthetic,
                       embedding_dim (D), unit_length (default false), and the shards: scenes (a list), queries,
                       context (or null); each has file, rows, sha256
scenes-00000.parquet   one row a scene: scene string, boxes list<float[4]>, scores list<float>,
                       embeddings list<float[D]>
queries.parquet        one row a query: scene string or null, box float[4] or null, embedding float[D]
context.parquet        optional, for CBGM, one row a query: boxes, scores and embeddings as in a scene, the detections
                       of the query's scene, its own box first
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from psbench.intake import Intake
from psbench.predictions import Predictions, QueryContext
from psbench.shards import (
    FolderManifest,
    RowPlaces,
    Shard,
    Taken,
    distinct_files,
    floats,
    list_lengths,
    query_box_type,
    query_columns,
    query_keys,
    read_manifest,
    read_shard,
    rows_complete,
    write_manifest,
    write_shard,
)
from psbench_data.atomic import new_folder
from psbench_data.columns import flat_values, lists, vectors

if TYPE_CHECKING:
    import pyarrow as pa

_SCENES_PER_SHARD = 4096
_LISTS = ["boxes", "scores", "embeddings"]


class Manifest(FolderManifest):
    """What manifest.json holds."""

    kind: Literal["detections"] = "detections"
    embedding_dim: int = Field(ge=1, le=2**20)
    unit_length: bool = False
    scenes: Annotated[list[Shard], AfterValidator(distinct_files)]
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
        shards.append(write_shard(scenes_to_table(predictions, start, stop), path))
    queries, context = queries_to_table(predictions), predictions.context
    manifest = Manifest(
        method=predictions.method,
        dataset=predictions.dataset,
        fingerprint=predictions.fingerprint,
        synthetic=predictions.synthetic,
        embedding_dim=predictions.query_embeddings.shape[1],
        unit_length=predictions.unit_length,
        scenes=shards,
        queries=write_shard(queries, partial / "queries.parquet"),
        context=None if context is None else write_shard(context_to_table(context), partial / "context.parquet"),
    )
    write_manifest(manifest, partial)


def read(folder: Path) -> Predictions:
    """Read a folder; see `Predictions.load`."""
    intake = Intake(str(folder))
    taken = take(folder, intake)
    intake.raise_faults()
    return taken.predictions


def take(folder: Path, intake: Intake) -> Taken:
    """What can be read of a folder; raises InputError only if its manifest cannot."""
    manifest = read_manifest(folder, Manifest)
    dim = manifest.embedding_dim
    scenes, shards = _Gathered(), []
    for shard in manifest.scenes:
        if (table := _read_detections(folder, shard, dim, intake, named=True)) is not None:
            scenes.add(table)
            shards.append(shard)
    places = RowPlaces(folder, shards)
    faults = len(intake)
    queries = _read_queries(folder, manifest, intake)
    queries_taken = len(intake) == faults
    context = manifest.context and _read_detections(folder, manifest.context, dim, intake, named=False)
    columns: dict[str, Any] = {
        "scene_names": scenes.names,
        **scenes.columns(dim),
        **queries,
        "context": None if context is None else QueryContext(**_Gathered(context).columns(dim)),
    }
    predictions = Predictions(
        **columns,
        method=manifest.method,
        dataset=manifest.dataset,
        fingerprint=manifest.fingerprint,
        synthetic=manifest.synthetic,
        unit_length=manifest.unit_length,
    )
    taken = Taken(
        predictions,
        at_scene=lambda scene: f"{places.of(scene)} (scene {predictions.scene_names[scene]!r})",
        at_query=lambda query: f"{folder / manifest.queries.file}: row {query}",
        at_pair=None,
        scenes_taken=len(shards) == len(manifest.scenes),
        queries_taken=queries_taken,
    )
    predictions.find_faults(intake, taken.at_scene, taken.at_query)
    return taken


def count_people(folder: Path) -> tuple[int, int]:
    """How many people were detected, and in how many scenes; little of the folder is read for it."""
    import pyarrow.parquet as pq

    shards = read_manifest(folder, Manifest).scenes
    people = (list_lengths(pq.read_table(folder / s.file, columns=["scores"]), "scores").sum() for s in shards)
    return int(sum(people)), sum(shard.rows for shard in shards)


def _read_detections(folder: Path, shard: Shard, dim: int, intake: Intake, *, named: bool) -> pa.Table | None:
    """A shard with one list of detections a row; None, with the reason noted, if its rows are not complete."""
    table = read_shard(folder, shard, detection_schema(dim, named=named), intake)
    others = ["scene"] if named else []
    return table if table is not None and rows_complete(folder / shard.file, table, _LISTS, others, intake) else None


def _read_queries(folder: Path, manifest: Manifest, intake: Intake) -> dict[str, Any]:
    path, dim = folder / manifest.queries.file, manifest.embedding_dim
    table = read_shard(folder, manifest.queries, query_schema(dim), intake)
    if table is None:
        return {"query_embeddings": None, "query_scenes": None, "query_boxes": None}
    whole = rows_complete(path, table, [], ["embedding"], intake)
    scenes, boxes = query_keys(path, table, intake)
    return {
        "query_embeddings": floats([table], "embedding").reshape(-1, dim) if whole else None,
        "query_scenes": scenes,
        "query_boxes": boxes,
    }


class _Gathered:
    """The detections of shards, one after the other; beside them, no more than one shard need be in memory.

    Attributes:
        names: of the scenes; empty for a context.
    """

    def __init__(self, *tables: pa.Table) -> None:
        self.names: list[str] = []
        self._counts = [np.zeros(1, np.int64)]
        self._values = {name: np.zeros(0, np.float32) for name in _LISTS}
        for table in tables:
            self.add(table)

    def add(self, table: pa.Table) -> None:
        """Append a shard's rows."""
        if "scene" in table.column_names:
            self.names += table.column("scene").to_pylist()
        self._counts.append(list_lengths(table, "scores"))
        for name, column in self._values.items():
            values, start = flat_values(table, name), len(column)
            # In place: putting all shards together in the end would take their memory twice.
            column.resize(start + len(values), refcheck=False)
            column[start:] = values

    def columns(self, dim: int) -> dict[str, np.ndarray]:
        """As `Predictions` and `QueryContext` have them."""
        return {
            "offsets": np.cumsum(np.concatenate(self._counts)),
            "boxes": self._values["boxes"].reshape(-1, 4),
            "scores": self._values["scores"],
            "embeddings": self._values["embeddings"].reshape(-1, dim),
        }


def detection_schema(dim: int, *, named: bool) -> pa.Schema:
    """The columns of scenes, or of a context, which has no names."""
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


def query_schema(dim: int) -> pa.Schema:
    """The columns of queries."""
    import pyarrow as pa

    return pa.schema({"scene": pa.string(), "box": query_box_type(), "embedding": pa.list_(pa.float32(), dim)})


def scenes_to_table(predictions: Predictions, start: int, stop: int) -> pa.Table:
    """Some scenes as the rows of a shard."""
    import pyarrow as pa

    columns = [pa.array(predictions.scene_names[start:stop], pa.string()), *_detection_lists(predictions, start, stop)]
    return pa.Table.from_arrays(columns, schema=detection_schema(predictions.embeddings.shape[1], named=True))


def context_to_table(context: QueryContext) -> pa.Table:
    """The rows of context.parquet."""
    import pyarrow as pa

    columns = _detection_lists(context, 0, len(context.offsets) - 1)
    return pa.Table.from_arrays(columns, schema=detection_schema(context.embeddings.shape[1], named=False))


def _detection_lists(columns: Predictions | QueryContext, start: int, stop: int) -> list[pa.Array]:
    rows = slice(columns.offsets[start], columns.offsets[stop])
    offsets = columns.offsets[start : stop + 1] - columns.offsets[start]
    return [
        lists(offsets, vectors(columns.boxes[rows])),
        lists(offsets, columns.scores[rows]),
        lists(offsets, vectors(columns.embeddings[rows])),
    ]


def queries_to_table(predictions: Predictions) -> pa.Table:
    """The rows of queries.parquet."""
    import pyarrow as pa

    count, dim = predictions.query_embeddings.shape
    keys = query_columns(count, predictions.query_scenes, predictions.query_boxes)
    return pa.Table.from_arrays([*keys, vectors(predictions.query_embeddings)], schema=query_schema(dim))
