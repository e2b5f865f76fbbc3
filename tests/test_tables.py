"""Tables: published numbers as printed in every format, what is measured beside them, marked for what it is."""

import csv
import json
import re
from collections import Counter
from importlib.resources import files
from typing import Any

import pytest

from psbench.reporting.filling import fill
from psbench.reporting.latex import to_latex
from psbench.reporting.markdown import to_markdown
from psbench.reporting.page import to_page
from psbench.reporting.records import to_csv, to_json
from psbench.reporting.sheet import Sheet
from psbench.reporting.table import Source, Table
from tests.made_up import made_up
from tests.read_tables import in_latex, in_markdown, in_page, numbers
from tests.scripts import SCRIPTS, TABLES

FIELDS = ("mem_gb", "params_m", "speed_fps", "rpn_params_m", "seconds", "map", "top1")
KINDS = pytest.mark.parametrize("kind", ["published", "real", "synthetic"])
NAMES = pytest.mark.parametrize("name", TABLES)


def _sheet(name: str, kind: str) -> Sheet:
    measured = [] if kind == "published" else made_up(SCRIPTS[name], synthetic=kind == "synthetic")
    return fill(TABLES[name], measured)


def _rows(source: Source) -> list[dict[str, str]]:
    with (files("psbench.reporting") / "published" / f"{source.data}.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [row for row in rows if all(row[key] == value for key, value in source.where.items())]


def _lines(table: Table) -> list[list[dict[str, str]]]:
    """The published rows of each line, in order."""
    lines: dict[tuple[Any, ...], list[dict[str, str]]] = {}
    for number, source in enumerate(table.sources):
        for row in _rows(source):
            lines.setdefault((number, *(row[key] for key in source.key)), []).append(row)
    return list(lines.values())


def _printed(table: Table) -> list[Counter[str]]:
    """The numbers of each line, as the files have them."""
    return [Counter(row[f] for row in rows for f in FIELDS if row.get(f)) for rows in _lines(table)]


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without pictures, which take long to draw."""
    monkeypatch.setattr("psbench.reporting.page.figure_of", lambda *_, **__: None)


@NAMES
@KINDS
@pytest.mark.usefixtures("no_pictures")
def test_every_published_number_is_there_as_printed(name: str, kind: str) -> None:
    sheet, expected = _sheet(name, kind), _printed(TABLES[name])
    assert sum(map(len, expected))
    for read in (in_markdown, in_latex):
        lines = [numbers(line) for line in read(sheet)]
        assert lines[: len(expected)] == expected, read.__name__
        assert not any(lines[len(expected) :])
    shown = [Counter(filter(None, line)) for line in in_page(sheet, "published")]
    assert [line for line in shown if line] == [line for line in expected if line]


@NAMES
@KINDS
def test_records_hold_the_published_rows(name: str, kind: str) -> None:
    sheet = _sheet(name, kind)
    table = {
        "csv": list(csv.DictReader(to_csv(sheet).splitlines())),
        "json": json.loads(to_json(sheet))["records"],
    }
    fields = {metric.field for columns in sheet.table.columns for metric in columns.metrics}
    expected = Counter(
        (row.get("dataset", ""), row.get("gallery_size", ""), f, row[f])
        for rows in _lines(sheet.table)
        for row in rows
        for f in FIELDS
        if row.get(f) and f in fields
    )
    for records in table.values():
        published = [record for record in records if record["kind"] == "published"]
        found = Counter(
            (record.get("dataset", ""), record.get("gallery_size", ""), f, record[f])
            for record in published
            for f in FIELDS
            if record.get(f)
        )
        assert found == expected
    measured = sum(1 for line in sheet.lines for entry in line.entries if entry.measurement)
    assert sum(record["kind"] != "published" for record in table["csv"]) == measured


def _best_by_hand(table: Table) -> list[list[tuple[str, bool]]]:
    """For each line its numbers, column by column, and whether each is the best of its block."""
    columns = [(columns, metric) for columns in table.columns for metric in columns.metrics]
    lines = []
    for source in table.sources:
        found: dict[tuple[str, ...], list[dict[str, str]]] = {}
        for row in _rows(source):
            found.setdefault(tuple(row[key] for key in source.key), []).append(row)
        lines += [(source.words + source.heading + rows[0].get(source.block, ""), rows) for rows in found.values()]
    marked: list[list[tuple[str, bool]]] = [[] for _ in lines]
    for of, metric in columns:
        texts = [
            next((r.get(metric.field, "") for r in rows if all(r.get(k, v) == v for k, v in of.where.items())), "")
            for _, rows in lines
        ]
        for i, (block, _) in enumerate(lines):
            rivals = [float(t) for t, (other, _) in zip(texts, lines, strict=True) if other == block and t]
            pick = max if metric.best == "highest" else min
            marked[i].append((texts[i], bool(texts[i]) and len(rivals) > 1 and float(texts[i]) == pick(rivals)))
    return marked


@NAMES
def test_bold_is_the_best_of_a_block(name: str) -> None:
    shown = [[(cell.strip("*"), cell.startswith("**")) for cell in line if cell] for line in
             in_markdown(_sheet(name, "published"))]  # fmt: skip
    assert shown == [[pair for pair in line if pair[0]] for line in _best_by_hand(TABLES[name])]


def test_where_papers_print_bold_otherwise_is_told() -> None:
    """Contradictions 8, 9 and 16 of the published numbers, and the tables that mark nothing at all."""
    told = {name: list(_sheet(name, "published").bold) for name in TABLES}
    nothing = "marks nothing."
    assert {name for name, words in told.items() if any(w.endswith(nothing) for w in words)} == {
        "table1", "table4", "table9", "table10", "table11", "upper_bound"
    }  # fmt: skip
    assert {name: words for name, words in told.items() if any(not w.endswith(nothing) for w in words)} == {
        "table7": ["IGPN paper, table 1 and section 4.4 does not mark 84.1 (VCCL, CUHK-SYSU, top-1)."],
        "table12": [
            "GLCNet README of December 2021 does not mark 96.3 (GLCNet, CUHK-SYSU, top-1).",
            "GLCNet README since April 2022 marks 47.6 (SeqNet+CBGM, PRW, mAP), too.",
        ],
    }


def test_measured_numbers_are_compared_with_their_own_kind() -> None:
    real, drawn = (made_up(SCRIPTS["table6"], synthetic=synthetic) for synthetic in (False, True))
    mixed = fill(TABLES["table6"], [real[0], *drawn[1:]])
    column = [line.entries[0].numbers[0] for line in mixed.lines]
    # OIM is alone on real data, the two others on synthetic.
    assert [number.measured_best for number in column].count(True) == 1
    assert not column[0].measured_best
    assert [number.published_best for number in column] == [False, False, False, True]


@NAMES
def test_differences_are_told_where_they_say_something(name: str) -> None:
    for line in _sheet(name, "real").lines:
        for columns, entry in zip(TABLES[name].columns, line.entries, strict=True):
            for metric, number in zip(columns.metrics, entry.numbers, strict=True):
                both = number.published and number.measured is not None and not metric.of_device
                assert (number.difference is not None) == bool(both)
                if both:
                    assert number.difference == pytest.approx(number.measured - float(number.published))  # type: ignore[operator]
    assert all(
        n.difference is None for line in _sheet(name, "synthetic").lines for e in line.entries for n in e.numbers
    )


def test_a_difference_is_printed_with_its_sign() -> None:
    sheet = _sheet("table2", "real")
    number = sheet.lines[0].entries[0].numbers[0]
    assert number.difference is not None
    cells = in_markdown(sheet)[0]
    assert cells[0] == "**38.0**"
    assert cells[1].removeprefix("**").startswith(f"{number.measured:.1f}")
    assert cells[2] == f"{number.difference:+.1f}".replace("-", "\N{MINUS SIGN}")


@NAMES
@pytest.mark.usefixtures("no_pictures")
def test_synthetic_numbers_say_so_in_every_format(name: str) -> None:
    sheet = _sheet(name, "synthetic")
    notes = re.compile(r"\[\d+\]|\\textsuperscript")
    for text, read in ((to_markdown(sheet), in_markdown), (to_latex(sheet), in_latex)):
        assert "drawn people" in text
        measured = [cell for line in read(sheet) for cell in line if notes.search(cell)]
        assert measured
        assert all("synthetic" in cell for cell in measured)
    page = to_page([sheet], title="page")
    assert "drawn people" in page
    assert page.count('<td class="measured') == page.count('<td class="measured synthetic"') + page.count(
        '<td class="measured"></td>'
    )
    assert page.count('class="mark">synthetic</small>') == page.count('<td class="measured synthetic"') > 0
    kinds = Counter(record["kind"] for record in csv.DictReader(to_csv(sheet).splitlines()))
    assert set(kinds) == {"published", "synthetic"}
    content = json.loads(to_json(sheet))
    assert content["synthetic"]
    assert "drawn people" in content["explanations"][0]
    assert all(record["synthetic"] == (record["kind"] == "synthetic") for record in content["records"])


@NAMES
@pytest.mark.usefixtures("no_pictures")
def test_numbers_on_real_data_are_not_called_synthetic(name: str) -> None:
    for kind in ("published", "real"):
        sheet = _sheet(name, kind)
        page = to_page([sheet], title="page").partition("</style>")[2]
        for text in (to_markdown(sheet), to_latex(sheet), page):
            assert "synthetic" not in text.lower()
        assert not json.loads(to_json(sheet))["synthetic"]


@NAMES
@pytest.mark.usefixtures("no_pictures")
def test_every_measured_cell_points_to_what_it_is(name: str) -> None:
    sheet = _sheet(name, "real")
    for line in sheet.lines:
        for entry in line.entries:
            if entry.measurement:
                assert entry.note
                assert sheet.notes[entry.note - 1] == entry.measurement.provenance
    page = to_page([sheet], title="page")
    for text in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{text}"' in page
    for record in csv.DictReader(to_csv(sheet).splitlines()):
        if record["kind"] == "measured" and record.get("map"):
            wanted = ("fingerprint", "recipe", "recipe_digest", "weights_digest", "psbench", "hardware", "data")
            assert all(record[key] for key in wanted)
            assert float(record["map_low"]) < float(record["map"]) < float(record["map_high"])


def test_what_can_only_be_quoted_is_marked() -> None:
    sheet = _sheet("table5", "real")
    names = {line.name for line in sheet.lines if line.reported_only}
    assert names == {"MGTS", "CLSA", "RDLR", "NPSM", "CGPS", "QEEPS", "APNet", "BINet"}
    assert "| APNet° |" in to_markdown(sheet)
    assert r"APNet\textdegree{} &" in to_latex(sheet)
    assert [r["reported_only"] for r in json.loads(to_json(sheet))["records"] if r["method"] == "APNet"] == [True, True]


def test_lines_of_a_grid_hold_what_was_measured_with_their_options() -> None:
    lines = _sheet("table13", "real").lines
    assert len(lines) == 30
    for line in lines:
        subsets = {m.data_options["train_subset"] for e in line.entries if (m := e.measurement) is not None}  # type: ignore[attr-defined]
        assert subsets == {int(line.values[1])}
    assert [line.name for line in lines if line.entries[0].numbers[0].published] == ["SeqNet"]


def test_what_no_column_asks_for_is_left_out() -> None:
    strangers = made_up(SCRIPTS["table6"], synthetic=False)
    assert fill(TABLES["table5"], strangers) == fill(TABLES["table5"], [])


def test_what_nobody_published_stands_below() -> None:
    sheet = _sheet("gallery_curves", "real")
    assert {line.name for line in sheet.blocks[-1].lines} == {"NAE", "SeqNet", "PCNet", "PCNet†", "IGPN + ResNet50"}
    assert sheet.blocks[-1].source is None
    kept = [line.values[1] for line in _sheet("proposal_curve", "real").lines]
    assert kept == ["10", "100", "1", "2", "5", "20", "50", "200", "500"]


def test_special_characters_survive() -> None:
    latex = to_latex(_sheet("table8", "published"))
    assert r"w/o L\&G &" in latex
    assert r"$\checkmark$ & -- & 81.3" in latex
    assert "1\\* |" in to_markdown(_sheet("table5", "published"))
    assert "w/o L&amp;G" in to_page([_sheet("table8", "published")], title="<b>")
    assert "<b>&lt;b&gt;" not in to_page([_sheet("table8", "published")], title="<b>")
