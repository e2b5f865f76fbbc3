"""What a leaderboard is made of: cards, entries and published numbers, checked and shown on the pages."""

from __future__ import annotations

import csv
import io
import tempfile
from itertools import islice
from pathlib import Path
from random import Random

from pydantic import ValidationError

from psbench.leaderboard import BOARD, Card, Entry, check, render
from psbench.leaderboard.card import Rules
from psbench.leaderboard.folder import PUBLISHED, link_of
from psbench.leaderboard.measuring import measure, rule_faults
from psbench.leaderboard.submitting import made_entry
from tests.leaderboard.making import card, card_file, honest
from tests.reliability.fuzz.grammar import json_changed
from tests.reliability.fuzz.of_psbench_predictions import dataset, tell
from tests.reliability.fuzz.target import Target
from tests.reliability.fuzz.words import NUMBERS, odd_text

_ROWS = 12


def _make_card(folder: Path) -> None:
    path = card_file(folder / "card.toml")
    rules = "[rules]\ndet_threshold = 0.5\ncbgm_k1 = 10\ncbgm_k2 = 3\nprotocols = []\n"
    path.write_text(path.read_text("utf-8").replace("[rules]\n", rules), "utf-8")


def _read_card(folder: Path) -> object:
    taken = Card.load(folder / "card.toml")
    for kind in ("detections", "pairwise"):
        rule_faults(taken.rules, kind)
    return taken


def _make_board(folder: Path) -> None:
    """Two entries beside the first published numbers."""
    with tempfile.TemporaryDirectory() as scratch:
        predictions = honest(dataset()).save(Path(scratch) / "predictions")
        for name, rules in (("Made up", {}), ("Another one", {"det_threshold": 0.6})):
            of = card(name=name, rules=rules, paper="https://a.test/paper", venue="CVPR 2020", notes="none")
            run = measure(predictions, dataset(), Rules(**rules), seed=1)
            entry = made_entry([run], dataset(), of, "2024-02-29")
            entry.write(folder / link_of(entry))
    with (BOARD / PUBLISHED).open(encoding="utf-8", newline="") as published:
        (folder / PUBLISHED).write_text("".join(islice(published, _ROWS + 1)), "utf-8")
    render(folder)


def _check_board(folder: Path) -> None:
    tell(check(board=folder))


def _entry_changed(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """An entry that is sealed, if it could be one."""
    path = random.choice(list(files))
    content = json_changed(random, files[path])
    try:
        return {path: Entry.model_validate_json(content).sealed().to_bytes()}
    except ValidationError:
        return {path: content}


def _table_changed(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """A table with another value in one of its rows, or in a whole column."""
    [(path, content)] = files.items()
    try:
        head, *rows = list(csv.reader(io.StringIO(content.decode("utf-8", "replace"))))
    except (ValueError, csv.Error):
        return {}
    column = random.randrange(len(head))
    chosen = rows if random.random() < 0.1 else random.choices(rows, k=min(len(rows), 1))
    values = [row[column] for row in rows if column < len(row)]
    for row in chosen:
        if column < len(row):
            row[column] = random.choice((odd_text(random), random.choice(NUMBERS), random.choice(values), "1", "0"))
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([head, *rows])
    return {path: written.getvalue().encode("utf-8", "surrogatepass")}


TARGETS = (
    Target("card of a method", _make_card, ("card.toml",), _read_card),
    Target("entries of a leaderboard", _make_board, ("entries/**/*.json",), _check_board, _entry_changed),
    Target("published numbers", _make_board, (PUBLISHED,), _check_board, _table_changed),
)
