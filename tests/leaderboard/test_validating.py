"""Predictions folders beside their dataset: every fault at once."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner

import psbench_data
from psbench.cli import app
from psbench.leaderboard import validate
from psbench_data import PersonSearchDataset
from tests.leaderboard.making import honest, pairwise, tree
from tests.leaderboard.spoiling import SHARD, edit_manifest, faults_of, rewrite


def test_honest_folders_have_no_fault(dataset: PersonSearchDataset, saved: Path, tmp_path: Path) -> None:
    assert validate(saved) == []
    assert validate(saved, dataset) == []
    pairs = pairwise(dataset, dataset.protocols).save(tmp_path / "pairs")
    assert validate(pairs, dataset) == []
    # Without names, queries are those of one protocol, in its order.
    nameless = honest(dataset, query_scenes=None, query_boxes=None).save(tmp_path / "nameless")
    assert validate(nameless, dataset, protocols=["gallery-50"]) == []


def test_all_faults_are_found_in_one_go(dataset: PersonSearchDataset, folder: Path) -> None:
    names = dataset.split("test").names

    def spoil(columns: dict[str, list]) -> None:
        columns["scene"][1] = columns["scene"][0]
        columns["scene"][5] = "of-another-dataset.jpg"
        columns["boxes"][2][0] = [100.0, 10.0, 160.0, 60.0]
        columns["boxes"][3][0] = [-20.0, 10.0, 60.0, 60.0]
        columns["embeddings"][4][0] = [float("nan")] * 12
        columns["embeddings"][6][0] = [2.0] + [0.0] * 11

    def forget(columns: dict[str, list]) -> None:
        for column in columns.values():
            del column[3]
        columns["scene"][0] = "nowhere.jpg"

    for row in (2, 3, 4, 6):
        assert len(honest(dataset).boxes[honest(dataset).offsets[row] : honest(dataset).offsets[row + 1]])
    rewrite(folder, spoil)
    rewrite(folder, forget, "queries.parquet")
    edit_manifest(folder, fingerprint="0" * 64, dataset="prw")
    faults = faults_of(folder, dataset)
    expected = [
        f"{SHARD}: row 1 (scene {names[0]!r}): the scene {names[0]!r} is listed a second time",
        f"{SHARD}: row 4 (scene {names[4]!r}): the embedding of detection 0 has NaN",
        f"{SHARD}: row 6 (scene {names[6]!r}): the embedding of detection 0 has length 2,",
        "manifest.json: dataset is 'prw', expected 'cuhk_sysu'",
        f"{SHARD}: row 5 (scene 'of-another-dataset.jpg'): scene 'of-another-dataset.jpg' is not a test scene",
        "queries.parquet: row 0: scene 'nowhere.jpg' is not a test scene",
        "queries.parquet: query 0 of gallery-50",
        "queries.parquet: query 3 of gallery-50",
        f"changed: scene {names[1]!r} is missing",
        f"changed: scene {names[5]!r} is missing",
        f"{SHARD}: row 2 (scene {names[2]!r}): the box of detection 0 is [100.0, 10.0, 160.0, 60.0], which sticks out "
        "of its image of 128 x 96 pixels (width x height) by 32",
        f"{SHARD}: row 3 (scene {names[3]!r}): the box of detection 0 is [-20.0",
    ]
    for words in expected:
        assert sum(words in fault for fault in faults) == 1, words
    assert len(faults) == len(expected)


def test_command_lists_all_faults_and_fails(dataset: PersonSearchDataset, folder: Path) -> None:
    def scale(columns: dict[str, list]) -> None:
        columns["boxes"] = [[[8 * side for side in box] for box in boxes] for boxes in columns["boxes"]]

    rewrite(folder, scale)
    command = ["validate", str(folder), "--data", "cuhk_sysu", "--root", str(dataset.root)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert lines[0] == "error: 1 fault:"
    [line] = lines[1:]
    made = honest(dataset)
    sizes = np.array([scene.size for scene in dataset.split("test")])
    outside = (8 * made.boxes[:, 2:] > np.repeat(sizes[:, ::-1], made.counts, axis=0) + 2).any(axis=1).sum()
    assert (
        f": {outside} of {len(made.boxes)} boxes stick out of their image: are they in pixels of a resized one?" in line
    )
    assert "The first of them: " in line
    assert "pixels of the original image, not of a resized one" in line
    assert CliRunner().invoke(app, ["validate", str(folder)]).exit_code == 0
    for half in (["--data", "prw"], ["--protocol", "gallery-50"]):
        result = CliRunner().invoke(app, ["validate", str(folder), *half])
        assert result.exit_code == 1
        assert "are of a dataset: give --root" in result.stderr
    # As for `psbench evaluate`, CUHK-SYSU where no dataset is named.
    assert CliRunner().invoke(app, ["validate", str(folder), "--root", str(dataset.root)]).stderr == result_of(command)


def result_of(command: list[str]) -> str:
    """What a command complains of."""
    return CliRunner().invoke(app, command).stderr


def test_folder_of_another_dataset_is_told_in_one_sentence(saved: Path, tmp_path: Path) -> None:
    other = psbench_data.load("prw", root=tree(tmp_path / "prw", "prw", places=6, walking=0))
    faults = faults_of(saved, other)
    assert "dataset is 'cuhk_sysu', expected 'prw'" in faults[0]
    assert "none of its 52 scenes is a test scene of prw: expected names such as 'c" in faults[1]
    assert len(faults) == 2


def test_drawn_people_are_not_taken_for_the_real_dataset(
    dataset: PersonSearchDataset, saved: Path, tmp_path: Path
) -> None:
    shutil.copytree(dataset.root, tmp_path / "real")
    (tmp_path / "real/synthetic.json").unlink()
    [fault] = faults_of(saved, psbench_data.load("cuhk_sysu", root=tmp_path / "real"))
    assert "says that its people are drawn" in fault


def test_pairs_that_were_not_searched_are_named(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    saved = pairwise(dataset, ["gallery-50"]).save(tmp_path / "pairs")
    assert validate(saved, dataset, protocols=["gallery-50"]) == []
    faults = faults_of(saved, dataset)
    assert len(faults) == 8
    assert all("of gallery-all was not searched in 1 scenes of its gallery" in fault for fault in faults)

    def misplace(columns: dict[str, list]) -> None:
        columns["scene"][0] = "elsewhere.jpg"

    table = pq.read_table(saved / "scenes.parquet").to_pydict()
    misplace(table)
    pq.write_table(pa.table(table), saved / "scenes.parquet")
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["scenes"]["sha256"] = hashlib.sha256((saved / "scenes.parquet").read_bytes()).hexdigest()
    (saved / "manifest.json").write_text(json.dumps(manifest))
    faults = faults_of(saved, dataset, protocols=["gallery-50"])
    assert "scenes.parquet: row 0: scene 'elsewhere.jpg' is not a test scene" in faults[0]
    assert any("was not searched in 1 scenes" in fault for fault in faults)


def test_number_of_nameless_queries_is_compared_with_each_protocol(
    dataset: PersonSearchDataset, tmp_path: Path
) -> None:
    made = honest(dataset)
    short = dataclasses.replace(made, query_scenes=None, query_boxes=None, query_embeddings=made.query_embeddings[:5])
    faults = faults_of(short.save(tmp_path / "short"), dataset)
    assert len(faults) == 2
    assert "queries.parquet: 5 query embeddings for 8 queries of gallery-50" in faults[0]


def test_sizes_come_from_image_files_where_the_annotation_says_none(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", images=True)
    dataset = psbench_data.load("cuhk_sysu", root=root)
    made = honest(dataset)
    made.boxes[0] = [100, 10, 160, 60]
    folder = made.save(tmp_path / "predictions")
    for path in root.rglob("*shape*"):
        path.unlink()
    silent = psbench_data.load("cuhk_sysu", root=root)
    assert not silent.split("test").sizes.any()
    [fault] = faults_of(folder, silent)
    assert "sticks out of its image of 128 x 96 pixels" in fault
    shutil.rmtree(root / "Image")
    [remark] = validate(folder, silent)
    assert remark.startswith("boxes of 52 of 52 scenes were compared with the left and upper border alone")


def test_annotated_boxes_that_stick_out_may_be_predicted(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    made = honest(dataset)
    rows = np.repeat(np.arange(len(made.scene_names)), made.counts)
    test = dataset.split("test")
    scene = next(s for s in range(len(test)) if made.counts[s] and len(test[s].boxes))
    row = int(np.flatnonzero(rows == scene)[0])
    box = test[scene].boxes[0]
    table = test._table.set_column(
        test._table.column_names.index("width"),
        "width",
        pa.array(np.where(np.arange(len(test)) == scene, int(box[2]) - 30, test.sizes[:, 1]).astype(np.int32)),
    )
    dataset = psbench_data.load("cuhk_sysu", root=dataset.root)
    dataset._splits["test"] = type(test)(table, test.root, test.identities)
    made.boxes[made.offsets[scene] : made.offsets[scene + 1]] = [0, 0, 5, 5]
    made.boxes[row] = box
    assert validate(made.save(tmp_path / "annotated"), dataset, protocols=["gallery-50"]) == []
    made.boxes[row] = box + np.float32(0.5)
    assert len(faults_of(made.save(tmp_path / "moved"), dataset, protocols=["gallery-50"])) == 1


def test_contexts_begin_with_their_query_also_where_queries_have_no_names(
    dataset: PersonSearchDataset, tmp_path: Path
) -> None:
    queries = dataset.protocol("gallery-50").queries
    count, made = len(queries), honest(dataset)
    context = {
        "counts": [1] * count,
        "boxes": queries.boxes,
        "scores": [1] * count,
        "embeddings": made.embeddings[:count],
    }
    named = {"query_scenes": None, "query_boxes": None, "query_embeddings": made.query_embeddings[:count]}
    folder = honest(dataset, **named, context=context).save(tmp_path / "own")
    assert validate(folder, dataset, protocols=["gallery-50"]) == []
    turned = honest(dataset, **named, context=context | {"boxes": queries.boxes[::-1]}).save(tmp_path / "turned")
    assert validate(turned) == []
    faults = faults_of(turned, dataset, protocols=["gallery-50"])
    assert "queries.parquet: row 0: its own box" in faults[0]
    assert len(faults) > count / 2
