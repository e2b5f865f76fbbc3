"""Verification: what was submitted gives the entry again, and nothing else does."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import psbench_data
from psbench import InputError
from psbench.cli import app
from psbench.leaderboard import Entry, submit, verify
from psbench_data import PersonSearchDataset
from tests.leaderboard.making import card, honest, pairwise, tree

DATE = "2026-01-31"
FLIPS = 300


@pytest.fixture(scope="module")
def path(dataset: PersonSearchDataset, saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The entry of the honest predictions; not to be changed."""
    return submit(saved, dataset=dataset, card=card(), board=tmp_path_factory.mktemp("boards"), date=DATE)


def test_entries_are_verified(dataset: PersonSearchDataset, saved: Path, path: Path, tmp_path: Path) -> None:
    assert verify(Entry.load(path), [saved], dataset) == []
    folder = pairwise(dataset, ["gallery-50"]).save(tmp_path / "pairs")
    rules = {"protocols": ["gallery-50"], "keep": 9}
    pairs = submit(folder, dataset=dataset, card=card(rules=rules), board=tmp_path)
    assert verify(Entry.load(pairs), [folder], dataset) == []


def test_any_flipped_bit_is_found(
    dataset: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psbench.predictions_folder._SCENES_PER_SHARD", 20)
    folder = honest(dataset).save(tmp_path / "predictions")
    path = submit(folder, dataset=dataset, card=card(), board=tmp_path / "boards", date=DATE)
    files = [path, *sorted(file for file in folder.iterdir())]
    contents = {file: file.read_bytes() for file in files}
    assert sum(file.name.startswith("scenes-") for file in files) == 3
    rng = np.random.default_rng(11)
    for flip in range(FLIPS):
        file = files[flip % len(files)]
        changed = bytearray(contents[file])
        place, bit = int(rng.integers(len(changed))), int(rng.integers(8))
        changed[place] ^= 1 << bit
        file.write_bytes(changed)
        try:
            faults = verify(Entry.load(path), [folder], dataset)
        except InputError as error:
            faults = error.faults
        file.write_bytes(contents[file])
        assert faults, f"bit {bit} of byte {place} of {file.name}"
        assert any(file.name in fault for fault in faults)
    assert verify(Entry.load(path), [folder], dataset) == []


def _changed(entry: Entry, **changes: object) -> Entry:
    """With a result that was typed, and sealed again as anybody can."""
    [run] = entry.runs
    result = run.results["gallery-50"].model_copy(update=changes)
    results = run.results | {"gallery-50": result}
    return entry.model_copy(update={"runs": (run.model_copy(update={"results": results}),)}).sealed()


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("map", lambda value: value + 2e-6),
        ("top1", lambda value: value + 0.125),
        ("top5", lambda value: value - 0.125),
        ("top10", lambda value: None),
        ("map_interval", lambda value: (value[0] + 1e-3, value[1])),
        ("top1_interval", lambda value: None),
        ("queries", lambda value: value + 1),
        ("skipped", lambda value: value + 1),
        ("gallery_size", lambda value: value + 1),
        ("version", lambda value: value + 1),
        ("digest", lambda value: "0" * 64),
    ],
)
def test_numbers_that_were_typed_are_found(
    dataset: PersonSearchDataset, saved: Path, path: Path, field: str, change: Callable
) -> None:
    entry = Entry.load(path)
    typed = change(getattr(entry.runs[0].results["gallery-50"], field))
    [fault] = verify(_changed(entry, **{field: typed}), [saved], dataset)
    assert fault.startswith(f"run 0: results.gallery-50.{field}")


def test_differences_below_the_tolerance_are_rounding(dataset: PersonSearchDataset, saved: Path, path: Path) -> None:
    entry = Entry.load(path)
    value = entry.runs[0].results["gallery-50"].map
    assert value is not None
    assert verify(_changed(entry, map=value + 5e-7), [saved], dataset) == []


def test_results_that_were_left_out_are_found(dataset: PersonSearchDataset, saved: Path, path: Path) -> None:
    entry = Entry.load(path)
    [run] = entry.runs
    fewer = run.model_copy(update={"results": {"gallery-all": run.results["gallery-all"]}, "detection": None})
    faults = verify(entry.model_copy(update={"runs": (fewer,)}).sealed(), [saved], dataset)
    assert len(faults) == 2
    assert "results.gallery-50: None in the entry" in faults[1]


