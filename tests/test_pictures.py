"""Pictures and pages of tables and curves: what is drawn, what is told apart, and nothing fetched from elsewhere."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from psbench.reporting.curves import panels
from psbench.reporting.files import write_report, write_table
from psbench.reporting.filling import fill
from psbench.reporting.page import figure_of, to_page
from psbench.reporting.published import published
from psbench.reporting.sheet import Sheet
from psbench.reporting.style import SYNTHETIC, svg
from tests.made_up import made_up
from tests.scripts import SCRIPTS, TABLES

CURVES = [name for name, table in TABLES.items() if table.axis]


def _sheet(name: str, *, synthetic: bool) -> Sheet:
    return fill(TABLES[name], made_up(SCRIPTS[name], synthetic=synthetic))


def _drawn(sheet: Sheet) -> str:
    figure = figure_of(sheet, title="a title")
    assert figure is not None
    return svg(figure)


def test_published_curves_are_those_of_the_file() -> None:
    [panel] = panels(fill(TABLES["gallery_curves"], []))
    drawn = {(curve.name, point.x, point.y) for curve in panel.curves for point in curve.points}
    rows = published("glcnet_figure_gallery_curves")
    assert drawn == {(row["method"], float(row["gallery_size"]), float(row["map"])) for row in rows}
    assert {curve.name for curve in panel.curves if curve.reported_only} == {
        row["method"] for row in rows if row["measurable"] == "no"
    }


@pytest.mark.parametrize("name", CURVES)
def test_synthetic_curves_have_panels_of_their_own(name: str) -> None:
    for panel in panels(_sheet(name, synthetic=True)):
        kinds = {curve.kind for curve in panel.curves}
        assert kinds == {"synthetic"} if panel.title.endswith("synthetic data") else kinds == {"published"}
    for panel in panels(_sheet(name, synthetic=False)):
        assert "synthetic" not in panel.title
        assert "measured" in {curve.kind for curve in panel.curves}


def test_curves_over_a_label_join_the_lines_that_differ_in_it() -> None:
    first = panels(_sheet("table13", synthetic=False))[0]
    measured = [curve for curve in first.curves if curve.kind == "measured"]
    assert [curve.name for curve in measured] == ["OIM", "NAE", "SeqNet", "GLCNet", "PCNet", "IGPN"]
    assert all([point.x for point in curve.points] == [10, 30, 50, 70, 100] for curve in measured)
    assert [(c.name, [p.y for p in c.points]) for c in first.curves if c.kind == "published"] == [("SeqNet", [34.2])]


def test_measured_numbers_stand_at_the_scenes_that_were_searched() -> None:
    """The demo's galleries are smaller than those whose names they have."""
    script, table = SCRIPTS["gallery_curves"], TABLES["gallery_curves"]
    half = [replace(m, gallery_size=m.gallery_size // 2) for m in made_up(script, synthetic=True)]
    places = {
        curve.kind: {point.x for point in curve.points} for panel in panels(fill(table, half)) for curve in panel.curves
    }
    assert places["synthetic"] == {25, 50, 250, 500, 1000, 2000}
    assert {50, 4000} <= places["published"]


@pytest.mark.parametrize("name", ["table2", "gallery_curves"])
def test_pictures_of_synthetic_numbers_say_so(name: str, tmp_path: Path) -> None:
    colour = np.array([int(SYNTHETIC[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)
    for synthetic in (True, False):
        measured = made_up(SCRIPTS[name], synthetic=synthetic)
        files = {path.suffix: path for path in write_table(TABLES[name], measured, tmp_path)}
        assert ("synthetic data" in files[".svg"].read_text(encoding="utf-8")) == synthetic
        with Image.open(files[".png"]) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert pixels.shape[1] > 600
        assert (pixels == colour).all(-1).any() == synthetic


def test_every_synthetic_mark_has_its_colour() -> None:
    table, script = TABLES["table2"], SCRIPTS["table2"]
    # A mark and its interval for mAP and top-1 of each row, and in the legend.
    marks = 2 * len(script.rows) + 1
    assert _drawn(fill(table, made_up(script, synthetic=True))).count(SYNTHETIC) >= 2 * marks


def test_pictures_are_the_same_every_time() -> None:
    sheet = _sheet("table6", synthetic=False)
    assert _drawn(sheet) == _drawn(sheet)


def test_a_table_is_written_in_every_format(tmp_path: Path) -> None:
    files = write_table(TABLES["table6"], made_up(SCRIPTS["table6"], synthetic=False), tmp_path)
    assert [path.name for path in files] == [f"table6.{e}" for e in ("md", "csv", "tex", "json", "html", "png", "svg")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert ElementTree.parse(files[-1]).getroot().tag.endswith("svg")


def test_the_page_of_curves_knows_every_point() -> None:
    sheet = _sheet("gallery_curves", synthetic=True)
    page = to_page([sheet], title="page")
    curves = json.loads(re.findall(r'<script type="application/json">(.*?)</script>', page)[0])
    wanted = {
        (curve.name, curve.kind, panel.metric): [[p.x, p.y, p.low, p.high] for p in curve.points]
        for panel in panels(sheet)
        for curve in panel.curves
    }
    assert {(c["name"], c["kind"], c["metric"]): c["points"] for c in curves} == wanted
    root = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + len("</svg>")])
    groups = {group.get("id"): group for group in root.iter("{http://www.w3.org/2000/svg}g")}
    for curve in curves:
        # A mark a point, which the page's script finds the pointer's nearest among.
        assert len(list(groups[curve["id"]].iter("{http://www.w3.org/2000/svg}use"))) == len(curve["points"])
        assert f"{curve['id']}-name" in groups
        assert f"{curve['colour'].removeprefix('var(').removesuffix(')')}: #" in page


def test_the_report_holds_all_and_needs_nothing_else(tmp_path: Path) -> None:
    names = ("table2", "table13", "proposal_curve")
    tables = [TABLES[name] for name in names]
    measured = [made_up(SCRIPTS[name], synthetic=True) for name in names]
    page, text = (path.read_text(encoding="utf-8") for path in write_report(tables, measured, tmp_path))
    ids = re.findall(r'\bid="([^"]+)"', page)
    glyphs = [i for i in ids if ids.count(i) > 1]
    assert not glyphs
    links = re.findall(r'href="#([^"]+)"', page)
    assert set(links) <= set(ids)
    assert set(names) <= set(links)
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    for table in tables:
        assert f"]({table.name}.png)" in text
        assert f"](#{table.name})" in text
        assert f'<a id="{table.name}"></a>' in text
