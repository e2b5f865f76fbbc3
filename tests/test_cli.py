"""The commands one after another, as the README shows them, and what they say to wrong input."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import psbench_data
from psbench import PRESETS, PairwisePredictions
from psbench.cli import app
from psbench.evaluation.losses import CAUSES
from psbench_data.cli import app as data_app

TINY = [
    "schedule.epochs=1",
    "batch_size=3",
    "model_options.min_size=96",
    "model_options.max_size=128",
    "model_options.score_thresh_test=0.0",
    "model_options.rpn_post_nms_top_n_test=8",
]


def _run(command: object, *arguments: object, fails: bool = False) -> Result:
    result = CliRunner().invoke(command, [str(a) for a in arguments])  # type: ignore[arg-type]
    assert (result.exit_code != 0) == fails, result.output
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every command has done its work."""
    folder = tmp_path_factory.mktemp("commands")
    root = folder / "data"
    sizes = ("--train-scenes", 10, "--test-scenes", 52, "--train-identities", 4, "--test-identities", 5)
    _run(data_app, "synthesize", "cuhk_sysu", root, *sizes, "--height", 96, "--width", 128)
    sets = [part for change in TINY for part in ("--set", change)]
    _run(app, "train", "seqnet", "--recipe", "seqnet-demo", "--root", root, "--output", folder / "run", *sets)
    _run(app, "predict", folder / "run", "--root", root, "--output", folder / "predictions", "--context")
    return folder


def test_evaluate_prints_a_table_and_writes_json(folder: Path) -> None:
    arguments = ("--root", folder / "data", "--det-threshold", 0.0, "--json", folder / "result.json")
    result = _run(app, "evaluate", folder / "predictions", *arguments)
    assert "gallery-50" in result.output
    assert "synthetic people" in result.output
    written = json.loads((folder / "result.json").read_text())["evaluations"]
    assert [e["protocol"] for e in written] == ["gallery-50", "gallery-all"]
    assert 0 <= written[0]["map_interval"][0] <= written[0]["map"] <= written[0]["map_interval"][1] <= 1
    _run(app, "evaluate", folder / "predictions", *arguments, "--cbgm", "10,3")
    assert json.loads((folder / "result.json").read_text())["evaluations"][0]["cbgm"] == {"k1": 10, "k2": 3}


def test_audit_shows_every_published_evaluator(folder: Path) -> None:
    arguments = ("--root", folder / "data", "--protocol", "gallery-all", "--json", folder / "audit.json")
    output = _run(app, "evaluate", folder / "predictions", *arguments, "--audit").output
    assert all(f"  {name}" in output for name in PRESETS)
    rows = json.loads((folder / "audit.json").read_text())["audit"]
    assert [row["preset"] for row in rows] == list(PRESETS)
    assert {row["preset"]: row["det_threshold"] for row in rows}["alignps"] == 0.2
    assert "scored a second time" in next(row["rules"] for row in rows if row["preset"] == "seqnet")


def test_losses_and_breakdowns_are_printed_and_queries_written(folder: Path) -> None:
    arguments = ("--root", folder / "data", "--protocol", "gallery-50", "--det-threshold", 0)
    more = ("--errors", "--by", "matches", "--per-query", folder / "queries.parquet", "--json", folder / "more.json")
    output = _run(app, "evaluate", folder / "predictions", *arguments, *more).output
    assert "other person" in output
    assert "matches" in output
    written = json.loads((folder / "more.json").read_text())
    lost = sum(written["errors"][0][cause] for cause in CAUSES)
    assert lost == pytest.approx(1 - written["evaluations"][0]["map"])
    queries = pd.read_parquet(folder / "queries.parquet")
    assert queries["ap"].mean() == pytest.approx(written["evaluations"][0]["map"])
    assert queries["protocol"].tolist() == ["gallery-50"] * 5


