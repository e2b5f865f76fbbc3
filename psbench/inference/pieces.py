"""Pieces of a prediction on disk, and the folder of predictions that is made of them.

scenes-00000.parquet   a piece of scenes, already a shard of the finished folder
queries-00000.parquet  a piece of queries
context-00000.parquet  its context, if asked for: the queries' keys beside the columns of context.parquet

In the end, queries and context are put together into the files that `psbench.predictions_folder` describes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from psbench.inference.sharing import Form, embedding_length, missing
from psbench.inference.work import Piece, Work
from psbench.predictions import Predictions
from psbench.predictions_folder import (
    Manifest,
    context_to_table,
    detection_schema,
    queries_to_table,
    query_schema,
    scenes_to_table,
)
from psbench.shards import Shard, query_columns, shard_of, write_manifest, write_shard, write_tables
from psbench.zoo import Detections

_KEYS = ["scene", "box"]


class Found(NamedTuple):
    """What a model found for a row of a piece.

    Attributes:
        detections: of the scene, or of the query's scene for its context; None without one.
        embedding: (D,) of the query, None for a scene.
    """

    detections: Detections | None
    embedding: Tensor | None = None


def faults(work: Work, piece: Piece, folder: Path) -> list[str]:
    """Why a piece is not there: a sentence for each of its files that does not hold just its scenes or queries."""
    if piece.kind == "scenes":
        keys = pa.table({"scene": pa.array(work.names(piece), pa.string())})
        return missing(_path(folder, "scenes", piece), keys, partial(detection_schema, named=True))
    columns = query_columns(piece.stop - piece.start, work.names(piece), work.boxes(piece))
    keys = pa.Table.from_arrays(columns, names=_KEYS)
    forms: dict[str, Form] = {"queries": query_schema, "context": _context_schema}
    files = list(forms) if work.context else ["queries"]
    return [fault for name in files for fault in missing(_path(folder, name, piece), keys, forms[name])]


def write_piece(work: Work, piece: Piece, found: Sequence[Found], folder: Path) -> None:
    """Write what was found for the rows of a piece.

    Raises:
        InputError: the model gave what cannot be right.
    """
    if piece.kind == "scenes":
        write_shard(_scenes_table(work, piece, found), _path(folder, "scenes", piece))
        return
    queries, context = _query_tables(work, piece, found)
    if context is not None:
        write_shard(context, _path(folder, "context", piece))
    write_shard(queries, _path(folder, "queries", piece))


def finish(work: Work, folder: Path, *, dataset: str, synthetic: bool, method: str) -> None:
    """Make a predictions folder of the pieces, which are all there; one piece is in memory."""
    dim = found_length(work, folder)
    manifest = Manifest(
        method=method,
        dataset=dataset,
        fingerprint=work.scenes.fingerprint,
        synthetic=synthetic,
        embedding_dim=dim,
        scenes=[shard_of(path) for path in _paths(work, folder, "scenes")],
        queries=_queries_shard(work, folder, dim),
        context=_joined(_paths(work, folder, "context"), folder / "context.parquet", _KEYS) if work.context else None,
    )
    write_manifest(manifest, folder)


def found_length(work: Work, folder: Path) -> int:
    """How many numbers embed a person that was found, in the pieces."""
    return embedding_length(_paths(work, folder, "scenes")[0])


def query_length(work: Work, folder: Path) -> int | None:
    """How many numbers embed a query; None if there are no queries."""
    paths = _paths(work, folder, "queries")
    return embedding_length(paths[0]) if paths else None


def _context_schema(dim: int) -> pa.Schema:
    keys = query_schema(dim)
    return pa.schema([*(keys.field(name) for name in _KEYS), *detection_schema(dim, named=False)])


def _path(folder: Path, name: str, piece: Piece) -> Path:
    return folder / f"{name}-{piece.number:05d}.parquet"


def _paths(work: Work, folder: Path, name: str) -> list[Path]:
    """The files of all pieces, in order."""
    kind = "scenes" if name == "scenes" else "queries"
    return [_path(folder, name, piece) for piece in sorted(work.pieces()) if piece.kind == kind]


def _queries_shard(work: Work, folder: Path, dim: int) -> Shard:
    path = folder / "queries.parquet"
    if work.query_scenes:
        return _joined(_paths(work, folder, "queries"), path, [])
    nothing, vectors = np.zeros((0, 4)), np.zeros((0, dim))
    none = Predictions.from_arrays(
        [], counts=[], boxes=nothing, scores=[], embeddings=vectors, query_embeddings=vectors
    )
    return write_shard(queries_to_table(none), path)


def _joined(paths: list[Path], path: Path, without: list[str]) -> Shard:
    schema = pq.read_schema(paths[0])
    names = [name for name in schema.names if name not in without]

    def tables() -> Iterator[pa.Table]:
        for one in paths:
            with pq.ParquetFile(one) as file:
                yield file.read(names)

    return write_tables(tables(), pa.schema([schema.field(name) for name in names]), path)


def _scenes_table(work: Work, piece: Piece, found: Sequence[Found]) -> pa.Table:
    columns = _columns(found)
    no_queries = np.zeros((0, columns["embeddings"].shape[1]), np.float32)
    scenes = Predictions.from_arrays(work.names(piece), **columns, query_embeddings=no_queries)
    return scenes_to_table(scenes, 0, len(found))


def _query_tables(work: Work, piece: Piece, found: Sequence[Found]) -> tuple[pa.Table, pa.Table | None]:
    embeddings = torch.stack([one.embedding for one in found if one.embedding is not None])
    predictions = Predictions.from_arrays(
        [],
        counts=[],
        boxes=np.zeros((0, 4)),
        scores=[],
        embeddings=np.zeros((0, embeddings.shape[1])),
        query_embeddings=embeddings,
        query_scenes=work.names(piece),
        query_boxes=work.boxes(piece),
        context=_columns(found) if work.context else None,
    )
    queries = queries_to_table(predictions)
    if predictions.context is None:
        return queries, None
    context = context_to_table(predictions.context)
    for place, key in enumerate(_KEYS):
        context = context.add_column(place, queries.schema.field(key), queries.column(key))
    return queries, context


def _columns(found: Sequence[Found]) -> dict[str, Any]:
    detections = [one.detections for one in found if one.detections is not None]
    return {
        "counts": [len(d.scores) for d in detections],
        "boxes": torch.cat([d.boxes for d in detections]).numpy(),
        "scores": torch.cat([d.scores for d in detections]).numpy(),
        "embeddings": torch.cat([d.embeddings for d in detections]).numpy(),
    }
