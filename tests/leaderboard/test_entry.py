"""Entries: one form alone, so that a change is seen."""

import json
from pathlib import Path

import pytest

from psbench import InputError
from psbench.leaderboard import Entry
from psbench.leaderboard.entry import Detection, Result, Run, board_of, slug
from tests.leaderboard.making import card


def entry(**changes: object) -> Entry:
    """One run under one protocol."""
    result = Result(
        version=1, digest="d" * 64, gallery_size=6_111, queries=2_057, skipped=1,
        map=0.5, top1=0.25, top5=0.5, top10=0.75, map_interval=(0.4, 0.6), top1_interval=(0.1, 0.3),
    )  # fmt: skip
    run = Run(
        seed=1, kind="detections", manifest="a" * 64, results={"regular": result},
        detection=Detection(recall=0.9, ap=0.8),
    )  # fmt: skip
    values = {"dataset": "prw", "synthetic": False, "fingerprint": "f" * 64, "card": card(), "runs": (run,)}
    return Entry(**(values | {"psbench": "0.1.0", "date": "2026-01-31"} | changes)).sealed()


def test_entry_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = entry(card=card(name="<b>Bold</b> & 人"), options={"train_subset": 10})
    made.write(tmp_path / "a" / "entry.json")
    assert Entry.load(tmp_path / "a/entry.json") == made
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["entry.json"]


def test_every_other_form_is_refused(tmp_path: Path) -> None:
    path, made = tmp_path / "entry.json", entry()
    written = made.to_bytes()
    values = json.loads(written)
    forms = [
        json.dumps(values).encode(),
        written + b"\n",
        b" " + written,
        b"\xef\xbb\xbf" + written,
        written.replace(b'"map": 0.5', b'"map": 0.50'),
        written.replace(b'"map": 0.5', b'"map": 0.6'),
        written.replace(b'"seed": 1', b'"seed": 1.0'),
        written.replace(b'"date"', b'"date": "2026-01-31", "date"'),
        written.replace(made.digest.encode(), b"0" * 64),
        made.model_copy(update={"digest": ""}).to_bytes(),
        written[:-20],
        b"",
        b"[" * 100_000,
        json.dumps(values | {"more": 1}).encode(),
    ]
    for form in forms:
        path.write_bytes(form)
        with pytest.raises(InputError, match=r"entry\.json"):
            Entry.load(path)


@pytest.mark.parametrize("date", ["2026-02-30", "31.01.2026", "2026-1-31", "٢٠٢٦-01-31", ""])
def test_dates_are_dates(date: str) -> None:
    with pytest.raises(ValueError, match="date"):
        entry(date=date)


def test_files_and_folders_are_named_by_what_they_hold() -> None:
    assert entry().board == "prw"
    assert board_of("movienet_cs", {"train_subset": 10}, synthetic=True) == "movienet_cs-train_subset-10-synthetic"
    assert entry(card=card(name="NAE+")).file_name == "nae-plus.json"
    assert slug("../../etc/passwd") == "etc-passwd"
    assert slug("人") == "method"