def test_compare_says_which_is_better(folder: Path) -> None:
    two = folder / "predictions", folder / "predictions"
    arguments = ("--root", folder / "data", "--protocol", "gallery-50", "--json", folder / "comparison.json")
    output = _run(app, "compare", *two, *arguments, "--per-query", folder / "differences.parquet").output
    assert "p = 1" in output
    assert "better in B 0, worse 0, equal 5" in output
    assert json.loads((folder / "comparison.json").read_text())["comparisons"][0]["difference"] == 0
    assert len(pd.read_parquet(folder / "differences.parquet")) == 5


def test_pairwise_predictions_are_judged(folder: Path) -> None:
    dataset = psbench_data.load("cuhk_sysu", root=folder / "data")
    protocol, scenes = dataset.protocol("gallery-50"), dataset.split("test")
    pairs = [(q, int(s)) for q in range(len(protocol.queries)) for s in protocol.gallery(q)]
    PairwisePredictions.from_arrays(
        scenes.names,
        queries=[q for q, _ in pairs],
        scenes=[s for _, s in pairs],
        counts=[len(scenes[s].boxes) for _, s in pairs],
        boxes=np.concatenate([scenes[s].boxes for _, s in pairs]),
        similarities=np.concatenate([scenes[s].person_ids == protocol.queries[q].person_id for q, s in pairs]),
    ).save(folder / "pairs")
    arguments = ("--root", folder / "data", "--protocol", "gallery-50", "--json", folder / "pairs.json")
    _run(app, "evaluate", folder / "pairs", *arguments)
    assert json.loads((folder / "pairs.json").read_text())["evaluations"][0]["map"] == 1
    _run(app, "evaluate", folder / "pairs", *arguments, "--keep", 1)
    written = json.loads((folder / "pairs.json").read_text())["evaluations"][0]
    assert (written["keep"], written["top1"], written["detection"]) == (1, 1, None)
    assert written["map"] < 1
    assert "no scores" in _run(app, "evaluate", folder / "pairs", *arguments, "--det-threshold", 0.5, fails=True).output
    # Each kind takes the options that are meant for it.
    two = folder / "predictions", folder / "pairs"
    options = ("--keep", 100, "--det-threshold", 0.5)
    output = _run(app, "compare", *two, "--root", folder / "data", "--protocol", "gallery-50", *options).output
    assert "queries of 5 people" in output


def test_rank_writes_a_page(folder: Path) -> None:
    arguments = ("--root", folder / "data", "--protocol", "gallery-50", "-o", folder / "ranking.html", "--queries", 3)
    _run(app, "rank", folder / "predictions", *arguments)
    assert (folder / "ranking.html").read_text().startswith("<!doctype html>")


def test_summary_counts(folder: Path) -> None:
    result = _run(data_app, "summary", "cuhk_sysu", folder / "data")
    assert re.search(r"gallery-50 +1 +5 +50 ", result.output)
    assert "cuhk_sysu" in _run(data_app, "list").output


