"""Pieces of a search on disk, and the folder of pairwise predictions that is made of them.

pairs-00000.parquet   a piece: a shard as in the finished folder, which it becomes where all proposals are kept. Its
                      metadata say what it took.
kept-00000.parquet    in the finished folder, the proposals that are kept of all pieces
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, TypeAdapter, ValidationError

from psbench.hardware import device_name
from psbench.inference.pairing import Pairing, Piece
from psbench.inference.search_cost import Part, SearchCost, write_cost
from psbench.inference.sharing import missing
from psbench.pairwise import PairwisePredictions
from psbench.pairwise_folder import pair_schema, pairs_to_table, write_frame, write_pairs
from psbench.processes import this_process
from psbench.shards import floats, list_lengths, shard_of, write_shard
from psbench.tables import read_schema
from psbench_data import InputError
from psbench_data.columns import flat_values
from psbench_data.validation import file_error

_BOXES_AT_ONCE = 2**23
_SECONDS = b"seconds"
_TIMES = TypeAdapter(dict[Part, Annotated[float, Field(ge=0, allow_inf_nan=False)]])


class SceneFound(NamedTuple):
    """What was found in a scene, query after query.

    Attributes:
        counts: (q,) int64, boxes of each query.
        boxes: (n, 4) float32, xyxy, pixels.
        similarities: (n,) float32.
    """

    counts: np.ndarray
    boxes: np.ndarray
    similarities: np.ndarray


def faults(pairing: Pairing, piece: Piece, folder: Path) -> list[str]:
    """Why a piece is not there: sentences, unless its file holds just its pairs, and what they took."""
    path, (queries, scenes) = _path(folder, piece), pairing.keys(piece)
    keys = pa.table({"query": queries, "scene": scenes})
    return missing(path, keys, lambda _: pair_schema()) or untimed(path)


def write_piece(
    pairing: Pairing, piece: Piece, found: Sequence[SceneFound], seconds: dict[Part, float], folder: Path
) -> None:
    """Write what was found in the scenes of a piece.

    Args:
        pairing, piece: what was searched.
        found: scene after scene, each with the queries that are searched in it.
        seconds: that it took, those for the queries being of the whole turn.
        folder: to write into.

    Raises:
        InputError: the model gave what cannot be right.
    """
    turn = pairing.turns[piece.turn]
    queries = turn.pairs[turn.offsets[piece.start] : turn.offsets[piece.stop]]
    predictions = pairing.predictions(
        queries=queries,
        scenes=np.repeat(turn.scenes[piece.start : piece.stop], [len(one.counts) for one in found]),
        counts=np.concatenate([one.counts for one in found]),
        boxes=np.concatenate([one.boxes for one in found]),
        similarities=np.concatenate([one.similarities for one in found]),
    )
    write_timed(pairs_to_table(pairing.kept(predictions), 0, len(queries)), seconds, _path(folder, piece))


def finish(pairing: Pairing, folder: Path) -> None:
    """Make a predictions folder of the pieces, which are all there."""
    pieces = pairing.pieces()
    paths = [_path(folder, piece) for piece in pieces]
    if pairing.keeps_all:
        shards = [shard_of(path) for path in paths]
    else:
        shards = write_pairs(_best(pairing, paths), folder, "kept")
    cost = SearchCost(
        hardware=device_name(this_process().device),
        queries=len(pairing.query_scenes),
        scenes=sum(len(turn.scenes) for turn in pairing.turns),
        pairs=pairing.count,
        seconds=_seconds(pieces, paths),
    )
    write_cost(cost, folder)
    write_frame(pairing.predictions(), folder, shards)


def write_timed(table: pa.Table, seconds: dict[Part, float], path: Path) -> None:
    """Write a piece together with what it took."""
    write_shard(table.replace_schema_metadata({_SECONDS: json.dumps(seconds)}), path)


def seconds_of(path: Path) -> dict[Part, float]:
    """What a piece took.

    Raises:
        InputError: it does not say.
    """
    try:
        return _TIMES.validate_json((read_schema(path).metadata or {}).get(_SECONDS, b""))
    except ValidationError as error:
        raise file_error(f"{path}, its seconds", error, "Start the same prediction again.") from None


def untimed(path: Path) -> list[str]:
    """That a piece does not say what it took."""
    try:
        seconds_of(path)
    except InputError as error:
        return error.faults
    return []


def _seconds(pieces: Sequence[Piece], paths: Sequence[Path]) -> dict[Part, float]:
    """Of all pieces; of the queries' encoding, which every process does for itself, the mean, summed over the turns."""
    total: dict[Part, float] = {"query": 0.0, "scenes": 0.0, "pairs": 0.0}
    turns = Counter(piece.turn for piece in pieces)
    for piece, path in zip(pieces, paths, strict=True):
        for part, seconds in seconds_of(path).items():
            total[part] += seconds / turns[piece.turn] if part == "query" else seconds
    return total


def _best(pairing: Pairing, paths: Iterable[Path]) -> PairwisePredictions:
    """The best proposals of each query over all pieces, read as far as they fit beside the best until then.

    Pieces come in the order of their scenes, so that between equals the first in the end is the first here.
    """
    best, waiting, count = pairing.predictions(), list[pa.Table](), 0
    for path in paths:
        with pq.ParquetFile(path) as file:
            waiting.append(file.read())
        count += int(list_lengths(waiting[-1], "similarities").sum())
        if count > max(_BOXES_AT_ONCE, len(best.boxes)):
            best, waiting, count = pairing.kept(_joined(best, waiting)), [], 0
    return pairing.kept(_joined(best, waiting))


def _joined(best: PairwisePredictions, tables: list[pa.Table]) -> PairwisePredictions:
    counts = [best.counts, *(list_lengths(table, "similarities") for table in tables)]
    return replace(
        best,
        pair_queries=np.concatenate([best.pair_queries, *(flat_values(table, "query") for table in tables)]),
        pair_scenes=np.concatenate([best.pair_scenes, *(flat_values(table, "scene") for table in tables)]),
        offsets=np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts])),
        boxes=np.concatenate([best.boxes, floats(tables, "boxes").reshape(-1, 4)]),
        similarities=np.concatenate([best.similarities, floats(tables, "similarities")]),
    ).by_query()


def _path(folder: Path, piece: Piece) -> Path:
    return folder / f"pairs-{piece.number:05d}.parquet"
