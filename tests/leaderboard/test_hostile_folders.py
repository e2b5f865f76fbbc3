"""Predictions folders of ill will: nothing in them is believed, expanded or run."""

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psbench import InputError, Predictions
from psbench.leaderboard import validate
from psbench_data import PersonSearchDataset
from tests.leaderboard.spoiling import SHARD, edit_manifest, faults_of, replace


def _floats(values: np.ndarray) -> pa.Array:
    return pa.LargeListArray.from_arrays([0, len(values)], values)


def _bomb(kind: str) -> tuple[pa.Table, dict]:
    """A small file that becomes more than 64 MiB."""
    boxes = pa.array([[]], pa.large_list(pa.list_(pa.float32(), 4)))
    embeddings = pa.array([[]], pa.large_list(pa.list_(pa.float32(), 12)))
    if kind == "names":
        rows = 180
        columns = {"scene": ["x" * 400_000] * rows, "scores": pa.array([[]] * rows, pa.large_list(pa.float32()))}
        columns |= {"boxes": pa.array([[]] * rows, boxes.type), "embeddings": pa.array([[]] * rows, embeddings.type)}
        return pa.table(columns), {"compression": "zstd"}
    zeros = _floats(np.zeros(17_000_000, np.float32))
    table = pa.table({"scene": ["a"], "boxes": boxes, "scores": zeros, "embeddings": embeddings})
    return table, {"compression": "zstd", "use_dictionary": kind == "runs"}


@pytest.mark.parametrize("kind", ["compressed", "runs", "names"])
def test_tables_that_would_fill_memory_are_refused_unread(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, options = _bomb(kind)
    replace(folder, table, **options)
    assert (folder / SHARD).stat().st_size < 200_000
    del table
    before = pa.total_allocated_bytes()
    largest = []
    read = pq.ParquetFile.read

    def watched(self: pq.ParquetFile, *args: object, **kwargs: object) -> pa.Table:
        found = read(self, *args, **kwargs)
        largest.append(pa.total_allocated_bytes() - before)
        return found

    monkeypatch.setattr(pq.ParquetFile, "read", watched)
    assert any(
        f"{SHARD}: " in fault and "in memory, expected at most 67,108,864" in fault for fault in faults_of(folder)
    )
    assert max(largest, default=0) < 20e6


def test_shards_that_lead_elsewhere_are_refused(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.parquet"
    (folder / SHARD).rename(secret)
    (folder / SHARD).symlink_to(secret)
    [fault] = [fault for fault in faults_of(folder) if SHARD in fault]
    assert "a link, which may lead anywhere" in fault
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("../secret.parquet", str(secret), "a/../../secret.parquet", "..\\secret.parquet", "SECRET.parquet\n"):
        edit_manifest(folder, scenes=[manifest["scenes"][0] | {"file": name}])
        [fault] = faults_of(folder)
        assert "scenes.0.file" in fault


def test_shard_that_is_listed_twice_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    edit_manifest(folder, scenes=manifest["scenes"] * 2)
    [fault] = faults_of(folder)
    assert "manifest.json: scenes: expected each file once" in fault


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"schema_version": 2}', "schema version 2, while this psbench reads 1"),
        (b" " * (2**24 + 1), "larger than"),
        (b"[]", "schema version None"),
    ],
)
def test_manifests_that_cannot_be_one_are_refused(folder: Path, content: bytes, words: str) -> None:
    (folder / "manifest.json").write_bytes(content)
    [fault] = faults_of(folder)
    assert words in fault


def test_dimensions_beyond_reason_are_refused(folder: Path) -> None:
    edit_manifest(folder, embedding_dim=10**12)
    assert any("embedding_dim" in fault for fault in faults_of(folder))


def test_checksum_is_compared_before_a_table_is_parsed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    opened: list[str] = []
    read = pq.read_metadata

    def watched(path: Path) -> pq.FileMetaData:
        opened.append(path.name)
        return read(path)

    monkeypatch.setattr(pq, "read_metadata", watched)
    faults = faults_of(folder)
    assert any("its SHA-256 is not the one in manifest.json" in fault for fault in faults)
    assert opened == ["queries.parquet"]


class _Trap:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return exec, ("raise SystemExit('run')",)


WATCHED: list[tuple[str, tuple]] = []


def _watch(event: str, arguments: tuple) -> None:
    if WATCHING and (event == "pickle.find_class" or (event == "open" and "trap" in str(arguments[0]))):
        WATCHED.append((event, arguments))


WATCHING: list[bool] = []


def test_other_files_of_the_folder_are_never_opened(dataset: PersonSearchDataset, folder: Path) -> None:
    for name in ("trap.pkl", "trap.pth", "trap.npy", "trap.py", "conftest_trap.py"):
        (folder / name).write_bytes(pickle.dumps(_Trap()))
    sys.addaudithook(_watch)
    WATCHING.append(True)
    try:
        with (folder / "trap.pkl").open("rb"):
            pass
        assert len(WATCHED) == 1
        WATCHED.clear()
        validate(folder, dataset)
        assert WATCHED == []
    finally:
        WATCHING.clear()


def test_random_manifests_end_in_faults_or_predictions(folder: Path) -> None:
    rng = np.random.default_rng(3)
    path = folder / "manifest.json"
    written = path.read_bytes()
    refused = 0
    for _ in range(100):
        changed = bytearray(written)
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            validate(folder)
        except InputError:
            refused += 1
    assert 50 < refused < 100
    path.write_bytes(written)
    assert isinstance(Predictions.load(folder), Predictions)
