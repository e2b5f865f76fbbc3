"""docs/predictions.md is true: its writer writes what psbench reads, its tables list what there is, its lines run."""

import ast
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import psbench_data
from psbench import CBGM, PairwisePredictions, Predictions, evaluate, pairwise_folder, predictions_folder
from psbench.importing import FORMS
from psbench.importing.array_lists import PICKLE_REMEDY
from psbench_data.cli import app as data_app
from tests.conftest import EVALUATION

PAGE = (Path(__file__).parent.parent / "docs/predictions.md").read_text()
PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
WRITER, POOL_NAMES, UNPICKLING = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def _rows_after(text: str) -> list[list[str]]:
    """The cells of the first table after some text, without its head."""
    table = re.search(r"((?:^\|.*\n)+)", PAGE[PAGE.index(text) :], re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()[2:]]


def _names_after(text: str) -> list[str]:
    return [name for row in _rows_after(text) for name in re.findall(r"`(\w+)`", row[0])]


def _written(folder: Path, writer: str = WRITER) -> None:
    with np.load(EVALUATION / "prw.npz") as file:
        arrays = dict(file)
    folder.mkdir(parents=True)
    given = {
        "folder": folder,
        "scene_names": arrays["image_names"].tolist(),
        **{name: arrays[f"det_{name}"] for name in ("counts", "boxes", "scores", "embeddings")},
        "query_scenes": arrays["query_image_names"].tolist(),
        "query_boxes": arrays["query_boxes"],
        "query_embeddings": arrays["query_embeddings"],
    }
    exec(writer, given)


@pytest.fixture(scope="module")
def dataset() -> psbench_data.PersonSearchDataset:
    """The golden tree in PRW's format."""
    return psbench_data.load("prw", root=EVALUATION / "prw")


def test_writer_writes_what_psbench_reads(tmp_path: Path, dataset: psbench_data.PersonSearchDataset) -> None:
    assert "psbench" not in WRITER
    assert max(map(len, WRITER.splitlines())) <= 120
    _written(tmp_path / "mine")
    expected = json.loads((EVALUATION / "expected.json").read_text())["prw"]["search"]
    loaded = Predictions.load(tmp_path / "mine")
    for protocol, key in [("regular", "regular"), ("multi-view", "multi_view")]:
        assert evaluate(loaded, dataset.protocol(protocol)).map == pytest.approx(expected[key]["mAP"], abs=1e-9)


def test_reader_line_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = re.search(r"`(pyarrow\.parquet\.read_table\(.*?\)\.to_pandas\(\))`", PAGE)
    assert line
    monkeypatch.chdir(tmp_path)
    _written(Path("predictions/mine"))
    frame = eval(line[1], {"pyarrow": pa})
    assert list(frame) == _names_after("`queries.parquet`:")
    assert len(frame) == 28


@pytest.mark.parametrize(("theirs", "ours"), [("LargeListArray", "ListArray"), ('"f4"', '"f8"')])
def test_types_that_are_taken_too(theirs: str, ours: str, tmp_path: Path) -> None:
    _written(tmp_path / "one")
    offsets = ("np.cumsum([0, *counts])", "np.cumsum([0, *counts], dtype='i4')")
    _written(tmp_path / "other", WRITER.replace(theirs, ours).replace(*(offsets if ours == "ListArray" else ("", ""))))
    read = [pq.read_schema(tmp_path / name / "scenes-00000.parquet") for name in ("one", "other")]
    assert read[0] != read[1]
    one, other = (Predictions.load(tmp_path / name) for name in ("one", "other"))
    assert one.boxes.tobytes() == other.boxes.tobytes()
    assert one.embeddings.tobytes() == other.embeddings.tobytes()


def test_tables_of_the_page_list_what_there_is() -> None:
    fields = set(predictions_folder.Manifest.model_fields)
    assert set(_names_after("`manifest.json`, one JSON object")) == fields
    assert {"file", "rows", "sha256"} == set(predictions_folder.Shard.model_fields)
    assert _names_after("`scenes-*.parquet`:") == predictions_folder.detection_schema(8, named=True).names
    assert _names_after("`queries.parquet`:") == predictions_folder.query_schema(8).names
    assert _names_after("## Pairwise predictions") == pairwise_folder.pair_schema().names
    said = re.search(r"schema_version, kind \"pairwise\", (.*?) as above;\s+(.*?) \(a file each\), (\w+) \(", PAGE)
    assert said
    words = {*re.split(r", | and ", f"{said[1]}, {said[2]}"), said[3], "schema_version", "kind"}
    assert words == set(pairwise_folder.Manifest.model_fields)


def test_optional_fields_are_those_that_the_page_says() -> None:
    optional = {n for n, f in predictions_folder.Manifest.model_fields.items() if not f.is_required()}
    said = {row[0].strip("`") for row in _rows_after("`manifest.json`, one JSON object") if "left out" in row[2]}
    assert said | {"schema_version"} == optional


