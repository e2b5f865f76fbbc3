"""Pairwise predictions in memory and as a folder."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from psbench import InputError, Predictions
from psbench.pairwise import PairwisePredictions

_COLUMNS = ("pair_queries", "pair_scenes", "offsets", "query_offsets", "boxes", "similarities")


def _some(**changes: object) -> PairwisePredictions:
    """Two queries in three scenes: query 0 has scenes b (nothing found) and c, query 1 scenes a and c."""
    values: dict = {
        "scene_names": ["a.jpg", "b.jpg", "c.jpg"],
        "queries": [0, 0, 1, 1],
        "scenes": [1, 2, 0, 2],
        "counts": [0, 2, 1, 1],
        "boxes": [[0, 0, 10, 20], [5, 5, 15, 30], [1, 1, 4, 9], [2, 2, 3, 3]],
        "similarities": [0.9, -0.6, 1.5, 0.25],
    } | changes
    return PairwisePredictions.from_arrays(values.pop("scene_names"), **values)


def _assert_equal(a: PairwisePredictions, b: PairwisePredictions) -> None:
    for name in _COLUMNS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype == getattr(b, name).dtype
    for name in ("scene_names", "num_queries", "method", "dataset", "fingerprint", "synthetic"):
        assert getattr(a, name) == getattr(b, name)
    for name in ("proposal_similarities", "query_scenes", "query_boxes"):
        one, other = (getattr(each, name) for each in (a, b))
        # Of no rows it cannot be told whether they have such a column.
        one, other = (None if each is None or not len(each) else list(map(str, each)) for each in (one, other))
        assert one == other


@st.composite
def _pairwise(draw: st.DrawFn) -> dict:
    """What from_arrays takes, with many equal similarities; the pairs in any order."""
    num_queries, num_scenes = draw(st.integers(0, 5)), draw(st.integers(1, 5))
    every = [(query, scene) for query in range(num_queries) for scene in range(num_scenes)]
    pairs = draw(st.permutations(every))[: draw(st.integers(0, len(every)))]
    counts = draw(st.lists(st.integers(0, 4), min_size=len(pairs), max_size=len(pairs)))
    levels = arrays(np.float32, sum(counts), elements=st.sampled_from([-1.0, 0.0, 0.25, 0.5]))
    named = draw(st.booleans())
    return {
        "scene_names": [f"scene {i}.jpg" for i in range(num_scenes)],
        "queries": [query for query, _ in pairs],
        "scenes": [scene for _, scene in pairs],
        "counts": counts,
        "boxes": np.repeat(np.arange(sum(counts), dtype=np.float32)[:, None], 4, axis=1),
        "similarities": draw(levels),
        "proposal_similarities": draw(st.none() | levels),
        "num_queries": num_queries,
        "query_scenes": ["scene 0.jpg"] * num_queries if named else None,
        "query_boxes": np.arange(4 * num_queries).reshape(-1, 4) if named else None,
    }


def _made(values: dict) -> PairwisePredictions:
    columns = dict(values)
    return PairwisePredictions.from_arrays(columns.pop("scene_names"), **columns)


def _of_pairs(values: dict) -> dict[tuple[int, int], list[tuple[float, float, float]]]:
    """For each listed pair its boxes (their first side), similarities and proposal similarities, by plain loops."""
    found, row = {}, 0
    proposal = values["proposal_similarities"]
    proposal = values["similarities"] if proposal is None else proposal
    for query, scene, count in zip(values["queries"], values["scenes"], values["counts"], strict=True):
        rows = range(row, row + count)
        found[query, scene] = [(values["boxes"][r][0], values["similarities"][r], proposal[r]) for r in rows]
        row += count
    return found


def _held(p: PairwisePredictions) -> dict[tuple[int, int], list[tuple[float, float, float]]]:
    """The same, read through the documented offsets."""
    proposal = p.similarities if p.proposal_similarities is None else p.proposal_similarities
    return {
        (query, int(p.pair_scenes[pair])): [
            (p.boxes[r, 0], p.similarities[r], proposal[r]) for r in range(p.offsets[pair], p.offsets[pair + 1])
        ]
        for query in range(p.num_queries)
        for pair in range(p.query_offsets[query], p.query_offsets[query + 1])
    }


@given(_pairwise())
def test_pairs_in_any_order_are_found_again_by_query(values: dict) -> None:
    predictions = _made(values)
    assert _held(predictions) == _of_pairs(values)
    assert (np.diff(predictions.pair_queries) >= 0).all()


@given(_pairwise(), st.data())
def test_mixing_the_pairs_of_different_queries_changes_nothing(values: dict, data: st.DataObject) -> None:
    # Within a query the order is kept: it decides between equals.
    left = {query: [p for p, other in enumerate(values["queries"]) if other == query] for query in values["queries"]}
    order = [left[query].pop(0) for query in data.draw(st.permutations(values["queries"]))]
    starts = np.cumsum([0, *values["counts"]])
    rows = [row for pair in order for row in range(starts[pair], starts[pair + 1])]
    by_pair = {name: [values[name][pair] for pair in order] for name in ("queries", "scenes", "counts")}
    by_row = {
        name: None if values[name] is None else values[name][rows]
        for name in ("boxes", "similarities", "proposal_similarities")
    }
    _assert_equal(_made(values | by_pair | by_row), _made(values))


@given(_pairwise(), st.integers(1, 12))
def test_the_best_proposals_of_a_gallery_are_kept(values: dict, n: int) -> None:
    kept = _held(_made(values).keep(n))
    expected = {}
    given = _of_pairs(values)
    for query in range(values["num_queries"]):
        mine = [(pair, box) for pair, boxes in given.items() if pair[0] == query for box in boxes]
        best = sorted(range(len(mine)), key=lambda i: (-mine[i][1][2], i))[:n]
        for pair in given:
            if pair[0] == query:
                expected[pair] = [mine[i][1] for i in sorted(best) if mine[i][0] == pair]
    assert kept == expected


@settings(max_examples=40, deadline=None)
@given(_pairwise())
def test_folder_gives_back_what_was_saved(tmp_path_factory: pytest.TempPathFactory, values: dict) -> None:
    saved = _made(values)
    _assert_equal(PairwisePredictions.load(saved.save(tmp_path_factory.mktemp("folders") / "pairwise")), saved)


def test_many_shards_and_every_field_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psbench.pairwise_folder._PAIRS_PER_SHARD", 3)
    saved = _some(
        proposal_similarities=[1, 2, 3, 4],
        query_scenes=["a.jpg", "b.jpg", "b.jpg"],
        query_boxes=[[0, 0, 5, 5], [0, 0, 5, 5], [1, 1, 4, 9]],
        method="igpn",
        dataset="prw",
        fingerprint="f" * 64,
        synthetic=True,
    )
    folder = saved.save(tmp_path / "pairwise")
    assert sorted(p.name for p in folder.iterdir()) == [
        "manifest.json", "pairs-00000.parquet", "pairs-00001.parquet", "queries.parquet", "scenes.parquet",
    ]  # fmt: skip
    _assert_equal(PairwisePredictions.load(folder), saved)
    assert saved.num_queries == 3
    assert saved.query_offsets.tolist() == [0, 2, 4, 4]
    assert saved.counts.tolist() == [0, 2, 1, 1]


def test_folder_is_plain_parquet(tmp_path: Path) -> None:
    folder = _some().save(tmp_path / "pairwise")
    rows = pq.read_table(folder / "pairs-00000.parquet").to_pylist()
    empty = {"query": 0, "scene": 1, "boxes": [], "similarities": [], "proposal_similarities": None}
    assert rows[0] == empty
    assert rows[3] == empty | {"query": 1, "scene": 2, "boxes": [[2, 2, 3, 3]], "similarities": [0.25]}
    assert pq.read_table(folder / "scenes.parquet").to_pylist()[2] == {"scene": "c.jpg"}
    assert json.loads((folder / "manifest.json").read_text())["kind"] == "pairwise"


def test_keeping_is_by_the_proposals_own_similarity() -> None:
    kept = _some(proposal_similarities=[1, 5, 2, 2]).keep(1)
    assert kept.counts.tolist() == [0, 1, 1, 0]
    assert kept.similarities.tolist() == pytest.approx([-0.6, 1.5])
    assert kept.proposal_similarities is not None
    assert kept.proposal_similarities.tolist() == [5, 2]


@pytest.mark.parametrize("n", [0, -3, 1.5])
def test_keeping_nothing_is_refused(n: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        _some().keep(n)


def test_existing_work_is_not_overwritten(tmp_path: Path) -> None:
    folder = _some().save(tmp_path / "pairwise")
    with pytest.raises(InputError, match="something here already"):
        _some(similarities=np.zeros(4)).save(folder)
    _assert_equal(PairwisePredictions.load(folder), _some())


@pytest.mark.parametrize(
    ("changes", "mentions"),
    [
        ({"queries": [0, 0, 1, 5], "num_queries": 2}, ["pair 3 is of query 5, while there are 2"]),
        ({"scenes": [1, 2, 3, 2]}, ["pair 2 is of scene 3, while there are 3"]),
        ({"scenes": [1, -1, 0, 2]}, ["scenes: row 1 is -1"]),
        ({"scenes": [1, 1, 0, 2]}, ["pair 1 (query 0, scene 'b.jpg'): listed a second time"]),
        ({"scene_names": ["a.jpg", "b.jpg", "a.jpg"]}, ["scene 2: 'a.jpg' is listed a second time"]),
        ({"counts": [0, 2, 2, 1]}, ["boxes has shape (4, 4), expected (5, 4)", "similarities has shape (4,)"]),
        ({"counts": [0, 0.5, 2, 1]}, ["counts: row 1 is 0.5"]),
        ({"queries": [0, 1, 1]}, ["scenes has shape (4,), expected (3,)", "counts has shape (4,), expected (3,)"]),
        (
            {"similarities": [1, np.nan, 0, 0]},
            ["pair 1 (query 0, scene 'c.jpg'): the similarity of proposal 1 has NaN"],
        ),
        (
            {"proposal_similarities": [1, 0, np.inf, 0]},
            ["pair 2", "the proposal similarity of proposal 0 has NaN or inf"],
        ),
        (
            {"boxes": [[0, 0, 1, 1]] * 3 + [[3, 0, 1, 1]]},
            ["pair 3 (query 1, scene 'c.jpg')", "is [3.0, 0.0, 1.0, 1.0]"],
        ),
        ({"num_queries": -1}, ["num_queries is -1"]),
        ({"queries": [0, 0, 1, 2**40]}, ["expected fewer than 2**31"]),
        ({"query_scenes": ["a.jpg", "b.jpg"]}, ["belong together"]),
        (
            {"query_scenes": ["a.jpg"] * 2, "query_boxes": np.zeros((2, 4))},
            ["query 1: the same scene and box as query 0"],
        ),
        ({"query_scenes": ["a.jpg"], "query_boxes": np.zeros((1, 4))}, ["pair 2 is of query 1, while there are 1"]),
    ],
)
def test_values_that_cannot_be_right_are_named(changes: dict, mentions: list[str]) -> None:
    with pytest.raises(InputError) as error:
        _some(**changes)
    for words in mentions:
        assert words in str(error.value)


def test_faults_of_every_kind_are_found_at_once() -> None:
    with pytest.raises(InputError) as error:
        _some(
            scene_names=["a.jpg", "b.jpg", "b.jpg"],
            queries=["first", 0, 1, 1],
            scenes=[1, 2, 7, 2],
            boxes=[[0, 0, 1, 1], [0, 0, np.nan, 1], [0, 0, 1, 1], [3, 0, 1, 1]],
            similarities=[1, 2],
            proposal_similarities=[1, 2, 3, -np.inf],
            query_scenes=["a.jpg", "b.jpg"],
            query_boxes=[[0, 0, 1, 1]],
        )
    faults = "\n".join(error.value.faults)
    for words in [
        "queries is not an array of numbers",
        "scene 2: 'b.jpg' is listed a second time",
        "pair 2 is of scene 7",
        "pair 1: the box of proposal 1 has NaN",
        "pair 3: the box of proposal 0 is [3.0",
        "similarities has shape (2,), expected (4,)",
        "pair 3: the proposal similarity of proposal 0 has NaN or infinity",
        "query_boxes has shape (1, 4), expected (2, 4)",
    ]:
        assert words in faults
    assert len(error.value.faults) == 8


def _rewrite(folder: Path, file: str, change: Callable[[dict], object]) -> None:
    """Change a shard's columns and bring the manifest's checksum up to date, as an honest writer's mistake would."""
    table = pq.read_table(folder / file)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    change(columns)
    pq.write_table(
        pa.table({name: pa.array(v, table.schema.field(name).type) for name, v in columns.items()}), folder / file
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    for shard in [*manifest["pairs"], manifest["queries"], manifest["scenes"]]:
        if shard["file"] == file:
            shard["sha256"] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_folder_with_its_pairs_in_another_order_is_read(tmp_path: Path) -> None:
    folder = _some().save(tmp_path / "pairwise")

    def scene_by_scene(columns: dict) -> None:
        for name, values in columns.items():
            columns[name] = [values[2], values[0], values[1], values[3]]

    _rewrite(folder, "pairs-00000.parquet", scene_by_scene)
    _assert_equal(PairwisePredictions.load(folder), _some())


def _put(column: str, row: int, value: object) -> Callable[[dict], object]:
    return lambda columns: columns[column].__setitem__(row, value)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("pairs-00000.parquet", _put("query", 3, 2), r"pairs-00000\.parquet: row 3 is of query 2"),
        ("pairs-00000.parquet", _put("scene", 3, -1), r"pairs-00000\.parquet: row 3 is of scene -1"),
        ("pairs-00000.parquet", _put("scene", 0, None), "row 0: scene is missing"),
        ("pairs-00000.parquet", _put("boxes", 0, None), "row 0: boxes is missing. Give an empty list"),
        ("pairs-00000.parquet", _put("similarities", 0, [1.0]), "row 0: 0 boxes, 1 similarities"),
        ("pairs-00000.parquet", _put("proposal_similarities", 0, []), "row 1: proposal_similarities is missing"),
        ("pairs-00000.parquet", _put("similarities", 3, [float("nan")]), r"row 3 \(query 1, scene 'c.jpg'\): the s"),
        ("scenes.parquet", _put("scene", 1, "a.jpg"), r"scenes\.parquet: row 1: 'a.jpg' is listed a second time"),
        ("scenes.parquet", _put("scene", 1, None), r"scenes\.parquet: row 1: scene is missing"),
        ("queries.parquet", _put("scene", 1, "a.jpg"), r"queries\.parquet: row 0: scene is missing"),
    ],
)
def test_faulty_values_on_disk_name_file_and_row(tmp_path: Path, file: str, change: Callable, words: str) -> None:
    folder = _some().save(tmp_path / "pairwise")
    _rewrite(folder, file, change)
    with pytest.raises(InputError, match=words):
        PairwisePredictions.load(folder)


