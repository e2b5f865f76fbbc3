"""What all predictions folders share: a manifest, and the Parquet files that it names, with their checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from psbench.intake import At, Intake
from psbench.tables import read_table
from psbench_data import InputError
from psbench_data.atomic import new_file
from psbench_data.columns import flat_values, vectors
from psbench_data.validation import file_error

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.json"
WORK = "work.json"
"""In the place of the manifest while predictions are being made."""
SCHEMA_VERSION = 1
_MOST_MANIFEST = 2**24
_CLASSES = {"detections": "Predictions", "pairwise": "PairwisePredictions"}


class Shard(BaseModel):
    """A Parquet file of the folder."""

    model_config = ConfigDict(extra="forbid")

    file: str = Field(pattern=r"^[a-z0-9-]+\.parquet$")
    rows: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class FolderManifest(BaseModel):
    """What the manifest.json of every kind of predictions holds; each kind adds its shards."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    kind: str
    method: str
    dataset: str
    fingerprint: str
    synthetic: bool


M = TypeVar("M", bound=FolderManifest)


class Taken(NamedTuple):
    """What could be taken of a folder, its faults being noted.

    Attributes:
        predictions: of its kind; a column that could not be taken is None.
        at_scene, at_query, at_pair: say where a scene, a query or a pair (of pairwise predictions) stands.
        scenes_taken, queries_taken: whether that is all scenes and queries that the manifest speaks of.
    """

    predictions: Any
    at_scene: At
    at_query: At
    at_pair: At | None
    scenes_taken: bool
    queries_taken: bool


def distinct_files(shards: list[Shard]) -> list[Shard]:
    """The shards; raises ValueError if a file is named twice."""
    if len({shard.file for shard in shards}) < len(shards):
        raise ValueError("expected each file once")
    return shards


def write_manifest(manifest: FolderManifest, partial: Path) -> None:
    """Write manifest.json, which makes a folder of shards a predictions folder."""
    with new_file(partial / MANIFEST) as file:
        file.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def write_shard(table: pa.Table, path: Path) -> Shard:
    """Write a Parquet file, whole or not at all, and give the manifest's line about it."""
    return write_tables([table], table.schema, path)


def write_tables(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> Shard:
    """Write tables of the same columns one after the other as one shard; they are taken one at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # A dictionary of floats that hardly ever repeat costs three times the work and saves nothing.
    repeating = [field.name for field in schema if not pa.types.is_nested(field.type)]
    options = {"use_dictionary": repeating, "write_page_checksum": True}
    with new_file(path) as file, pq.ParquetWriter(file, schema, **options) as writer:
        for table in tables:
            writer.write_table(table)
    return shard_of(path)


def shard_of(path: Path) -> Shard:
    """The manifest's line about a Parquet file that is there."""
    import pyarrow.parquet as pq

    return Shard(file=path.name, rows=pq.read_metadata(path).num_rows, sha256=sha256_of(path))


def read_kind(folder: Path) -> str:
    """What kind of predictions a folder holds: `detections` or `pairwise`.

    Raises:
        InputError: it is not a predictions folder of this version.
    """
    kind = _manifest_of_this_version(folder).get("kind", "detections")
    if not isinstance(kind, str) or kind not in _CLASSES:
        raise InputError(f"{folder / MANIFEST}: kind {kind!r}, expected one of {', '.join(_CLASSES)}.")
    return kind


def read_manifest(folder: Path, manifest: type[M]) -> M:
    """Read a folder's manifest.

    Raises:
        InputError: there is none, or it is of another version or kind, or its fields are not what they should be.
    """
    expected, kind = str(manifest.model_fields["kind"].default), read_kind(folder)
    if kind != expected:
        raise InputError(
            f"{folder}: holds {kind} predictions, which {_CLASSES[expected]} cannot hold. "
            f"Read them with psbench.{_CLASSES[kind]}.load."
        )
    try:
        return manifest.model_validate(_manifest_of_this_version(folder))
    except ValidationError as error:
        raise file_error(folder / MANIFEST, error, "Write the folder again.") from None


def _manifest_of_this_version(folder: Path) -> dict:
    path = folder / MANIFEST
    if not path.is_file() and (folder / WORK).is_file():
        raise InputError(
            f"{folder}: these predictions are not finished. Start the same `psbench predict` again: it continues them."
        )
    if not path.is_file():
        raise InputError(
            f"{path}: not there, so {folder} is not a predictions folder. Give one that `psbench predict` wrote."
        )
    if path.stat().st_size > _MOST_MANIFEST:
        raise InputError(f"{path}: larger than {_MOST_MANIFEST} bytes, which no manifest is. Write the folder again.")
    try:
        written = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}). Write the folder again.") from None
    version = written.get("schema_version") if isinstance(written, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema version {version}, while this psbench reads {SCHEMA_VERSION}. "
            "Write the folder again with this version, or install the one that wrote it."
        )
    return written


