"""Submission: an entry says what the evaluator says, or nothing is written."""

import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

import psbench
import psbench_data
from psbench import CBGM, InputError, Predictions
from psbench.cli import app
from psbench.leaderboard import Entry, submit, validate
from psbench.leaderboard.folder import entry_files
from psbench_data import PersonSearchDataset
from tests.leaderboard.making import card, card_file, honest, pairwise, tree

DATE = "2026-01-31"


def test_entry_says_what_the_evaluator_says(dataset: PersonSearchDataset, saved: Path, tmp_path: Path) -> None:
    path = submit(saved, dataset=dataset, card=card(name="Mine, 2nd"), board=tmp_path / "boards", date=DATE)
    assert path == tmp_path / "boards/entries/cuhk_sysu-synthetic/mine-2nd.json"
    entry = Entry.load(path)
    assert (entry.dataset, entry.synthetic, entry.options, entry.date) == ("cuhk_sysu", True, {}, DATE)
    assert (entry.fingerprint, entry.psbench) == (dataset.fingerprint, psbench.__version__)
    [run] = entry.runs
    assert tuple(run.results) == tuple(sorted(dataset.protocols))
    for name, result in run.results.items():
        protocol = dataset.protocol(name)
        evaluation = psbench.evaluate(Predictions.load(saved), protocol)
        assert (result.digest, result.version) == (protocol.digest, protocol.version)
        assert (result.map, result.top1, result.top5) == (evaluation.map, evaluation.top(1), evaluation.top(5))
        assert 0 < result.map < 1
        assert result.map_interval == evaluation.confidence_interval("map")
        assert result.top1_interval == evaluation.confidence_interval("top1")
    assert run.detection is not None
    assert run.detection.recall == evaluation.detection.recall
    assert run.review == ()


def test_rules_of_the_card_are_followed(dataset: PersonSearchDataset, saved: Path, tmp_path: Path) -> None:
    def measured(**rules: object) -> Entry:
        made = card(name=f"With {rules}", rules=rules)
        return Entry.load(submit(saved, dataset=dataset, card=made, board=tmp_path))

    plain, low = measured(), measured(det_threshold=0.8)
    assert low.runs[0].results["gallery-50"].map == pytest.approx(
        psbench.evaluate(Predictions.load(saved), dataset.protocol("gallery-50"), det_threshold=0.8).map
    )
    assert low.runs[0].results["gallery-50"].map != plain.runs[0].results["gallery-50"].map
    assert plain.date == datetime.date.today().isoformat()
    with pytest.raises(InputError, match="CBGM needs the detections of the queries' scenes"):
        measured(cbgm_k1=10, cbgm_k2=3)
    for rules in ({"keep": 5}, {"protocols": ["gallery-50"]}):
        with pytest.raises(InputError, match=rf"rules\.{next(iter(rules))}: not for detections predictions"):
            measured(**rules)


