"""The check that every change to the leaderboards passes, without predictions, images or annotations."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from psbench.cli import app
from psbench.leaderboard import Entry, check, render
from tests.leaderboard.making import card
from tests.leaderboard.test_entry import entry

ROOT = Path(__file__).parent.parent.parent


def put(board: Path, made: Entry) -> Path:
    """An entry, where it belongs."""
    path = board / "entries" / made.board / made.file_name
    made.write(path)
    return path


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Leaderboards with two entries, rendered."""
    folder = tmp_path / "leaderboards"
    folder.mkdir()
    shutil.copyfile(ROOT / "leaderboards/published.csv", folder / "published.csv")
    put(folder, entry())
    put(folder, entry(card=card(name="<script>alert(1)</script>")))
    render(folder)
    return folder


def _result(made: Entry, **changes: object) -> Entry:
    [run] = made.runs
    results = {name: result.model_copy(update=changes) for name, result in run.results.items()}
    return _run(made, results=results)


def _run(made: Entry, **changes: object) -> Entry:
    return made.model_copy(update={"runs": (made.runs[0].model_copy(update=changes),)}).sealed()


def test_leaderboards_of_this_repository_pass() -> None:
    assert check(board=ROOT / "leaderboards") == []


def test_rendered_leaderboards_pass_and_are_not_changed(board: Path) -> None:
    before = {path: path.read_bytes() for path in board.rglob("*") if path.is_file()}
    assert check(board=board) == []
    assert CliRunner().invoke(app, ["leaderboard", "check", "--board", str(board)]).exit_code == 0
    assert {path: path.read_bytes() for path in board.rglob("*") if path.is_file()} == before


def test_pages_that_are_not_rendered_again_are_found(board: Path) -> None:
    put(board, entry(card=card(name="Third")))
    faults = check(board=board)
    assert len(faults) == 2
    assert all("Run `psbench leaderboard render`" in fault for fault in faults)
    result = CliRunner().invoke(app, ["leaderboard", "check", "--board", str(board)])
    assert result.exit_code == 1
    assert "README.md" in result.stderr
    assert CliRunner().invoke(app, ["leaderboard", "render", "--board", str(board)]).exit_code == 0
    assert check(board=board) == []
    page = board / "index.html"
    page.write_text(page.read_text() + "<!-- mine -->")
    [fault] = check(board=board)
    assert "index.html" in fault
    page.unlink()
    assert len(check(board=board)) == 1


def test_the_same_predictions_under_two_names_are_to_be_reviewed(board: Path) -> None:
    command = ["leaderboard", "check", "--board", str(board)]
    # The two entries of the board were made of the same predictions.
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0
    path = board / "entries/prw/script-alert-1-script.json"
    assert f"{path}: to be reviewed: the predictions of entries/prw/made-up.json\n" in said.output
    other = _result(entry(card=card(name="<script>alert(1)</script>")), map=0.45)
    # By other rules of the card, as with and without CBGM, the numbers are others.
    put(board, other)
    render(board)
    assert "to be reviewed" not in CliRunner().invoke(app, command).output
    assert "to be reviewed" not in CliRunner().invoke(app, [*command[:-1], str(ROOT / "leaderboards")]).output


def test_entries_that_were_edited_are_found(board: Path) -> None:
    path = board / "entries/prw/made-up.json"
    path.write_bytes(path.read_bytes().replace(b'"top1": 0.25', b'"top1": 0.35'))
    [fault] = check([path], board)
    assert "changed since it was written" in fault
    assert check(board=board) == [fault]


def test_places_are_those_of_dataset_and_method(board: Path, tmp_path: Path) -> None:
    path = board / "entries/prw/made-up.json"
    for place in ("prw/mine.json", "cuhk_sysu/made-up.json", "made-up.json"):
        moved = board / "entries" / place
        moved.parent.mkdir(exist_ok=True)
        path.rename(moved)
        [fault] = check([moved], board)
        assert f"belongs at {path}" in fault
        moved.rename(path)
    (board / "entries/prw/link.json").symlink_to(path)
    (board / "entries/prw/notes.pkl").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    faults = check(board=board)
    assert len(faults) == 2
    assert "a link" in faults[0]
    assert "notes.pkl" in faults[1]


def test_two_entries_of_one_method_are_found(board: Path) -> None:
    shutil.copyfile(board / "entries/prw/made-up.json", board / "entries/prw/again.json")
    faults = check(board=board)
    assert len(faults) == 2
    assert any("belongs at" in fault for fault in faults)
    assert any("is of a method of this name, too" in fault for fault in faults)


SEEDS = card(seeds=[1, 2])
ONE = entry().runs[0]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (_result(entry(), map=0.7), "map is 0.7, outside its interval [0.4, 0.6]"),
        (_result(entry(), top1=0.2, top1_interval=(0.3, 0.1)), "top1 is 0.2, outside its interval"),
        (_result(entry(), top5=0.1), "expected none below the one before"),
        (_result(entry(), skipped=2_058), "2058 of 2057 queries were skipped"),
        (_result(entry(), map=None, map_interval=None), "map is None with 2056 queries that count"),
        (_result(entry(), skipped=2_057, map_interval=None), "map is 0.5 with 0 queries that count"),
        (
            _result(entry(), queries=131),
            "prw: 131 queries of regular, published are 2,057. An entry on the board prw needs",
        ),
        (
            _result(entry(), gallery_size=199),
            "prw: galleries of 199 scenes in regular, published are 6,111. An entry on",
        ),
        (_result(entry(), version=2), "of version 2, while this psbench has 1"),
        (_run(entry(), results={}), "it has no results"),
        (_run(entry(), results={"gallery-50": ONE.results["regular"]}), "prw can have no such protocol"),
        (_run(entry(), detection=None), "detection of detections predictions is missing"),
        (_run(entry(), kind="pairwise"), "detection of pairwise predictions is not defined"),
        (_run(entry(), seed=3), "the runs are of seeds [3]"),
        (entry(dataset="pwr"), "dataset 'pwr' is none of psbench's. Did you mean 'prw'?"),
        (entry(dataset="synthetic"), "dataset 'synthetic' is none of psbench's"),
        (entry(card=card(rules={"keep": 3})), "rules.keep: not for detections predictions"),
        (entry(card=SEEDS), "1 runs for 2 seeds"),
        (entry(card=SEEDS, runs=(ONE, ONE.model_copy(update={"seed": 2}))), "two runs are of the same predictions"),
        (
            entry(card=SEEDS, runs=(ONE, ONE.model_copy(update={"seed": 2, "manifest": "b" * 64, "results": {}}))),
            "regular: not in all runs",
        ),
        (
            entry(
                card=SEEDS,
                runs=(
                    ONE,
                    ONE.model_copy(
                        update={
                            "seed": 2,
                            "manifest": "b" * 64,
                            "results": {"regular": ONE.results["regular"].model_copy(update={"digest": "e" * 64})},
                        }
                    ),
                ),
            ),
            "the runs are not of one protocol",
        ),
    ],
)
def test_what_cannot_be_is_found_although_it_is_sealed(board: Path, made: Entry, words: str) -> None:
    path = put(board, made)
    faults = check([path], board)
    assert any(words in fault for fault in faults), faults
    assert all(fault.startswith(f"{path}: ") for fault in faults)
    assert CliRunner().invoke(app, ["leaderboard", "check", str(path), "--board", str(board)]).exit_code == 1