def test_proposal_similarities_in_some_shards_only_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psbench.pairwise_folder._PAIRS_PER_SHARD", 2)
    folder = _some().save(tmp_path / "pairwise")
    _rewrite(folder, "pairs-00001.parquet", lambda columns: columns.update(proposal_similarities=[[1.0], [2.0]]))
    with pytest.raises(InputError, match="null in some of its shards"):
        PairwisePredictions.load(folder)


def test_faults_of_all_files_are_found_at_once(tmp_path: Path) -> None:
    folder = _some().save(tmp_path / "pairwise")
    (folder / "scenes.parquet").write_bytes(b"nothing")
    (folder / "queries.parquet").unlink()
    _rewrite(folder, "pairs-00000.parquet", _put("boxes", 3, [[3.0, 0.0, 1.0, 1.0]]))
    with pytest.raises(InputError) as error:
        PairwisePredictions.load(folder)
    assert len(error.value.faults) == 3
    for words in ["scenes.parquet: its SHA-256", "queries.parquet: named in", "pairs-00000.parquet: row 3: the box"]:
        assert words in str(error.value)


def test_the_wrong_kind_of_folder_names_the_right_class(tmp_path: Path) -> None:
    pairwise = _some().save(tmp_path / "pairwise")
    with pytest.raises(InputError, match=r"psbench\.PairwisePredictions\.load"):
        Predictions.load(pairwise)
    detections = Predictions.from_arrays(
        ["a.jpg"], counts=[0], boxes=np.zeros((0, 4)), scores=[], embeddings=np.zeros((0, 2)), query_embeddings=[[1, 0]]
    ).save(tmp_path / "detections")
    with pytest.raises(InputError, match=r"psbench\.Predictions\.load"):
        PairwisePredictions.load(detections)
    manifest = detections / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"kind": "dreams"}))
    with pytest.raises(InputError, match="kind 'dreams', expected one of detections, pairwise"):
        Predictions.load(detections)
