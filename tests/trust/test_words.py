"""Words of strangers stay words: in tables of every format, in drawings, and in the terminal."""

from __future__ import annotations

import csv
import dataclasses
import html
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from psbench import Predictions
from psbench.cli import app
from psbench.leaderboard.rendering import render
from psbench.leaderboard.reported import COLUMNS
from psbench.reporting.curves import draw_curves
from psbench.reporting.dots import draw_dots
from psbench.reporting.filling import fill
from psbench.reporting.latex import escaped, to_latex
from psbench.reporting.markdown import plain_words, to_markdown
from psbench.reporting.points import draw_activation
from psbench.reporting.records import records, to_csv
from psbench.reporting.run_curves import write_run_curves
from psbench.reporting.style import svg
from psbench.sight import Level, Sight
from psbench_data import load
from psbench_data.cli import app as data_app
from tests.data.own_data import own_document, write_own_data
from tests.leaderboard.made_up import entry_of, result
from tests.leaderboard.made_up import write as write_entry
from tests.scripts import TABLES
from tests.trust.attacks import CONTROLS, FORMULAS, MATHS, SCRIPTS, TEX, WORDS
from tests.trust.named import measured

SHEET = fill(TABLES["table5"], measured("table5", WORDS))
COMPUTED = tuple("=+-@\t\r \N{FULLWIDTH EQUALS SIGN}")


def _joined(words: str) -> str:
    return " ".join(words.split())


def test_spreadsheets_compute_nothing() -> None:
    text = to_csv(SHEET)
    rows = list(csv.reader(text.splitlines()))
    assert len(rows) == 1 + len(records(SHEET))
    assert len({len(row) for row in rows}) == 1
    # Some end a row, or a cell, wherever these stand.
    assert not set("\r\t\v\f\x1c\x85\u2028") & set(text)
    cells = [cell for row in rows for cell in row]
    assert not [c for c in cells if c.startswith(COMPUTED) and not re.fullmatch(r"[+-]?\d+(\.\d+)?", c)]
    methods = [row["method"] for row in csv.DictReader(text.splitlines())]
    for word in FORMULAS:
        assert f"'{_joined(word)}" in methods or (word[0] == "a" and _joined(word) in methods), word


def test_numbers_stay_numbers() -> None:
    [worse] = measured("table5", ["worse"])
    sheet = fill(TABLES["table5"], [dataclasses.replace(worse, row=1, map=1.0)])
    differences = [row["map_difference"] for row in csv.DictReader(to_csv(sheet).splitlines())]
    assert [d for d in map(float, filter(None, differences)) if d < -50]