def test_doctor_finds_this_installation_well() -> None:
    assert "fit together" in _run(app, "doctor").output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "nowhere", "--root", "nowhere"], "does not exist"),
        (["evaluate", "FOLDER/data", "--root", "FOLDER/data"], "not a predictions folder"),
        (
            ["evaluate", "FOLDER/predictions", "--root", "FOLDER/data", "--protocol", "gallery-7"],
            "no protocol 'gallery-7'",
        ),
        (["evaluate", "FOLDER/predictions", "--root", "FOLDER/data", "--cbgm", "ten"], "expected K1,K2"),
        (["evaluate", "FOLDER/predictions", "--root", "FOLDER/data", "--json", "FOLDER"], "is a folder"),
        (["evaluate", "FOLDER/predictions", "--root", "FOLDER/data", "--by", "hight"], "no column 'hight'"),
        (["compare", "FOLDER/predictions", "FOLDER/run", "--root", "FOLDER/data", "--metric", "mAP"], "no metric"),
        (["predict", "FOLDER/data", "--root", "FOLDER/data", "--output", "x"], "not a finished run"),
        (
            ["predict", "FOLDER/run", "--root", "FOLDER/data", "--output", "FOLDER/predictions"],
            "holds other predictions",
        ),
        (["train", "seqnett", "--root", "FOLDER/data", "--output", "x"], "there is no recipe"),
        (["train", "seqnet", "--root", "FOLDER/data", "--output", "x", "--set", "lr"], "expected NAME=VALUE"),
        (
            ["train", "seqnet", "--root", "FOLDER/data", "--output", "x", "--set", "epochs=2"],
            "Did you mean 'schedule.epochs'",
        ),
        (["train", "seqnet", "--root", "FOLDER/data", "--output", "FOLDER/run"], "holds a finished run"),
    ],
)
def test_wrong_input_gets_one_message_and_no_traceback(folder: Path, arguments: list[str], words: str) -> None:
    result = _run(app, *(a.replace("FOLDER", str(folder)) for a in arguments), fails=True)
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_data_commands_do_what_they_say(folder: Path, tmp_path: Path) -> None:
    root = folder / "data"
    report = json.loads(_run(data_app, "doctor", root, "--json", "--images", "headers").stdout)
    assert (report["name"], report["ok"]) == ("cuhk_sysu", True)
    assert _run(data_app, "doctor", tmp_path, fails=True).exit_code == 1
    assert "by request" in _run(data_app, "terms", "cuhk_sysu").output
    assert "psbench-data 0" in _run(data_app, "--version").output
    for form, made in [("coco", "test.json"), ("parquet", "protocols/gallery-50.parquet"), ("hf", "dataset_dict.json")]:
        _run(data_app, "export", "cuhk_sysu", root, form, tmp_path / form)
        assert (tmp_path / form / made).is_file()
    _run(data_app, "export", "cuhk_sysu", root, "croissant", tmp_path / "croissant.json")
    assert json.loads((tmp_path / "croissant.json").read_text())["@type"] == "sc:Dataset"
    _run(data_app, "summary", "coco", tmp_path / "coco", "-O", f"images={root}", "-O", "seed=3")
    sizes = ("--train-scenes", 12, "--test-scenes", 20, "--train-identities", 4, "--test-identities", 4)
    _run(data_app, "synthesize", "prw", tmp_path / "prw", *sizes, "--sheet", tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_own_data_is_predicted_on_and_judged(folder: Path, tmp_path: Path) -> None:
    """A model that was trained on one dataset runs on any other."""
    _run(data_app, "export", "cuhk_sysu", folder / "data", "coco", tmp_path / "coco", "--with-images")
    for path in (tmp_path / "coco/protocols").iterdir():
        path.unlink()
    given = ("--data", "coco", "--root", tmp_path / "coco", "-O", "seed=1")
    _run(app, "predict", folder / "run", *given, "--other-data", "--output", tmp_path / "predictions")
    result = _run(app, "evaluate", tmp_path / "predictions", *given, "--det-threshold", 0.0, "--protocol", "gallery-20")
    assert "gallery-20" in result.output
    _run(app, "rank", tmp_path / "predictions", *given, "-o", tmp_path / "ranking.html", "--queries", 3)


def test_data_commands_complain_likewise(tmp_path: Path) -> None:
    assert _run(data_app, "doctor", tmp_path, "--name", "prww", fails=True).exit_code == 2
    assert (
        "Did you mean 'coco'" in _run(data_app, "export", "prw", tmp_path, "cocoo", tmp_path / "x", fails=True).stderr
    )
    assert "expected name=value" in _run(data_app, "summary", "prw", tmp_path, "-O", "x", fails=True).stderr
    assert "no option 'x'" in _run(data_app, "summary", "prw", tmp_path, "-O", "x=1", fails=True).stderr
    assert "cannot write the format" in _run(data_app, "synthesize", "prww", tmp_path / "x", fails=True).stderr
    assert "does not exist" in _run(data_app, "summary", "cuhk_sysu", tmp_path / "x", fails=True).stderr
