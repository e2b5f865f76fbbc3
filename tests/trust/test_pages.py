"""Pages in a browser: whatever strangers called things, no script of theirs runs and nothing is asked for."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import psbench
from psbench import Predictions
from psbench.leaderboard.card import Submitter, Training
from psbench.leaderboard.rendering import render
from psbench.leaderboard.reported import COLUMNS
from psbench.matches import Match, Matches
from psbench.reporting.filling import fill
from psbench.reporting.found import write_found
from psbench.reporting.page import to_page
from psbench.reporting.points_page import write_page
from psbench.reporting.ranking import write_ranking
from psbench.reporting.sheet import Sheet
from psbench.reporting.viewing import chosen_queries, chosen_scenes, write_view
from psbench_data import Protocol, Scenes
from psbench_data.galleries import protocol_table
from psbench_data.scenes import scenes_table
from tests.browser import Visit
from tests.leaderboard.made_up import entry_of, result
from tests.leaderboard.made_up import write as write_entry
from tests.scripts import TABLES
from tests.trust.attacks import CONTROLS, MARKS, MATHS, SCRIPTS
from tests.trust.named import measured

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = [*SCRIPTS, *MARKS, *MATHS, *CONTROLS]
ONE_LINE = [name for name in NAMES if name.isprintable() and len(name) <= 70]
ALL = " ".join(SCRIPTS)
BOX = np.array([[10, 5, 30, 45]], np.float32)


def _scenes(folder: Path) -> tuple[Scenes, Protocol]:
    """One person in every scene, searched for from the first."""
    Image.new("RGB", (64, 48)).save(folder / "a.png")
    count = len(NAMES)
    table = scenes_table(NAMES, ["a.png"] * count, [BOX] * count, [np.array([0])] * count, list(range(count)))
    scenes, listed = Scenes(table, folder, [ALL]), np.arange(1, count)
    columns = protocol_table([0], BOX, [0], [listed], [listed - 1], [np.repeat(BOX, count - 1, axis=0)])
    return scenes, Protocol(ALL, columns, scenes, dataset="d", synthetic=False, version=1)


def _view(folder: Path) -> Path:
    scenes, protocol = _scenes(folder)
    views = chosen_scenes(scenes, NAMES, 0, 0)
    return write_view(views, chosen_queries(protocol, 1, 0), folder / "v.html", title=ALL, data=ALL, protocol=ALL)


def _ranking(folder: Path) -> Path:
    scenes, protocol = _scenes(folder)
    ones = np.ones((len(scenes), 2))
    made = Predictions.from_arrays(
        scenes.names,
        counts=np.ones(len(scenes)),
        boxes=scenes.boxes,
        scores=np.ones(len(scenes)),
        embeddings=ones,
        query_embeddings=ones[:1],
    )
    evaluation = psbench.evaluate(made, protocol)
    return write_ranking(made, protocol, evaluation, folder / "r.html", method=ALL, data=ALL, top=len(NAMES) - 1)


def _found(folder: Path) -> Path:
    names = [f"{name.replace('/', '')}.png" for name in NAMES if "\0" not in name]
    (folder / "pictures").mkdir()
    for name in names:
        Image.new("RGB", (64, 48)).save(folder / "pictures" / name)
    matches = [Match(name, BOX[0], 0.9, 0.8, copies=[name]) for name in names]
    query = folder / "pictures" / names[0]
    found = Matches(query, BOX[0], folder / "pictures", ALL, 9, 9, 0.5, matches, unreadable=NAMES)
    return write_found(found, folder / "found.html")


def _points(folder: Path) -> Path:
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    drawn = {name: {"points": folder / "a.png"} for name in NAMES}
    return write_page(drawn, folder / "p.html", method=ALL, data=ALL, threshold=0.5, synthetic=False)


def _curves(folder: Path) -> Path:
    names = SCRIPTS[:8]
    numbers = [
        dataclasses.replace(m, protocol=f"gallery-{size}", gallery_size=size)
        for m in measured("gallery_curves", names)
        for size in (50, 100)
    ]
    return _written(folder / "curves.html", fill(TABLES["gallery_curves"], numbers))


def _report(folder: Path) -> Path:
    return _written(
        folder / "report.html", *(fill(TABLES["table2"], measured("table2", names)) for names in (ONE_LINE, []))
    )


def _written(path: Path, *sheets: Sheet) -> Path:
    path.write_text(to_page(sheets, title=ALL), encoding="utf-8")
    return path


def _leaderboards(folder: Path) -> Path:
    for i, name in enumerate(SCRIPTS):
        words = dict.fromkeys(("venue", "backbone", "notes"), name)
        entry = entry_of(f"{name} {i}", [{"regular": result(0.5, interval=(0.4, 0.6))}], review=(name,), **words)
        address = "https://e.org/?javascript:window.attacked=1"
        card = entry.card.model_copy(
            update={
                "training": Training(seeds=(0,), hardware=name, predictions=address),
                "submitter": Submitter(name=name, address=address),
            }
        )
        write_entry(folder, entry.model_copy(update={"card": card}).sealed())
    said = {"dataset": "CUHK-SYSU", "protocol": "cuhk-gallery", "variant": "v", "supervision": "full", "map": "50.0"}
    said |= {"post_processing": "none", "source_kind": "paper", "weak": "0", "preferred": "1"}
    said |= {"address": "https://e.org/#javascript:window.attacked=1", "code": "https://e.org/%22x=%22"}
    with (folder / "published.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for i, name in enumerate(SCRIPTS):
            words = dict.fromkeys(("method", "backbone", "venue", "source", "notes"), name) | {"method_key": f"m{i}"}
            writer.writerows(said | words | {"gallery_size": size} for size in ("50", "100"))
    return render(folder)[1]


PAGES: dict[str, Callable[[Path], Path]] = {
    "view": _view,
    "ranking": _ranking,
    "found": _found,
    "points": _points,
    "curves": _curves,
    "report": _report,
    "leaderboards": _leaderboards,
}
WATCH = """() => [window.attacked, document.querySelectorAll("iframe, object, embed").length,
  [...document.querySelectorAll("*")].flatMap(e => [...e.attributes]).filter(a => a.name.startsWith("on")).length,
  [...document.links].filter(a => !["file:", "https:"].includes(a.protocol)).length,
  document.scripts.length]"""
SCRIPTS_OF = {"view": 1, "ranking": 1, "found": 0, "points": 0, "curves": 2, "report": 0, "leaderboards": 1}


@pytest.fixture(scope="module")
def visit(browser: Browser) -> Visit:
    return Visit(browser)


@pytest.mark.parametrize("name", PAGES)
def test_names_on_a_page_are_text(name: str, visit: Visit, tmp_path: Path) -> None:
    path = PAGES[name](tmp_path)
    page = visit.open(path.as_uri())
    # All that can be pointed at, typed into or opened.
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true }")
    page.mouse.move(300, 300)
    for box in page.locator("input[type=search]").all():
        box.fill(SCRIPTS[0])
        box.fill("")
    page.wait_for_timeout(50)
    assert page.evaluate(WATCH) == [None, 0, 0, 0, SCRIPTS_OF[name]]
    assert {url for url in visit.asked if not url.startswith("data:")} == {path.as_uri()}
    assert not visit.wrong
    text = page.evaluate("document.documentElement.textContent")
    shown = SCRIPTS[:8] if name == "curves" else SCRIPTS
    assert [word for word in shown if word.replace("/", "" if name == "found" else "/") not in text] == []


def test_a_page_that_is_attacked_would_be_found_out(visit: Visit, tmp_path: Path) -> None:
    """What is looked at above shows something where a page takes the same words for more than text."""
    (tmp_path / "attacked.html").write_text(
        f"<!doctype html><title>t</title><p>{' '.join(SCRIPTS[:2])} {SCRIPTS[10:13]}"
    )
    page = visit.open((tmp_path / "attacked.html").as_uri())
    page.wait_for_function("window.attacked === 1")
    assert all(seen > usual for seen, usual in zip(page.evaluate(WATCH)[1:], [0, 0, 0, 0], strict=True))
    assert any("attack.invalid" in url for url in visit.asked)
