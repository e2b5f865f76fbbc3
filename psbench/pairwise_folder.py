"""Pairwise predictions on disk: Parquet shards and a manifest. Plain data, readable without psbench, never executed.

manifest.json         schema_version (1), kind ("pairwise"), method, dataset, fingerprint, synthetic, and the shards:
                      scenes, queries, pairs (a list); each has file, rows, sha256
scenes.parquet        one row a scene: scene string
queries.parquet       one row a query: scene string or null, box float[4] or null
pairs-00000.parquet   one row a pair that was searched: query int32 (row of queries.parquet), scene int32 (row of
                      scenes.parquet), boxes list<float[4]>, similarities list<float>, proposal_similarities list<float>
                      (null in every row if there are none)
cost.json             optional, what a search took, see `psbench.inference.search_cost`
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator

from psbench.intake import Intake
from psbench.pairwise import PairwisePredictions
from psbench.pairwise_checks import find_faults
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

_PAIRS_PER_SHARD = 2**20
_PROPOSAL = "proposal_similarities"


class Manifest(FolderManifest):
    """What manifest.json holds."""

    kind: Literal["pairwise"] = "pairwise"
    scenes: Shard
    queries: Shard
    pairs: Annotated[list[Shard], AfterValidator(distinct_files)]


def write(predictions: PairwisePredictions, folder: Path) -> Path:
    """Write a folder that `read` takes; see `PairwisePredictions.save`."""
    with new_folder(folder) as partial:
        write_into(predictions, partial)
    return folder


def write_into(predictions: PairwisePredictions, partial: Path) -> None:
    """Write the files of a predictions folder into a folder that is there."""
    write_frame(predictions, partial, write_pairs(predictions, partial))


def write_pairs(predictions: PairwisePredictions, partial: Path, name: str = "pairs") -> list[Shard]:
    """Write the pairs into a folder, as files whose names begin so, and give the manifest's lines about them."""
    shards: list[Shard] = []
    for start in range(0, len(predictions.pair_queries), _PAIRS_PER_SHARD):
        stop = min(start + _PAIRS_PER_SHARD, len(predictions.pair_queries))
        path = partial / f"{name}-{len(shards):05d}.parquet"
        shards.append(write_shard(pairs_to_table(predictions, start, stop), path))
    return shards


def write_frame(predictions: PairwisePredictions, partial: Path, pairs: list[Shard]) -> None:
    """Write all but the pairs, whose files are there and need not be in the predictions; the manifest last."""
    import pyarrow as pa

    scenes = pa.Table.from_arrays([pa.array(predictions.scene_names, pa.string())], schema=_scene_schema())
    keys = query_columns(predictions.num_queries, predictions.query_scenes, predictions.query_boxes)
    manifest = Manifest(
        method=predictions.method,
        dataset=predictions.dataset,
        fingerprint=predictions.fingerprint,
        synthetic=predictions.synthetic,
        scenes=write_shard(scenes, partial / "scenes.parquet"),
        queries=write_shard(pa.Table.from_arrays(keys, schema=query_schema()), partial / "queries.parquet"),
        pairs=pairs,
    )
    write_manifest(manifest, partial)


def read(folder: Path) -> PairwisePredictions:
    """Read a folder; see `PairwisePredictions.load`."""
    intake = Intake(str(folder))
    taken = take(folder, intake)
    intake.raise_faults()
    return taken.predictions.by_query()


def take(folder: Path, intake: Intake) -> Taken:
    """What can be read of a folder, pairs as they come; raises InputError only if its manifest cannot."""
    manifest = read_manifest(folder, Manifest)
    tables = [_read_pairs(folder, shard, intake) for shard in manifest.pairs]
    taken_shards = [shard for shard, table in zip(manifest.pairs, tables, strict=True) if table is not None]
    pairs = RowPlaces(folder, taken_shards)
    names = _read_names(folder, manifest.scenes, intake)
    faults = len(intake)
    queries = _read_queries(folder, manifest.queries, intake)
    queries_taken = len(intake) == faults
    columns: dict[str, Any] = {
        "scene_names": names,
        **_pair_columns(folder, manifest, [table for table in tables if table is not None], intake),
        **queries,
    }
    predictions = PairwisePredictions(
        **columns,
        method=manifest.method,
        dataset=manifest.dataset,
        fingerprint=manifest.fingerprint,
        synthetic=manifest.synthetic,
    )
    taken = Taken(
        predictions,
        at_scene=lambda scene: f"{folder / manifest.scenes.file}: row {scene}",
        at_query=lambda query: f"{folder / manifest.queries.file}: row {query}",
        at_pair=pairs.of,
        scenes_taken=names is not None and all(table is not None for table in tables),
        queries_taken=queries_taken,
    )
    find_faults(predictions, intake, pairs.of, taken.at_scene, taken.at_query)
    return taken


