"""Predictions in memory and as a folder."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import psbench
from psbench import InputError, Predictions
from psbench.blocks import row_blocks
from psbench_data import PersonSearchDataset


def _context(counts: list[int]) -> dict:
    n = sum(counts)
    return {
        "counts": counts,
        "boxes": np.tile([0, 0, 1, 1], (n, 1)),
        "scores": np.ones(n),
        "embeddings": np.full((n, 3), 0.25),
    }


def _some(**changes: object) -> Predictions:
    values: dict = {
        "scene_names": ["a.jpg", "b.jpg", "c.jpg"],
        "counts": [2, 0, 1],
        "boxes": np.array([[0, 0, 10, 20], [5, 5, 15, 30], [1, 1, 4, 9]], float),
        "scores": [0.9, 0.6, 1.0],
        "embeddings": np.eye(3),
        "query_embeddings": np.ones((2, 3)),
    } | changes
    return Predictions.from_arrays(values.pop("scene_names"), **values)


def test_folder_gives_back_what_was_saved(tmp_path: Path) -> None:
    saved = _some(
        query_scenes=["a.jpg", "c.jpg"],
        query_boxes=np.array([[0, 0, 1, 1], [0, 0, 2, 1]]),
        method="mine",
        dataset="cuhk_sysu",
        fingerprint="f" * 64,
        synthetic=True,
        context=_context([2, 1]),
    )
    loaded = Predictions.load(saved.save(tmp_path / "predictions"))
    assert loaded.context is not None
    assert saved.context is not None
    for name in ("offsets", "boxes", "scores", "embeddings"):
        np.testing.assert_array_equal(getattr(loaded.context, name), getattr(saved.context, name))
    for name in ("offsets", "boxes", "scores", "embeddings", "query_embeddings", "query_boxes"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
    for name in ("scene_names", "query_scenes", "method", "dataset", "fingerprint", "synthetic"):
        assert getattr(loaded, name) == getattr(saved, name)


def test_many_shards_give_back_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psbench.predictions_folder._SCENES_PER_SHARD", 2)
    loaded = Predictions.load(_some().save(tmp_path / "predictions"))
    assert sorted(p.name for p in (tmp_path / "predictions").iterdir()) == [
        "manifest.json", "queries.parquet", "scenes-00000.parquet", "scenes-00001.parquet",
    ]  # fmt: skip
    np.testing.assert_array_equal(loaded.embeddings, _some().embeddings)
    assert loaded.query_scenes is None


def test_no_scene_has_detections(tmp_path: Path) -> None:
    empty = _some(counts=[0, 0, 0], boxes=np.zeros((0, 4)), scores=[], embeddings=np.zeros((0, 3)))
    assert Predictions.load(empty.save(tmp_path / "predictions")).counts.tolist() == [0, 0, 0]


def test_saved_golden_predictions_score_the_same(
    golden: PersonSearchDataset, golden_predictions: Predictions, tmp_path: Path
) -> None:
    loaded = Predictions.load(golden_predictions.save(tmp_path / "golden"))
    protocol = golden.protocol("gallery-100")
    assert psbench.evaluate(loaded, protocol).to_json() == psbench.evaluate(golden_predictions, protocol).to_json()


def test_folder_is_plain_parquet(tmp_path: Path) -> None:
    folder = _some().save(tmp_path / "predictions")
    rows = pq.read_table(folder / "scenes-00000.parquet").to_pylist()
    assert rows[2] == {"scene": "c.jpg", "boxes": [[1, 1, 4, 9]], "scores": [1.0], "embeddings": [[0, 0, 1]]}


def test_existing_work_is_not_overwritten(tmp_path: Path) -> None:
    folder = _some().save(tmp_path / "predictions")
    with pytest.raises(InputError, match="something here already"):
        _some(scores=[0.1, 0.1, 0.1]).save(folder)
    assert Predictions.load(folder).scores.tolist() == pytest.approx([0.9, 0.6, 1.0])


@pytest.mark.parametrize(
    ("changes", "mentions"),
    [
        ({"counts": [2, 1, 1]}, ["counts add up to 4; boxes, scores and embeddings have 3 rows."]),
        ({"scores": [0.9, 0.6]}, ["scores has shape (2,), expected (3,)"]),
        ({"query_embeddings": np.ones((2, 5))}, ["query_embeddings has shape"]),
        ({"scene_names": ["a.jpg", "b.jpg", "a.jpg"]}, ["'a.jpg' is listed a second time"]),
        ({"scores": [0.9, np.nan, 1.5]}, ["score of detection 1 has NaN", "score of detection 0 is 1.5"]),
        ({"boxes": np.array([[9, 0, 3, 9], [0, 0, np.inf, 1], [0, 0, 1, 1]])}, ["x1 <= x2", "NaN or infinity"]),
        ({"query_scenes": ["a.jpg", "b.jpg"]}, ["belong together"]),
        ({"query_embeddings": np.full((2, 3), np.inf)}, ["query 0", "query 1"]),
        ({"boxes": [[1, 2], [3]]}, ["boxes is not an array of numbers"]),
        ({"counts": ["two", "none", "one"]}, ["counts is not an array of numbers"]),
        ({"counts": [2, -1, 2]}, ["counts: row 1 is -1", "whole number"]),
        ({"counts": [1.5, 1, np.inf]}, ["counts: row 0 is 1.5", "counts: row 2 is inf"]),
        ({"counts": [[2], [0], [1]]}, ["counts has shape (3, 1)"]),
        ({"scene_names": "a.jpg"}, ["scene_names is 'a.jpg', expected a list"]),
        ({"scores": [0.5, 1j, 0]}, ["scores is not an array of numbers"]),
        ({"embeddings": np.zeros((3, 0)), "query_embeddings": np.zeros((2, 0))}, ["no dimensions"]),
        ({"context": 3}, ["context is <class 'int'>"]),
        ({"context": {"counts": [1, 1]}}, ["context is ['counts']", "boxes, counts, embeddings, scores"]),
        ({"context": _context([1, 2, 1])}, ["context counts has shape (3,)"]),
        ({"context": _context([2, 1]) | {"scores": [1, 1, np.nan]}}, ["query 1: the context score of detection 0 has"]),
        ({"context": _context([0, 2])}, ["query 0: the context is empty"]),
    ],
)
def test_values_that_cannot_be_right_are_all_listed(changes: dict, mentions: list[str]) -> None:
    with pytest.raises(InputError) as error:
        _some(**changes)
    for words in mentions:
        assert words in str(error.value)


def test_faults_of_every_kind_are_found_at_once() -> None:
    with pytest.raises(InputError) as error:
        _some(
            scene_names=["a.jpg", "b.jpg", "b.jpg"],
            boxes=[[0, 0, 1, 1], [9, 0, 3, 9], [0, 0, np.nan, 1]],
            scores="high",
            embeddings=[[1, 0, 0], [np.inf, 1, 0]],
            query_embeddings=[[0, np.nan], [0, 0]],
            query_scenes=["a.jpg", "a.jpg"],
            context=_context([1, 1]) | {"counts": [1, -1], "boxes": [[4, 4, 2, 2], [0, 0, 1, 1]]},
        )
    faults = "\n".join(error.value.faults)
    for words in [
        "'b.jpg' is listed a second time",
        "scene 'a.jpg': the box of detection 1 is [9.0, 0.0, 3.0, 9.0]",
        "scene 'b.jpg': the box of detection 0 has NaN",
        "scores is not an array of numbers",
        "embeddings has shape (2, 3), expected (3, 3)",
        "row 1 of embeddings has NaN",
        "query_embeddings has shape (2, 2), expected (any, 3)",
        "query 0: the embedding has NaN",
        "query_scenes and query_boxes belong together",
        "context counts: row 1 is -1",
        "row 0 of context boxes is [4.0, 4.0, 2.0, 2.0]",
    ]:
        assert words in faults
    assert len(error.value.faults) == 11


def test_many_faults_stay_readable() -> None:
    boxes = np.tile([0.0, 0, 1, 1], (10_000, 1))
    boxes[5:, 2] = np.nan
    with pytest.raises(InputError) as error:
        Predictions.from_arrays(
            [f"{i}.jpg" for i in range(10_000)],
            counts=np.ones(10_000),
            boxes=boxes,
            scores=np.full(10_000, 7),
            embeddings=np.ones((10_000, 2)),
            query_embeddings=np.ones((1, 3)),
        )
    message = str(error.value)
    assert len(message.splitlines()) < 25
    for words in ["scene '5.jpg': the box", "scene '0.jpg': the score", "query_embeddings has shape"]:
        assert words in message
    starts = (
        "9,995 of 10,000 boxes have NaN or infinity. The first of them: scene '5.jpg': the ",
        "10,000 of 10,000 scores lie outside 0 to 1 (they go from 7 to 7: percent?). The first of them: ",
        "query_embeddings has shape",
    )
    for fault, start in zip(error.value.faults, starts, strict=True):
        assert fault.startswith(f"Predictions.from_arrays: {start}")


def test_float32_arrays_are_not_copied(tmp_path: Path) -> None:
    embeddings = np.eye(3, dtype=np.float32)
    np.save(tmp_path / "embeddings.npy", embeddings)
    mapped = np.load(tmp_path / "embeddings.npy", mmap_mode="r")
    assert np.shares_memory(_some(embeddings=embeddings).embeddings, embeddings)
    assert np.shares_memory(_some(embeddings=mapped).embeddings, mapped)
    np.testing.assert_array_equal(_some(embeddings=mapped).embeddings, embeddings)


def _resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_maps_are_checked_without_filling_memory(tmp_path: Path) -> None:
    n, dim = 200_000, 256
    written = np.lib.format.open_memmap(tmp_path / "embeddings.npy", mode="w+", dtype=np.float32, shape=(n, dim))
    written[n - 1] = np.nan
    del written
    mapped = np.load(tmp_path / "embeddings.npy", mmap_mode="r")
    columns = {"boxes": np.zeros((n, 4), np.float32), "scores": np.zeros(n, np.float32)}
    before = _resident_bytes()
    with pytest.raises(InputError, match="scene 'b': the embedding of detection 99999 has NaN"):
        Predictions.from_arrays(
            ["a", "b"], counts=[n // 2, n // 2], embeddings=mapped, query_embeddings=np.ones((1, dim)), **columns
        )
    assert _resident_bytes() - before < mapped.nbytes / 3


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_walking_an_array_in_blocks_gives_all_of_it(tmp_path: Path, mode: str) -> None:
    values = np.arange(30_000, dtype=np.float32).reshape(-1, 3)
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode=mode)
    if mode != "r":
        mapped[::7] = values[::7] = -1
    for array, expected in ((mapped, values), (mapped[11:8000], values[11:8000]), (mapped[:, 1], values[:, 1])):
        for _ in range(2):
            blocks = [(start, block.copy()) for start, block in row_blocks(array, 999)]
            assert [start for start, _ in blocks] == list(range(0, len(array), 999))
            np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), expected)


def test_claimed_unit_length_is_checked_and_kept(tmp_path: Path) -> None:
    unit = {"embeddings": np.eye(3) * 1.0009, "query_embeddings": np.eye(3)[:2] * 0.9991}
    claimed = _some(**unit, unit_length=True)
    loaded = Predictions.load(claimed.save(tmp_path / "unit"))
    assert loaded.unit_length
    np.testing.assert_array_equal(loaded.embeddings, np.float32(unit["embeddings"]))
    assert not Predictions.load(_some().save(tmp_path / "any")).unit_length

    context = _context([2, 1]) | {"embeddings": np.eye(3) * [[1], [1], [0]]}
    with pytest.raises(InputError) as error:
        _some(
            embeddings=np.diag([1, 1.5, 1e30]),
            query_embeddings=np.eye(3)[:2] * [[1], [0.25]],
            context=context,
            unit_length=True,
        )
    message = str(error.value)
    assert len(error.value.faults) == 4
    for words in [
        "scene 'a.jpg': the embedding of detection 1 has length 1.5",
        "scene 'c.jpg': the embedding of detection 0 has length 1e+30",
        "query 1: the embedding has length 0.25",
        "query 1: the context embedding of detection 0 has length 0,",
        "do not claim unit_length",
        "CWS",
    ]:
        assert words in message


def test_folder_that_claims_unit_length_wrongly_is_refused(tmp_path: Path) -> None:
    folder = _some(embeddings=np.eye(3) * [[1], [1], [3]]).save(tmp_path / "predictions")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"unit_length": True}))
    with pytest.raises(InputError) as error:
        Predictions.load(folder)
    for words in ["scenes-00000.parquet: row 2 (scene 'c.jpg')", "has length 3,", "queries.parquet: row 0"]:
        assert words in str(error.value)


def test_manifest_may_leave_out_kind_and_unit_length(tmp_path: Path) -> None:
    folder = _some().save(tmp_path / "predictions")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest.pop("kind") == "detections"
    assert manifest.pop("unit_length") is False
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert not Predictions.load(folder).unit_length


def test_faults_of_all_files_are_found_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psbench.predictions_folder._SCENES_PER_SHARD", 1)
    folder = _some(context=_context([2, 1])).save(tmp_path / "predictions")

    def misplace(columns: dict) -> None:
        columns["boxes"][0] = [[9.0, 0.0, 3.0, 9.0]]

    def forget(columns: dict) -> None:
        columns["embedding"][1] = None

    (folder / "scenes-00000.parquet").unlink()
    _rewrite(folder, misplace, "scenes-00002.parquet")
    _rewrite(folder, forget, "queries.parquet")
    (folder / "context.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError) as error:
        Predictions.load(folder)
    assert len(error.value.faults) == 4
    for words in [
        "scenes-00000.parquet: named in manifest.json and not there",
        "scenes-00002.parquet: row 0 (scene 'c.jpg'): the box of detection 0 is [9.0, 0.0, 3.0, 9.0]",
        "queries.parquet: row 1: embedding is missing",
        "context.parquet: its SHA-256 is not",
    ]:
        assert words in str(error.value)


def test_box_of_a_query_that_is_no_box_is_named(tmp_path: Path) -> None:
    folder = _some(query_scenes=["a.jpg", "c.jpg"], query_boxes=[[0, 0, 5, 9], [1, 1, 5, 9]]).save(tmp_path / "some")

    def shorten(columns: dict) -> None:
        columns["box"][1] = [1.0, 1.0, 5.0]

    _rewrite(folder, shorten, "queries.parquet")
    with pytest.raises(InputError, match=r"queries.parquet: row 1: box has 3 numbers, expected 4"):
        Predictions.load(folder)


def _rewrite(folder: Path, change: Callable[[dict], None], file: str = "scenes-00000.parquet") -> None:
    """Change a shard's columns and bring the manifest's checksum up to date, as an honest writer's mistake would."""
    table = pq.read_table(folder / file)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    change(columns)
    # As other writers do: in lists of a fixed length pyarrow before 26 cannot read nulls.
    types = {f.name: f.type for f in table.schema} | {"embedding": pa.list_(pa.float32())}
    pq.write_table(pa.table({name: pa.array(v, types[name]) for name, v in columns.items()}), folder / file)
    manifest = json.loads((folder / "manifest.json").read_text())
    for shard in [*manifest["scenes"], manifest["queries"]]:
        if shard["file"] == file:
            shard["sha256"] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _nan(columns: dict) -> None:
    columns["embeddings"][2] = [[float("nan"), 0.0, 0.0]]


