"""The pages of `rank` and `view` in a real browser: filters, keyboard, small screens, no JavaScript, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import psbench
from psbench.reporting.ranking import write_ranking
from psbench.reporting.viewing import chosen_queries, chosen_scenes, write_view
from psbench_data import PersonSearchDataset
from tests.browser import CHROMIUM, CONTRAST, Visit
from tests.judging.listings import noisy_predictions

if TYPE_CHECKING:
    from playwright.sync_api import Browser

playwright = pytest.importorskip("playwright.sync_api", reason="drives the browser: pip install --group test")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
LONG = "a-method-with-an-unusually-long-name" * 3


@pytest.fixture(scope="module")
def pages(world: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder, protocol = tmp_path_factory.mktemp("pages"), world.protocol("gallery-50")
    predictions = noisy_predictions(world, protocol)
    evaluation = psbench.evaluate(predictions, protocol)
    scenes, queries = chosen_scenes(world.split("test"), [], 9, 0), chosen_queries(protocol, 4, 0)
    made = {
        "rank": write_ranking(predictions, protocol, evaluation, folder / "r.html", method=LONG, data="d", queries=8),
        "view": write_view(scenes, queries, folder / "v.html", title=LONG, data="d", protocol=protocol.name),
    }
    return {name: path.as_uri() for name, path in made.items()}


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    visit = Visit(browser, viewport={"width": 1300, "height": 900})
    yield visit
    assert not visit.wrong
    assert {address for address in visit.asked if not address.startswith("data:")} == {visit.page.url}
    visit.context.close()


def test_queries_are_filtered_by_choice_first_match_and_words(visit: Visit, pages: dict[str, str]) -> None:
    page = visit.open(pages["rank"])
    entries, said = page.locator(".entry"), page.locator("#filters output")
    assert said.inner_text() == "8 shown"
    for name, label in (("choice", "Queries"), ("first", "First match")):
        chooser, shown = page.get_by_label(label), 0
        for value in chooser.locator("option").evaluate_all("all => all.map(o => o.textContent).slice(1)"):
            chooser.select_option(value)
            visible = entries.filter(visible=True)
            assert {e.get_attribute(f"data-{name}") for e in visible.all()} == {value}
            assert said.inner_text() == f"{visible.count()} of 8 shown"
            shown += visible.count()
        assert shown == 8
        page.get_by_role("button", name="Clear").click()
        playwright.expect(said).to_have_text("8 shown")
    scene = page.locator(".entry .query .scene").nth(3).inner_text()
    page.get_by_role("searchbox").fill(scene.upper())
    assert 1 <= entries.filter(visible=True).count() < 8
    assert all(scene in e.inner_text() for e in entries.filter(visible=True).all())
    page.get_by_role("searchbox").fill("nobody-is-called-so")
    assert page.get_by_text("No query fits the filter.").is_visible()
    assert entries.filter(visible=True).count() == 0


def test_scenes_and_queries_of_a_dataset_are_filtered(visit: Visit, pages: dict[str, str]) -> None:
    page = visit.open(pages["view"])
    assert page.locator(".entry").filter(visible=True).count() == 13
    page.get_by_label("Show").select_option("scene")
    assert page.locator(".entry").filter(visible=True).count() == 9
    assert page.get_by_role("heading", name="Queries").count() == 0
    page.get_by_role("button", name="Clear").press("Enter")
    playwright.expect(page.locator("#filters output")).to_have_text("13 shown")


@pytest.mark.parametrize("name", ["rank", "view"])
def test_page_is_never_wider_than_the_screen(visit: Visit, pages: dict[str, str], name: str) -> None:
    page = visit.open(pages[name])
    for width in (320, 390, 600, 768, 1119, 1121, 1400, 1920):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        widths = page.locator(".entry img").evaluate_all("all => all.map(i => i.getBoundingClientRect().right)")
        assert max(widths) <= width


def test_nothing_stands_beside_a_row_and_leaves_a_hole_below_it(visit: Visit, pages: dict[str, str]) -> None:
    page = visit.open(pages["rank"])
    for width in (390, 1300, 1920):
        page.set_viewport_size({"width": width, "height": 844})
        for entry in page.locator(".entry").filter(has=page.locator(".others")).all():
            row, others = entry.locator(".shots").bounding_box(), entry.locator(".others").bounding_box()
            assert row is not None
            assert others is not None
            assert 0 <= others["y"] - (row["y"] + row["height"]) < 20
            assert row["width"] == pytest.approx(entry.bounding_box()["width"])  # type: ignore[index]


@pytest.mark.parametrize("name", ["rank", "view"])
def test_page_is_whole_without_javascript(browser: Browser, pages: dict[str, str], name: str) -> None:
    visit = Visit(browser, java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = visit.open(pages[name])
    entries = page.locator(".entry")
    assert entries.count() == {"rank": 8, "view": 13}[name]
    assert entries.filter(visible=True).count() == entries.count()
    assert not page.locator("#filters, #nothing").filter(visible=True).count()
    visit.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["rank", "view"])
def test_text_stands_out_enough(browser: Browser, pages: dict[str, str], name: str, scheme: str) -> None:
    visit = Visit(browser, color_scheme=scheme, viewport={"width": 1300, "height": 900})
    page = visit.open(pages[name])
    contrast = page.evaluate(CONTRAST)
    assert len(contrast) > (15 if name == "rank" else 8)
    assert not {what: value for what, value in contrast.items() if value < 4.5}
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 24, 27)")
    visit.context.close()


def test_every_picture_decodes_and_has_words(visit: Visit, pages: dict[str, str]) -> None:
    for name in ("rank", "view"):
        page = visit.open(pages[name])
        pictures = page.locator(".entry img")
        assert pictures.count() >= 20
        pictures.evaluate_all("all => { for (const i of all) i.loading = 'eager'; }")
        page.evaluate("Promise.all([...document.images].map(i => i.decode()))")
        assert all(pictures.evaluate_all("all => all.map(i => i.naturalWidth > 50 && i.alt.length > 5)"))


def test_nothing_but_the_page_itself_is_asked_for(visit: Visit, pages: dict[str, str]) -> None:
    visit.open(pages["rank"])
    assert pages["rank"] in visit.asked
    assert not [address for address in visit.asked if address.startswith(("http", "//"))]


def test_tests_see_what_they_look_for(tmp_path: Path, browser: Browser) -> None:
    """A page with a faint text and an error is told from a good one."""
    (tmp_path / "bad.html").write_text('<p style="color:#aaa">faint</p><script>nosuch()</script>', encoding="utf-8")
    visit = Visit(browser)
    page = visit.open((tmp_path / "bad.html").as_uri())
    assert min(page.evaluate(CONTRAST).values()) < 4.5
    assert visit.wrong
    visit.context.close()