def count_proposals(folder: Path) -> tuple[int, int]:
    """How many proposals there are, and of how many pairs; little of the folder is read for it."""
    import pyarrow.parquet as pq

    shards = read_manifest(folder, Manifest).pairs
    column = "similarities"
    proposals = (list_lengths(pq.read_table(folder / s.file, columns=[column]), column).sum() for s in shards)
    return int(sum(proposals)), sum(shard.rows for shard in shards)


def _read_pairs(folder: Path, shard: Shard, intake: Intake) -> pa.Table | None:
    """A shard of pairs; None, with the reason noted, if its rows are not complete."""
    table = read_shard(folder, shard, pair_schema(), intake)
    if table is None:
        return None
    columns = ["boxes", "similarities", *([_PROPOSAL] if _has_proposals(table) else [])]
    return table if rows_complete(folder / shard.file, table, columns, ["query", "scene"], intake) else None


def _has_proposals(table: pa.Table) -> bool:
    return table.column(_PROPOSAL).null_count < table.num_rows


def _pair_columns(folder: Path, manifest: Manifest, tables: list[pa.Table], intake: Intake) -> dict[str, Any]:
    with_proposals = [_has_proposals(table) for table in tables if table.num_rows]
    if any(with_proposals) and not all(with_proposals):
        intake.add(f"{_PROPOSAL} is null in some of its shards and not in others. Give it in every row, or in none.")
    counts = [list_lengths(table, "similarities") for table in tables]
    return {
        "pair_queries": _numbers(tables, "query"),
        "pair_scenes": _numbers(tables, "scene"),
        "offsets": np.cumsum(np.concatenate([np.zeros(1, np.int64), *counts])),
        "boxes": floats(tables, "boxes").reshape(-1, 4),
        "similarities": floats(tables, "similarities"),
        _PROPOSAL: floats(tables, _PROPOSAL) if with_proposals and all(with_proposals) else None,
    }


def _numbers(tables: list[pa.Table], name: str) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int32), *(flat_values(table, name) for table in tables)])


def _read_names(folder: Path, shard: Shard, intake: Intake) -> list[str] | None:
    table = read_shard(folder, shard, _scene_schema(), intake)
    if table is None or not rows_complete(folder / shard.file, table, [], ["scene"], intake):
        return None
    return table.column("scene").to_pylist()


def _read_queries(folder: Path, shard: Shard, intake: Intake) -> dict[str, Any]:
    table = read_shard(folder, shard, query_schema(), intake)
    if table is None:
        return {"num_queries": None, "query_scenes": None, "query_boxes": None}
    scenes, boxes = query_keys(folder / shard.file, table, intake)
    return {"num_queries": shard.rows, "query_scenes": scenes, "query_boxes": boxes}


def _scene_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema({"scene": pa.string()})


def query_schema() -> pa.Schema:
    """The columns of queries."""
    import pyarrow as pa

    return pa.schema({"scene": pa.string(), "box": query_box_type()})


def pair_schema() -> pa.Schema:
    """The columns of pairs."""
    import pyarrow as pa

    return pa.schema(
        {
            "query": pa.int32(),
            "scene": pa.int32(),
            "boxes": pa.large_list(pa.list_(pa.float32(), 4)),
            "similarities": pa.large_list(pa.float32()),
            _PROPOSAL: pa.large_list(pa.float32()),
        }
    )


def pairs_to_table(predictions: PairwisePredictions, start: int, stop: int) -> pa.Table:
    """Some pairs as the rows of a shard."""
    import pyarrow as pa

    rows = slice(predictions.offsets[start], predictions.offsets[stop])
    offsets = predictions.offsets[start : stop + 1] - predictions.offsets[start]
    proposal = predictions.proposal_similarities
    columns = [
        pa.array(predictions.pair_queries[start:stop]),
        pa.array(predictions.pair_scenes[start:stop]),
        lists(offsets, vectors(predictions.boxes[rows])),
        lists(offsets, predictions.similarities[rows]),
        pa.nulls(stop - start, pa.large_list(pa.float32())) if proposal is None else lists(offsets, proposal[rows]),
    ]
    return pa.Table.from_arrays(columns, schema=pair_schema())