def _unequal(columns: dict) -> None:
    columns["scores"][0] = [0.5]


def _null(columns: dict) -> None:
    columns["boxes"][2] = None


def test_queries_named_in_part_or_twice_are_refused(tmp_path: Path) -> None:
    keys = {"query_scenes": ["a.jpg", "c.jpg"], "query_boxes": np.array([[0, 0, 5, 5], [1, 1, 4, 9]])}
    folder = _some(**keys).save(tmp_path / "predictions")

    def forget(columns: dict) -> None:
        columns["scene"][1] = None

    _rewrite(folder, forget, "queries.parquet")
    with pytest.raises(InputError, match=r"queries\.parquet: row 1: scene is missing"):
        Predictions.load(folder)
    with pytest.raises(InputError, match="query 1: the same scene and box as query 0"):
        _some(query_scenes=["a.jpg", "a.jpg"], query_boxes=np.zeros((2, 4)))


@pytest.mark.parametrize(
    ("change", "mentions"),
    [
        (_nan, ["scenes-00000.parquet: row 2 (scene 'c.jpg'): the embedding of detection 0 has NaN", "predict again"]),
        (_unequal, ["scenes-00000.parquet: row 0: 2 boxes, 1 scores, 2 embeddings"]),
        (_null, ["row 2: boxes is missing"]),
    ],
)
def test_faulty_values_on_disk_name_file_and_row(tmp_path: Path, change: Callable, mentions: list[str]) -> None:
    folder = _some().save(tmp_path / "predictions")
    _rewrite(folder, change)
    with pytest.raises(InputError) as error:
        Predictions.load(folder)
    for words in mentions:
        assert words in str(error.value)