def test_context_is_used_where_the_card_asks_for_it(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    plain = honest(dataset)
    counts = [2] * len(plain.query_embeddings)
    first = [row for row in range(len(counts)) for _ in range(2)]
    assert plain.query_boxes is not None
    context = {
        "counts": counts,
        "boxes": plain.query_boxes[first],
        "scores": [0.9] * len(first),
        "embeddings": plain.query_embeddings[first],
    }
    folder = honest(dataset, context=context).save(tmp_path / "context")
    rules = {"cbgm_k1": 10, "cbgm_k2": 2}
    path = submit(folder, dataset=dataset, card=card(rules=rules), board=tmp_path / "boards")
    expected = psbench.evaluate(Predictions.load(folder), dataset.protocol("gallery-50"), cbgm=CBGM(10, 2))
    assert Entry.load(path).runs[0].results["gallery-50"].map == expected.map


def test_seeds_are_runs_in_their_order(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    folders = [honest(dataset, seed).save(tmp_path / str(seed)) for seed in (5, 3)]
    entry = Entry.load(submit(folders, dataset=dataset, card=card(seeds=[5, 3]), board=tmp_path / "boards"))
    assert [run.seed for run in entry.runs] == [5, 3]
    maps = [run.results["gallery-all"].map for run in entry.runs]
    protocol = dataset.protocol("gallery-all")
    assert maps == [psbench.evaluate(honest(dataset, seed), protocol).map for seed in (5, 3)]


def test_pairwise_predictions_are_of_the_protocols_that_the_card_names(
    dataset: PersonSearchDataset, tmp_path: Path
) -> None:
    folder = pairwise(dataset, ["gallery-50"]).save(tmp_path / "pairs")
    with pytest.raises(InputError, match="of gallery-all was not searched"):
        submit(folder, dataset=dataset, card=card(), board=tmp_path / "boards")
    rules = {"protocols": ["gallery-50"], "keep": 20}
    entry = Entry.load(submit(folder, dataset=dataset, card=card(rules=rules), board=tmp_path / "boards"))
    [run] = entry.runs
    assert (run.kind, run.detection, list(run.results)) == ("pairwise", None, ["gallery-50"])
    protocol = dataset.protocol("gallery-50")
    expected = psbench.evaluate(pairwise(dataset, ["gallery-50"]), protocol, keep=20).map
    assert run.results["gallery-50"].map == expected
    assert expected != psbench.evaluate(pairwise(dataset, ["gallery-50"]), protocol).map
    with pytest.raises(InputError, match=r"rules\.det_threshold: not for pairwise predictions"):
        submit(folder, dataset=dataset, card=card(rules=rules | {"det_threshold": 0.5}), board=tmp_path / "boards")


def test_options_of_the_data_are_kept_and_make_a_board(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "data", "movienet_cs", wander=False, gallery_entries=(20, 30, 40), places=4, train_scenes=30,
        train_identities=6, appearances=(2, 12),
    )  # fmt: skip
    dataset = psbench_data.load("movienet_cs", root=root)
    folder = honest(dataset).save(tmp_path / "predictions")
    entry = Entry.load(submit(folder, dataset=dataset, card=card(), board=tmp_path / "boards"))
    assert entry.options == {"train_subset": 10}
    assert entry.board == "movienet_cs-train_subset-10-synthetic"


def test_everything_that_is_wrong_is_said_and_nothing_is_written(
    dataset: PersonSearchDataset, saved: Path, tmp_path: Path
) -> None:
    pairs = pairwise(dataset, dataset.protocols).save(tmp_path / "pairs")
    board = tmp_path / "boards"
    with pytest.raises(InputError) as error:
        submit(
            [saved, saved, pairs, tmp_path / "nothing"],
            dataset=dataset,
            card=card(seeds=[1, 2], rules={"keep": 3}),
            board=board,
            date="tomorrow",
        )
    for words in (
        "4 predictions folders for 2 seeds",
        "date is 'tomorrow', expected YYYY-MM-DD",
        "honest: the same predictions as",
        "predictions of two kinds (2 of detections, 1 of pairwise)",
        "nothing/manifest.json: not there",
        "rules.keep: not for detections predictions",
    ):
        assert sum(words in fault for fault in error.value.faults) == 1, words
    assert len(error.value.faults) == 6
    assert not board.exists()


def test_entries_are_replaced_on_demand_alone_and_never_those_of_others(
    dataset: PersonSearchDataset, saved: Path, tmp_path: Path
) -> None:
    def again(name: str, **options: bool) -> Path:
        return submit(saved, dataset=dataset, card=card(name=name), board=tmp_path, date=DATE, **options)

    path = again("My method")
    written = path.read_bytes()
    other = honest(dataset, 1).save(tmp_path / "other")
    for folder, made in ((other, card(name="My method")), (saved, card(name="My method", notes="better"))):
        with pytest.raises(InputError, match=r"'My method' has an entry already\. Replace it"):
            submit(folder, dataset=dataset, card=made, board=tmp_path)
    assert path.read_bytes() == written
    with pytest.raises(InputError, match="is the entry of 'My method', whose name becomes the same file name"):
        again("my-METHOD!", replace=True)
    assert again("My method", replace=True).read_bytes() == written
    path.write_bytes(written + b" ")
    with pytest.raises(InputError, match="Remove it first"):
        again("My method", replace=True)


def test_the_same_submission_again_changes_nothing(dataset: PersonSearchDataset, saved: Path, tmp_path: Path) -> None:
    """As after a process that was killed when the entry had just been written."""
    path = submit(saved, dataset=dataset, card=card(), board=tmp_path, date=DATE)
    written = path.read_bytes(), path.stat().st_mtime_ns
    # One that was killed just before.
    path.with_name(".made-up.0a1b2c3d.json").write_bytes(written[0])
    assert entry_files(tmp_path) == [path]
    assert submit(saved, dataset=dataset, card=card(), board=tmp_path) == path
    assert (path.read_bytes(), path.stat().st_mtime_ns) == written
    with pytest.raises(InputError, match="has an entry already"):
        submit(saved, dataset=dataset, card=card(), board=tmp_path, date="2026-02-01")


def test_suspicious_predictions_are_marked_for_review(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    made = honest(dataset)
    made.scores[:] = 1
    entry = Entry.load(submit(made.save(tmp_path / "p"), dataset=dataset, card=card(), board=tmp_path))
    assert entry.runs[0].review == (f"All {len(made.scores)} detections have the same score, 1.",)


def test_command_shows_numbers_and_standing(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    folders = [str(honest(dataset, seed).save(tmp_path / str(seed))) for seed in (1, 2)]
    path = card_file(tmp_path / "card.toml", "<b>Mine</b>", seeds="[1, 2]")
    command = ["submit", *folders, "--data", "cuhk_sysu", "--root", str(dataset.root), "--card", str(path)]
    command += ["--board", str(tmp_path / "boards")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    entry = Entry.load(tmp_path / "boards/entries/cuhk_sysu-synthetic/b-mine-b.json")
    maps = [100 * (run.results["gallery-50"].map or 0) for run in entry.runs]
    difference = abs(maps[0] - maps[1]) / 2**0.5
    assert f"{sum(maps) / 2:.2f} ± {difference:.2f}" in result.output
    assert "rank 1 of 1 computed" in result.output
    assert "synthetic people" in result.output
    again = CliRunner().invoke(app, command)
    assert (again.exit_code, again.stdout) == (0, result.stdout)
    other = str(honest(dataset, 3).save(tmp_path / "3"))
    changed = CliRunner().invoke(app, [other if word == folders[0] else word for word in command])
    assert changed.exit_code == 1
    assert "has an entry already" in changed.stderr


def test_command_says_what_stays_of_a_method_that_was_renamed(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    folder = honest(dataset).save(tmp_path / "p")
    entries = tmp_path / "boards/entries/cuhk_sysu-synthetic"

    def said(name: str, *options: str) -> str:
        made = card_file(tmp_path / "card.toml", name)
        command = ["submit", str(folder), "--root", str(dataset.root), "--card", str(made), *options]
        result = CliRunner().invoke(app, [*command, "--board", str(tmp_path / "boards")])
        assert result.exit_code == 0, result.output
        return result.output

    assert "remove its file" not in said("Old name", "--replace")
    assert "to be reviewed" not in said("Old name", "--replace")
    renamed = said("New name", "--replace")
    assert (
        f"nothing was replaced. If one of these is the same method, remove its file: {entries / 'old-name.json'}"
        in renamed
    )
    assert "to be reviewed: the predictions of entries/cuhk_sysu-synthetic/old-name.json" in renamed
    (entries / "old-name.json").unlink()
    again = said("New name", "--replace")
    assert "to be reviewed" not in again
    assert "remove its file" not in again


def test_predictions_of_unknown_data_are_no_entry(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    folder = honest(dataset, fingerprint="").save(tmp_path / "p")
    words = "fingerprint is empty, and an entry needs it, to say which data it is of. Those test scenes have "
    expected = f"{folder / 'manifest.json'}: {words}{dataset.split('test').fingerprint}."
    assert validate(folder, dataset) == [expected]
    with pytest.raises(InputError) as error:
        submit(folder, dataset=dataset, card=card(), board=tmp_path / "boards")
    assert error.value.faults == [expected]
    assert not (tmp_path / "boards").exists()
