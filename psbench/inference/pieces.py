"""Pieces on disk: the folder of predictions from its beginning to the manifest that finishes it.

work.json              what the pieces belong to, see `Record`
scenes-00000.parquet   a piece of scenes, already a shard of the finished folder
queries-00000.parquet  a piece of queries
context-00000.parquet  its context, if asked for: the queries' keys beside the columns of context.parquet

Each file appears whole or not at all. In the end, queries and context are put together, and what the manifest does not
name is removed: what is left is described in `psbench.predictions_folder`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import ValidationError
from torch import Tensor

from psbench.inference.work import Piece, Record, Work
from psbench.predictions import Predictions
from psbench.predictions_folder import Manifest, context_to_table, queries_to_table, scenes_to_table
from psbench.shards import WORK, Shard, query_columns, shard_of, write_manifest, write_shard, write_tables
from psbench.zoo import Detections
from psbench_data import InputError, PersonSearchDataset
from psbench_data.atomic import new_folder
from psbench_data.validation import file_error

_REMEDY = "Give another folder, or remove this one first."
_KEYS = ["scene", "box"]


class Found(NamedTuple):
    """What a model found for a row of a piece.

    Attributes:
        detections: of the scene, or of the query's scene for its context; None without one.
        embedding: (D,) of the query, None for a scene.
    """

    detections: Detections | None
    embedding: Tensor | None = None


def begin(work: Work, record: Record, folder: Path) -> list[Piece]:
    """Begin a folder, or find out what is there of it.

    Returns:
        The pieces that are to be made.

    Raises:
        InputError: there is something else at `folder`.
    """
    if (folder / WORK).is_file():
        _require_same(record, folder)
    else:
        with new_folder(folder) as partial:
            (partial / WORK).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return [piece for piece in work.pieces() if _faults(work, piece, folder)]


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


def finish(work: Work, folder: Path, *, dataset: PersonSearchDataset, method: str) -> None:
    """Make a predictions folder of the pieces, once every scene and every query is there; one piece is in memory.

    Raises:
        InputError: naming the pieces that are not there, or damaged.
    """
    if faults := [fault for piece in work.pieces() for fault in _faults(work, piece, folder)]:
        raise InputError(faults)
    manifest = Manifest(
        method=method,
        dataset=dataset.name,
        fingerprint=work.scenes.fingerprint,
        synthetic=dataset.synthetic,
        embedding_dim=pq.read_schema(_paths(work, folder, "queries")[0]).field("embedding").type.list_size,
        scenes=[shard_of(path) for path in _paths(work, folder, "scenes")],
        queries=_joined(_paths(work, folder, "queries"), folder / "queries.parquet", []),
        context=_joined(_paths(work, folder, "context"), folder / "context.parquet", _KEYS) if work.context else None,
    )
    write_manifest(manifest, folder)
    # Also what processes left that were killed while they wrote.
    for path in [*_paths(work, folder, "queries"), *_paths(work, folder, "context"), *folder.glob(".*.parquet")]:
        path.unlink(missing_ok=True)
    (folder / WORK).unlink()


def _require_same(record: Record, folder: Path) -> None:
    path = folder / WORK
    try:
        begun = Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise file_error(path, error, _REMEDY) from None
    if others := [name for name, value in begun if value != getattr(record, name)]:
        raise InputError(f"{folder}: holds the beginning of other predictions ({', '.join(others)} differ). {_REMEDY}")


def _faults(work: Work, piece: Piece, folder: Path) -> list[str]:
    """Why a piece is not there: a sentence for each of its files that does not hold just its scenes or queries."""
    if piece.kind == "scenes":
        keys = pa.table({"scene": pa.array(work.names(piece), pa.string())})
        files = ["scenes"]
    else:
        columns = query_columns(piece.stop - piece.start, work.names(piece), work.boxes(piece))
        keys = pa.Table.from_arrays(columns, names=_KEYS)
        files = ["queries", "context"] if work.context else ["queries"]
    paths = [_path(folder, name, piece) for name in files]
    remedy = "Start the same prediction again, in a folder that all its processes see: it makes what is missing."
    return [f"{path}: {what}. {remedy}" for path in paths if (what := _damage(path, keys))]


def _damage(path: Path, keys: pa.Table) -> str | None:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
    except FileNotFoundError:
        return "not there"
    except (pa.ArrowException, OSError) as error:
        return f"not a readable Parquet file ({error})"
    names = keys.schema.names
    same = set(names) <= set(table.schema.names) and table.select(names).equals(keys)
    return None if same else f"holds other rows than those {keys.num_rows} that belong there"


def _path(folder: Path, name: str, piece: Piece) -> Path:
    return folder / f"{name}-{piece.number:05d}.parquet"


def _paths(work: Work, folder: Path, name: str) -> list[Path]:
    """The files of all pieces, in order."""
    kind = "scenes" if name == "scenes" else "queries"
    return [_path(folder, name, piece) for piece in sorted(work.pieces()) if piece.kind == kind]


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