def test_forms_of_the_page_are_those_there_are() -> None:
    assert _names_after("psbench import-detections npz") == list(FORMS)
    from psbench.importing import npz

    known = [*npz._NEEDED, "scene_names", *npz._QUERIES, *npz._CONTEXT]
    paragraph = PROSE[PROSE.index("Arrays of the `npz` form:") :].split("\n\n")[0].replace("`npz`", "")
    assert re.findall(r"`(\w+)`", paragraph) == known


def test_context_is_as_the_page_says(tmp_path: Path, dataset: psbench_data.PersonSearchDataset) -> None:
    folder = tmp_path / "mine"
    _written(folder)
    with np.load(EVALUATION / "prw.npz") as file:
        around = {part: file[f"query_det_{part}"] for part in ("counts", "boxes", "scores", "embeddings")}
    stretches = np.split(np.arange(around["counts"].sum()), np.cumsum(around["counts"])[:-1])
    columns = {part: [around[part][rows].tolist() for rows in stretches] for part in ("boxes", "scores", "embeddings")}
    schema = pa.schema(
        {
            "boxes": pa.list_(pa.list_(pa.float32(), 4)),
            "scores": pa.list_(pa.float32()),
            "embeddings": pa.list_(pa.list_(pa.float32(), 32)),
        }
    )
    pq.write_table(pa.table(columns, schema=schema), folder / "context.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["context"] = _shard(folder / "context.parquet")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    expected = json.loads((EVALUATION / "expected.json").read_text())["prw"]["search"]["regular,cbgm"]["mAP"]
    found = evaluate(Predictions.load(folder), dataset.protocol("regular"), cbgm=CBGM(30, 4))
    assert found.map == pytest.approx(expected, abs=1e-9)


def _shard(path: Path) -> dict[str, object]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": path.name, "rows": pq.read_metadata(path).num_rows, "sha256": digest}


def test_pairwise_folder_is_as_the_page_says(tmp_path: Path, dataset: psbench_data.PersonSearchDataset) -> None:
    """Everybody annotated, more alike where it is the right person: found first, every time."""
    task, test = dataset.protocol("regular"), dataset.split("test")
    own = set(zip(task.truth_queries.tolist(), task.truth_scenes.tolist(), strict=True))
    pairs = [(q, int(s)) for q in range(len(task.queries)) for s in task.gallery(q)]
    boxes = [test[s].boxes.tolist() for _, s in pairs]
    person = [task.queries[q].person_id for q, _ in pairs]
    same = [[float(p == i) for i in test[s].person_ids] for (_, s), p in zip(pairs, person, strict=True)]
    nobody: list[list[float] | None] = [None] * len(pairs)
    schema = pa.schema(
        {
            "query": pa.int32(),
            "scene": pa.int32(),
            "boxes": pa.list_(pa.list_(pa.float32(), 4)),
            "similarities": pa.list_(pa.float32()),
            "proposal_similarities": pa.list_(pa.float32()),
        }
    )
    columns = [[q for q, _ in pairs], [s for _, s in pairs], boxes, same, nobody]
    pq.write_table(pa.table(dict(zip(schema.names, columns, strict=True)), schema), tmp_path / "pairs-00000.parquet")
    pq.write_table(pa.table({"scene": list(test.names)}), tmp_path / "scenes.parquet")
    keys = pa.schema({"scene": pa.string(), "box": pa.list_(pa.float32(), 4)})
    of_queries = {"scene": task.queries.scene_names, "box": task.queries.boxes.tolist()}
    pq.write_table(pa.table(of_queries, keys), tmp_path / "queries.parquet")
    manifest = {
        **{"schema_version": 1, "kind": "pairwise", "method": "", "dataset": "prw", "fingerprint": ""},
        **{"synthetic": False, "pairs": [_shard(tmp_path / "pairs-00000.parquet")]},
        **{name: _shard(tmp_path / f"{name}.parquet") for name in ("scenes", "queries")},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert own
    assert evaluate(PairwisePredictions.load(tmp_path), task).map == 1


def test_fingerprint_is_where_the_page_says(dataset: psbench_data.PersonSearchDataset) -> None:
    [line] = re.findall(r"^    psbench-data (doctor .*)$", PAGE, re.MULTILINE)
    done = CliRunner().invoke(data_app, line.replace("/data/PRW-v16.04.20", str(EVALUATION / "prw")).split())
    assert json.loads(done.stdout)["fingerprints"]["test"] == dataset.split("test").fingerprint
    assert re.fullmatch("[0-9a-f]{64}", dataset.split("test").fingerprint)


def test_names_of_a_pool_are_in_the_original_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(POOL_NAMES.replace("annotation/", f"{EVALUATION}/movienet_cs/annotation/"))
    loaders = json.loads((EVALUATION / "expected_loaders.json").read_text())
    read = [scene["image"] for scene in loaders["movienet_cs"]["gallery_4000"]]
    assert Path("names.txt").read_text().splitlines() == read


def test_lines_for_pickles_are_those_of_the_message() -> None:
    """Which tests/test_importing.py executes."""
    lines = [line[4:] for line in PICKLE_REMEDY.splitlines() if line.startswith("    ")]
    assert ast.dump(ast.parse("\n".join(lines))) == ast.dump(ast.parse(UNPICKLING))