def test_signs_that_were_taken_out_are_found(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    made = honest(dataset)
    made.scores[:] = 1
    folder = made.save(tmp_path / "p")
    entry = Entry.load(submit(folder, dataset=dataset, card=card(), board=tmp_path))
    assert verify(entry, [folder], dataset) == []
    clean = entry.model_copy(update={"runs": (entry.runs[0].model_copy(update={"review": ()}),)}).sealed()
    assert verify(clean, [folder], dataset) == ["run 0: review: False in the entry, True computed again."]


def test_other_data_and_other_folders_are_refused(
    dataset: PersonSearchDataset, saved: Path, path: Path, tmp_path: Path
) -> None:
    entry = Entry.load(path)
    other = psbench_data.load("cuhk_sysu", root=tree(tmp_path / "other", seed=5))
    [fault] = verify(entry, [saved], other)
    assert fault.startswith("fingerprint: ")
    [fault] = verify(entry, [saved, saved], dataset)
    assert "2 predictions folders for 1 runs" in fault
    [fault] = verify(entry, [honest(dataset, 4).save(tmp_path / "4")], dataset)
    assert "its SHA-256 is not the entry's" in fault
    [fault] = verify(entry, [tmp_path / "nothing"], dataset)
    assert "not there" in fault


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["leaderboard", "verify", *map(str, arguments)])


def test_command_finds_predictions_and_data_and_says_what_it_lacks(
    dataset: PersonSearchDataset, tmp_path: Path
) -> None:
    board, top = tmp_path / "boards", tmp_path / "predictions"
    for name, seed in (("First", 1), ("Second", 2)):
        folder = honest(dataset, seed).save(top / "deep" / name)
        submit(folder, dataset=dataset, card=card(name=name), board=board, date=DATE)
    elsewhere = tree(tmp_path / "elsewhere", seed=9)
    options = ("--board", board, "--predictions", top)
    roots = ("--root", f"cuhk_sysu={elsewhere}", "--root", f"cuhk_sysu={dataset.root}")
    result = _run(*options, *roots)
    assert result.exit_code == 0, result.output
    assert result.output.count(".json: verified") == 2
    first = board / "entries/cuhk_sysu-synthetic/first.json"
    assert "1 verified" in _run(first, *options, "--root", f"cuhk_sysu-synthetic={dataset.root}").output

    result = _run(*options)
    assert result.exit_code == 1
    assert "2 not verified" in result.output
    assert "no --root of cuhk_sysu or cuhk_sysu-synthetic was given" in result.output

    shutil.rmtree(top / "deep/First")
    result = _run(*options, *roots)
    assert result.exit_code == 0
    assert "1 not verified, 1 verified" in result.output
    # Whoever names an entry wants to know of this one.
    second = first.with_name("second.json")
    assert _run(second, *options, *roots).exit_code == 0
    result = _run(first, second, *options, *roots)
    assert result.exit_code == 1
    assert "1 not verified, 1 verified" in result.output

    result = _run(*options, "--root", f"cuhk_sysu={elsewhere}")
    assert result.exit_code == 1
    assert "fingerprint: " in result.output

    first.write_bytes(first.read_bytes().replace(b'"seed": 1', b'"seed": 7'))
    result = _run(*options, *roots)
    assert result.exit_code == 1
    assert "first.json: wrong" in result.output
    assert "changed since it was written" in result.output
    for wrong in (("--root", "prw"), ("--predictions", tmp_path / "none"), ("--board", tmp_path / "none")):
        assert _run(*options, *wrong).exit_code == 1


def test_predictions_behind_links_are_not_followed(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    folder = honest(dataset).save(tmp_path / "away/p")
    submit(folder, dataset=dataset, card=card(), board=tmp_path / "boards")
    (tmp_path / "top").mkdir()
    (tmp_path / "top/link").symlink_to(tmp_path / "away")
    result = _run(
        "--board", tmp_path / "boards", "--predictions", tmp_path / "top", "--root", f"cuhk_sysu={dataset.root}"
    )
    assert result.exit_code == 1
    assert "no predictions folder whose manifest.json" in result.output