def test_faulty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a predictions folder"):
        Predictions.load(tmp_path)
    folder = _some().save(tmp_path / "predictions")
    manifest = folder / "manifest.json"
    written = json.loads(manifest.read_text())
    shard = folder / "scenes-00000.parquet"
    content = shard.read_bytes()

    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match=r"scenes-00000.parquet: its SHA-256 is not"):
        Predictions.load(folder)
    shard.unlink()
    with pytest.raises(InputError, match="not there as a file"):
        Predictions.load(folder)
    shard.write_bytes(content)

    for change, words in (
        ({"schema_version": 99}, "schema version 99"),
        ({"embedding_dim": "many", "method": 3}, "embedding_dim"),
        ({"scenes": [{"file": "../../secrets.parquet", "rows": 1, "sha256": "0" * 64}]}, "scenes.0.file"),
    ):
        manifest.write_text(json.dumps(written | change))
        with pytest.raises(InputError, match=words):
            Predictions.load(folder)
    manifest.write_text("{not json")
    with pytest.raises(InputError, match=r"manifest\.json"):
        Predictions.load(folder)


def test_other_columns_are_named(tmp_path: Path) -> None:
    folder = _some().save(tmp_path / "predictions")
    pq.write_table(pa.table({"image": ["a.jpg"]}), folder / "scenes-00000.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["scenes"][0]["sha256"] = hashlib.sha256((folder / "scenes-00000.parquet").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"expected the columns \(scene: string.*found \(image: string\)"):
        Predictions.load(folder)