class _Tags(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_markdown_is_text_and_no_markup() -> None:
    markdown = pytest.importorskip("markdown", reason="renders Markdown: pip install --group docs")
    page = _Tags(markdown.markdown(to_markdown(SHEET), extensions=["tables"]))
    usual = _Tags(
        markdown.markdown(to_markdown(fill(TABLES["table5"], measured("table5", "a"))), extensions=["tables"])
    )
    assert page.tags == usual.tags
    assert page.attributes == usual.attributes
    # This renderer leaves the backslash before `~`, which others need.
    text = _joined(page.text.replace("\\~", "~"))
    for word in WORDS:
        assert _joined(word) in text or "|" in word, word


def test_no_word_makes_another_cell_or_line_of_a_table() -> None:
    lines = [line for line in to_markdown(SHEET).splitlines() if line.startswith("|")]
    usual = [line for line in to_markdown(fill(TABLES["table5"], [])).splitlines() if line.startswith("|")]
    # Those that measured columns and the lines of the words add.
    assert len(lines) == len(usual) + 1 + len(WORDS)
    assert len({len(re.sub(r"\\.", "", line).split("|")) for line in lines}) == 1


def test_the_leaderboards_page_of_markdown_says_names_in_the_same_way(tmp_path: Path) -> None:
    for i, word in enumerate(word for word in WORDS if word.isprintable() and 0 < len(word.strip()) <= 70):
        name = f"{word} {i}"
        write_entry(tmp_path, entry_of(name, [{"regular": result(0.5, interval=(0.4, 0.6))}], venue=word))
    readme = render(tmp_path)[0].read_text("utf-8")
    assert readme.count("| ✔ computed |") == i + 1
    for line in readme.splitlines():
        if "✔ computed |" in line:
            assert len(re.sub(r"\\.", "", line).split("|")) == 13
    for word in SCRIPTS:
        assert plain_words(word) in readme
        assert word not in readme or not set(word) & set("<&[`*")


_TAKEN = re.compile(r"\\text(backslash|asciitilde|asciicircum)\{\}|\\[&%$#_{}]|\{[\[\]*]\}|\\textdegree\{\}")


@pytest.mark.parametrize("word", [*TEX, *WORDS, *CONTROLS], ids=ascii)
def test_latex_carries_nothing_out(word: str) -> None:
    text = escaped(word)
    assert not set(_TAKEN.sub("", text)) & set("\\{}$&#%_^~[]*\n\r\t")
    assert not text.startswith(("[", "*"))


def test_latex_has_a_line_for_each_line() -> None:
    words = [line for line in to_latex(SHEET).splitlines() if r"\textsuperscript" in line]
    assert len(words) == len(WORDS)
    assert {len(re.sub(r"\\&", "", line).split(" & ")) for line in words} == {len(words[0].split(" & "))}


def test_a_published_number_of_a_stranger_is_text(tmp_path: Path) -> None:
    """A row of published.csv, which anybody can propose."""
    said = {"dataset": "PRW", "protocol": "prw-full", "gallery_size": "full", "method_key": "m", "variant": "v"}
    said |= {"supervision": "full", "post_processing": "none", "map": "50.0", "source_kind": "paper"}
    said |= {"weak": "0", "preferred": "1", "address": "https://e.org/%22onmouseover=window.attacked=1"}
    rows = []
    for i, word in enumerate(SCRIPTS):
        values = said | dict.fromkeys(("method", "backbone", "venue", "source", "notes"), word)
        rows.append(values | {"method_key": f"m{i}", "method": f"{word} {i}"})
    with (tmp_path / "published.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    page = _Tags(render(tmp_path)[1].read_text("utf-8"))
    assert not page.tags & {"img", "iframe", "svg", "body onload"}
    assert not [name for name in page.attributes if name.startswith("on")]
    assert all(word in page.text for word in SCRIPTS)


# Drawings.


def _drawn(text: str) -> list[str]:
    return [html.unescape(words) for words in re.findall(r"<text[^>]*>([^<]*)</text>", text)]


@pytest.mark.parametrize("table", ["table2", "gallery_curves"])
def test_drawings_write_words_and_no_formulas(table: str) -> None:
    words = [*MATHS, *SCRIPTS[:6]]
    sheet = fill(TABLES[table], measured(table, words))
    draw = draw_curves if TABLES[table].axis else draw_dots
    text = svg(draw(sheet, title="$\\frac{$"))
    assert "<script" not in text
    for word in words:
        assert any(drawn.startswith(word) for drawn in _drawn(text)), word


# No font has these.
@pytest.mark.filterwarnings("ignore:Glyph")
def test_drawings_are_xml_whatever_names_hold(tmp_path: Path) -> None:
    word = "a\x1b]0;b\x07\u202ec\x00"
    sheet = fill(TABLES["table2"], measured("table2", [word]))
    assert "a\\x1b]0;b\\x07" in "".join(ElementTree.fromstring(svg(draw_dots(sheet, title=word))).itertext())
    grid = np.zeros((1, 1, 2))
    level = Level("P3", grid, (8, 8), np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))
    nobody = np.zeros((0, 4), np.float32)
    sight = Sight(nobody, nobody[:, 0], nobody[:, 0], nobody[:, :2], nobody[:, None, :2], np.zeros(1), [level], None)
    ElementTree.parse(draw_activation(np.zeros((8, 8, 3), np.uint8), sight, tmp_path / "b.svg", title=word, people=1))


def test_pictures_of_trainings_and_of_scenes_may_be_called_anything(tmp_path: Path) -> None:
    word = MATHS[0]
    numbers = {"step": [0, 1], "epoch": [0, 0], "lr": [0.1, 0.1], "loss": [1.0, 2.0], "loss_a": [1.0, 2.0]}
    validations = pd.DataFrame({"epoch": [1], "step": [1], "protocol": [word], "map": [0.5], "top1": [0.5]})
    write_run_curves(pd.DataFrame(numbers), validations, tmp_path / "a.png", title=word, synthetic=False)
    grid = np.stack(np.meshgrid([4.0, 12], [4.0, 12]), axis=2)
    level = Level("P3", grid, (8, 8), np.ones((2, 2), np.float32), np.ones((2, 2), np.float32))
    nobody = np.zeros((0, 4), np.float32)
    sight = Sight(nobody, nobody[:, 0], nobody[:, 0], nobody[:, :2], nobody[:, None, :2], np.zeros(1), [level], None)
    draw_activation(np.zeros((16, 16, 3), np.uint8), sight, tmp_path / "b.svg", title=word, people=1)
    # Letters are drawn there as outlines, with what they say beside them.
    assert f"<!-- {word} -->" in (tmp_path / "b.svg").read_text("utf-8")


# The terminal.


@pytest.fixture(scope="module")
def controlling(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data and predictions that are called by what a terminal would obey."""
    folder = tmp_path_factory.mktemp("controlling")
    document = own_document()
    for i, image in enumerate(document["images"]):
        image["name"] = f"{CONTROLS[i % len(CONTROLS)]}{i}"
    for annotation in document["annotations"]:
        annotation["person_id"] = f"{CONTROLS[0]}{annotation['person_id']}"
    root = write_own_data(folder / "data", document)
    for i, word in enumerate(word for word in CONTROLS if "\0" not in word):
        (root / f"day/{word}{i}.jpg").write_bytes(b"no picture")
    test = load("coco", root=root).split("test")
    rng = np.random.default_rng(0)
    queries = load("coco", root=root).protocol("regular").queries
    made = Predictions.from_arrays(
        test.names,
        counts=np.diff(test.offsets),
        boxes=test.boxes,
        scores=np.ones(len(test.boxes)),
        embeddings=rng.normal(size=(len(test.boxes), 4)),
        query_embeddings=rng.normal(size=(len(queries), 4)),
        method=CONTROLS[0],
        dataset="coco",
        fingerprint=test.fingerprint,
    )
    return root, made.save(folder / "predictions")


COMMANDS = {
    "summary": ("coco", "ROOT"),
    "doctor": ("ROOT",),
    "export": ("coco", "ROOT", "parquet", "OUT", "--with-images"),
    "evaluate": ("MADE", "--root", "ROOT", "--data", "coco", "--protocol", "regular", "--errors"),
    "compare": ("MADE", "MADE", "--root", "ROOT", "--data", "coco", "--protocol", "regular"),
    "validate": ("MADE", "--root", "ROOT", "--data", "coco"),
    "view": ("--root", "ROOT", "--data", "coco", "-o", "OUT/v.html", "--scene", CONTROLS[0]),
    "rank": ("MADE", "--root", "ROOT", "--data", "coco", "--protocol", CONTROLS[0], "-o", "OUT/r.html"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_names_do_not_control_the_terminal(command: str, controlling: tuple[Path, Path], tmp_path: Path) -> None:
    root, made = controlling
    paths = {"ROOT": str(root), "MADE": str(made), "OUT": str(tmp_path / CONTROLS[0].replace("/", ""))}
    words = [re.sub(r"ROOT|MADE|OUT", lambda match: paths[match[0]], word) for word in COMMANDS[command]]
    program = data_app if command in ("summary", "doctor", "export") else app
    found = CliRunner().invoke(program, [command, *words], env={"COLUMNS": "120"})
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    assert found.output.strip()
    said = re.sub(r"\r[\w ]+: .*?/s\]", "", found.output)
    obeyed = set(re.findall(r"[^\n -~\xa0-\u024f\u2010-\u2027\u2190-\u25ff]", said))
    assert not obeyed, (obeyed, said)