def read_shard(folder: Path, shard: Shard, schema: pa.Schema, intake: Intake) -> pa.Table | None:
    """Read a shard's columns, in one chunk; None, with the reason noted, if it is not what the manifest says."""
    path = folder / shard.file
    if path.is_symlink() or path.resolve().parent != folder.resolve():
        intake.add_all([f"{path}: a link, which may lead anywhere. Put the file itself there (cp -L)."], 1)
    elif not path.is_file():
        intake.add_all([f"{path}: named in {MANIFEST} and not there as a file. Copy the folder again in full."], 1)
    elif sha256_of(path) != shard.sha256:
        intake.add_all([f"{path}: its SHA-256 is not the one in {MANIFEST}. Copy or write the folder again."], 1)
    else:
        try:
            return read_table(path, schema, shard.rows)
        except InputError as error:
            intake.add_all(error.faults, 1)
    return None


def rows_complete(path: Path, table: pa.Table, lists: list[str], others: list[str], intake: Intake) -> bool:
    """Whether every row of a shard has all of some columns, and lists of one length; if not, each fault is noted.

    Args:
        path: of the shard.
        table: its columns.
        lists: the columns with one list a row, one item a detection.
        others: further columns that must not be null.
        intake: takes the faults.
    """
    complete = True
    for name in [*others, *lists]:
        missing = np.flatnonzero(table.column(name).is_null().to_numpy()).tolist()
        remedy = "Give an empty list where there are no detections." if name in lists else "Give it in every row."
        intake.add_all((f"{path}: row {row}: {name} is missing. {remedy}" for row in missing), len(missing))
        complete &= not missing
    if complete and lists:
        counts = {name: list_lengths(table, name) for name in lists}
        one = counts[lists[0]]
        unequal = np.flatnonzero(np.any([each != one for each in counts.values()], axis=0)).tolist()
        intake.add_all(
            (
                f"{path}: row {row}: {', '.join(f'{each[row]} {name}' for name, each in counts.items())}. "
                "Give as many of each."
                for row in unequal
            ),
            len(unequal),
        )
        complete = not unequal
    return complete


class RowPlaces:
    """Says which file and row each row of several shards, one after the other, comes from.

    Args:
        folder: of the shards.
        shards: those that were read, in order.
    """

    def __init__(self, folder: Path, shards: Sequence[Shard]) -> None:
        self._paths = [folder / shard.file for shard in shards]
        self._starts = np.cumsum([0, *(shard.rows for shard in shards)])

    def of(self, row: int) -> str:
        """The file and its own row, as the beginning of a sentence."""
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        return f"{self._paths[shard]}: row {row - self._starts[shard]}"


def list_lengths(table: pa.Table, name: str) -> np.ndarray:
    """(rows,) int64: the length of each row's list, 0 for null."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.list_value_length(table.column(name)), 0).to_numpy().astype(np.int64)


def floats(tables: list[pa.Table], name: str) -> np.ndarray:
    """Every number of a column of some tables, however deep its lists, in order: (n,) float32."""
    return np.concatenate([np.zeros(0, np.float32), *(flat_values(table, name) for table in tables)])


def query_box_type() -> pa.DataType:
    """Of the boxes in queries.parquet: lists of any length, as pyarrow before 26 cannot read nulls of a fixed one."""
    import pyarrow as pa

    return pa.list_(pa.float32())


def query_columns(count: int, scenes: list[str] | None, boxes: np.ndarray | None) -> list[pa.Array]:
    """The columns of queries.parquet that say which query a row is: scene and box, or nulls."""
    import pyarrow as pa

    return [
        pa.nulls(count, pa.string()) if scenes is None else pa.array(scenes, pa.string()),
        pa.nulls(count, query_box_type()) if boxes is None else vectors(boxes).cast(query_box_type()),
    ]


def query_keys(path: Path, queries: pa.Table, intake: Intake) -> tuple[list[str] | None, np.ndarray | None]:
    """Those columns read back: the scenes and (Q, 4) boxes of the queries, or None for both."""
    if all(queries.column(name).null_count == queries.num_rows for name in ("scene", "box")):
        return None, None
    if not rows_complete(path, queries, [], ["scene", "box"], intake):
        return None, None
    lengths = list_lengths(queries, "box")
    if len(wrong := np.flatnonzero(lengths != 4)):
        remedy = "expected 4: x1, y1, x2, y2"
        intake.add_all((f"{path}: row {row}: box has {lengths[row]} numbers, {remedy}." for row in wrong), len(wrong))
        return None, None
    return queries.column("scene").to_pylist(), floats([queries], "box").reshape(-1, 4)


def sha256_of(path: Path) -> str:
    """Of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
