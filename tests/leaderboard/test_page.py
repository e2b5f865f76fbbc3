"""The page of the leaderboards in a real browser: sorting, filters, curves, keyboard, small screens, no JavaScript."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from psbench.leaderboard.rendering import render
from tests.browser import CHROMIUM, CONTRAST, Visit
from tests.leaderboard.made_up import entry_of, over_galleries, result, write

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

playwright = pytest.importorskip("playwright.sync_api", reason="drives the browser: pip install --group test")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
PUBLISHED = Path(__file__).parents[2] / "leaderboards/published.csv"
PRW = "#prw--regular .ranking[data-supervision=full]"
CURVES = "#cuhk_sysu .sizes"
SCREEN = {"width": 1400, "height": 900}
LONG = "A method with an unusually long name <script>document.title = 'run'</script> in one-word" + "s" * 8


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("leaderboards")
    shutil.copy(PUBLISHED, folder)
    for name, value, seeds in (("Ours", 0.948, 3), ("Theirs", 0.9, 1), (LONG[:80], 0.7, 1)):
        runs = [over_galleries(value + i / 500) for i in range(seeds)]
        write(folder, entry_of(name, runs, dataset="cuhk_sysu"))
        low, high = value / 2 - 0.01, value / 2 + 0.01
        write(folder, entry_of(name, [{"regular": result(value / 2, interval=(low, high))}] * seeds))
    write(folder, entry_of("Alone", [{"regular": result(0.1)}], family="two_step", backbone="ConvNeXt-T"))
    write(folder, entry_of("seqnet", [over_galleries(0.6)], dataset="cuhk_sysu", synthetic=True))
    render(folder)
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Visit:
    return Visit(browser, viewport=SCREEN)


@pytest.fixture
def visit(tab: Visit, address: str) -> Iterator[Visit]:
    tab.page.set_viewport_size(SCREEN)  # type: ignore[arg-type]
    tab.open(address)
    yield tab
    assert not tab.wrong
    assert set(tab.asked) == {address}


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page


def _column(page: Page, heading: str, table: str = PRW) -> list[str]:
    """A column's texts, of rows that are shown, the first line of each."""
    at = page.locator(f"{table} thead th").all_inner_texts().index(heading)
    rows = page.locator(f"{table} tbody tr:visible")
    script = "(rows, at) => rows.map(row => row.cells[at].innerText.split('\\n')[0].trim())"
    return rows.evaluate_all(script, at)


def _heading(page: Page, words: str, table: str = PRW) -> Locator:
    return page.locator(f"{table} thead th", has=page.get_by_role("button", name=words, exact=True))


def _numbers(texts: list[str]) -> list[float]:
    return [float(text.removeprefix("=")) for text in texts if text]


def _told(page: Page, words: str) -> None:
    """Wait until the filter says so."""
    playwright.expect(page.locator("#filters output")).to_contain_text(words, timeout=60_000)


def _choose(section: Locator, *, none: bool) -> None:
    """All curves, or none."""
    script = "(all, none) => all.forEach(box => box.checked === none && box.click())"
    section.get_by_role("checkbox").evaluate_all(script, none)


def test_the_page_opens_without_a_word_in_the_console(page: Page) -> None:
    assert page.title() == "psbench leaderboards"
    assert page.locator("#filters").is_visible()
    assert page.locator("th", has_text="document.title = 'run'").count()


def test_rows_are_sorted_by_a_click_and_back(page: Page) -> None:
    heading = _heading(page, "mAP")
    assert heading.get_attribute("aria-sort") == "descending"
    as_it_came = _column(page, "Method")
    top1 = _heading(page, "top-1")
    top1.get_by_role("button").click()
    assert (heading.get_attribute("aria-sort"), top1.get_attribute("aria-sort")) == (None, "descending")
    numbers = _numbers(_column(page, "top-1"))
    assert numbers == sorted(numbers, reverse=True)
    top1.get_by_role("button").click()
    assert top1.get_attribute("aria-sort") == "ascending"
    assert _numbers(_column(page, "top-1")) == sorted(numbers)
    assert sorted(_column(page, "Method")) == sorted(as_it_came)
    assert _column(page, "Method") != as_it_came


def test_a_table_is_sorted_by_the_keyboard_alone(page: Page) -> None:
    button = _heading(page, "Method").get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")
    names = _column(page, "Method")
    assert [name[0].lower() for name in names] == sorted(name[0].lower() for name in names)
    assert _heading(page, "Method").get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "mAP"
    page.keyboard.press("Space")
    numbers = _numbers(_column(page, "mAP"))
    assert numbers == sorted(numbers, reverse=True)


def test_ranks_sort_as_numbers_and_what_has_none_stands_last(page: Page) -> None:
    for times in (1, 2):
        _heading(page, "Rank").get_by_role("button").click()
        ranks = _column(page, "Rank")
        known = [rank for rank in ranks if rank]
        assert len(known) == 3
        assert ranks == known + [""] * (len(ranks) - 3)
        assert _numbers(known) == sorted(_numbers(known), reverse=times == 2)
    _heading(page, "Venue").get_by_role("button").click()
    years = [int(venue[-4:]) for venue in _column(page, "Venue") if re.search(r"\d{4}$", venue)]
    assert years == sorted(years, reverse=True)


def test_rows_are_filtered_by_words(page: Page) -> None:
    page.get_by_role("searchbox").fill("Seqnet aaai")
    _told(page, " of ")
    shown = page.locator(".ranking tbody tr:visible").all_inner_texts()
    assert len(shown) > 3
    assert all("seqnet" in text.lower() and "aaai" in text.lower() for text in shown)
    assert page.locator("#lsps").is_hidden()
    page.get_by_role("searchbox").fill("nobody is called so")
    page.get_by_text("No row fits the filter.").wait_for()
    assert page.locator("section.dataset:visible").count() == 0
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("No row fits the filter.").wait_for(state="hidden")
    assert page.locator(".ranking tbody tr:visible").count() == page.locator(".ranking tbody tr").count()


def test_rows_are_filtered_by_supervision_family_and_kind(page: Page) -> None:
    total = page.locator(".ranking tbody tr").count()

    def chosen(name: str, value: str) -> list[Locator]:
        page.get_by_role("button", name="Clear").click()
        _told(page, f"{total} rows")
        page.get_by_role("combobox", name=name, exact=True).select_option(value)
        _told(page, " of ")
        return page.locator(".ranking tbody tr:visible").all()

    by_kind = [len(chosen("Kind", kind)) for kind in ("computed", "published", "weak")]
    assert sum(by_kind) == total
    # Of the computed: three methods over four galleries, four on PRW, one over four synthetic galleries.
    assert by_kind[0] == 3 * 4 + 4 + 4
    assert sum(len(chosen("Supervision", s)) for s in ("full", "weak", "domain_adaptation")) == total
    captions = page.locator(".ranking:visible caption").all_inner_texts()
    assert [words.split("\n")[-1] for words in captions] == ["Domain adaptation"] * 2
    rows = chosen("Family", "two_step")
    assert {row.get_attribute("data-family") for row in rows} == {"two_step"}
    page.get_by_role("combobox", name="Kind", exact=True).select_option("computed")
    _told(page, f"1 of {total}")
    assert page.locator(f"{PRW} tbody tr:visible th").inner_text().startswith("Alone")


def test_curves_are_chosen_by_mouse_and_keyboard(page: Page) -> None:
    section = page.locator(CURVES)
    curves = section.locator("svg g.curve")
    assert curves.count() == 5
    boxes = section.get_by_role("checkbox")
    assert sum(box.is_checked() for box in boxes.all()) == 5
    section.locator("tr", has_text="OIM (base)").get_by_role("checkbox").check()
    assert curves.count() == 6
    assert "OIM (base)" in section.locator("svg text.name").evaluate_all("all => all.map(t => t.firstChild.data)")
    assert "OIM (base)" in (section.locator("svg").get_attribute("aria-label") or "")
    boxes.first.focus()
    page.keyboard.press("Space")
    assert curves.count() == 5
    _choose(section, none=True)
    assert curves.count() == 0
    assert section.locator("svg").is_visible()


def test_a_curve_has_the_points_of_its_row(page: Page) -> None:
    section = page.locator(CURVES)
    _choose(section, none=True)
    row = section.locator("tr", has_text="OIM (base)")
    row.get_by_role("checkbox").check()
    numbers = row.locator("td").all_inner_texts()
    titles = section.locator("svg .dot title").all_text_contents()
    sizes = section.locator("thead th").all_inner_texts()[1:]
    assert titles == [f"OIM (base): {n} among {size}" for n, size in zip(numbers, sizes, strict=True)]
    places = section.locator("svg .dot").evaluate_all(
        "dots => dots.map(d => d.getBoundingClientRect()).map(r => [r.x, r.y])"
    )
    # A logarithmic axis: from 50 to 500 is as far as from 100 to 1000; and the lower a number, the lower its point.
    x = dict(zip(sizes, (place[0] for place in places), strict=True))
    assert x["500"] - x["50"] == pytest.approx(x["1000"] - x["100"], abs=0.5)
    assert [place[1] for place in places] == sorted(place[1] for place in places)


@pytest.mark.parametrize("width", [390, 1400])
def test_names_of_curves_overlap_neither_each_other_nor_the_edge(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    section = page.locator(CURVES)
    _choose(section, none=False)
    assert section.locator("svg g.curve").count() == section.locator("tbody tr").count() > 15
    boxes = section.locator("svg text.name").evaluate_all(
        "all => all.map(t => t.getBoundingClientRect()).map(r => [r.top, r.bottom, r.left, r.right])"
    )
    boxes.sort()
    for (_, bottom, *_), (top, *_) in pairwise(boxes):
        assert bottom <= top + 0.5
    points = section.locator("svg .dot").evaluate_all("all => all.map(d => d.getBoundingClientRect().right)")
    assert max(points) <= min(box[2] for box in boxes)
    assert max(box[3] for box in boxes) <= width


def test_the_page_is_never_wider_than_the_screen(page: Page) -> None:
    for summary in page.locator(f"{PRW} summary").all()[:3]:
        summary.evaluate("summary => summary.click()")
    number = page.locator(f"{PRW} tbody tr[data-kind=computed] td.number").nth(1)
    for width in (320, 390, 600, 768, 1024, 1311, 1312, 1400, 1920):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        place = number.bounding_box()
        assert place is not None
        # What matters most is seen without moving the table aside.
        assert place["x"] + place["width"] <= max(width, 390)


def test_a_table_wider_than_the_screen_scrolls_in_its_own_box(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    last = page.locator(f"{PRW} tbody tr td.source").first
    place = last.bounding_box()
    assert place is not None
    assert place["x"] > 390
    page.locator(PRW).evaluate("box => { box.scrollLeft = box.scrollWidth; }")
    place = last.bounding_box()
    assert place is not None
    assert place["x"] + place["width"] <= 390


def test_without_javascript_all_rows_are_plain_tables(browser: Browser, address: str) -> None:
    visit = Visit(browser, java_script_enabled=False, viewport={"width": 390, "height": 844})
    visit.open(address)
    rows = visit.page.locator(".ranking tbody tr, table.curves tbody tr")
    assert rows.count() > 280
    assert all(row.is_visible() for row in rows.all()[::20])
    assert visit.page.locator("[hidden] .ranking, .ranking [hidden]").count() == 0
    assert not visit.page.locator("#filters, #theme, figure").filter(visible=True).count()
    assert visit.page.get_by_role("button").filter(visible=True).count() == 0
    assert visit.asked == [address]
    visit.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_enough_in_both_themes(browser: Browser, address: str, scheme: str) -> None:
    visit = Visit(browser, color_scheme=scheme, viewport=SCREEN)
    visit.open(address)
    _choose(visit.page.locator(CURVES), none=False)
    contrast = visit.page.evaluate(CONTRAST)
    assert len(contrast) > 20
    assert not {what: value for what, value in contrast.items() if value < 4.5}
    paper = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(22, 24, 27)")
    assert not visit.wrong
    visit.context.close()


def test_the_theme_can_be_chosen_and_is_kept(visit: Visit) -> None:
    page, button = visit.page, visit.page.locator("#theme")
    seen = []
    for _ in range(3):
        button.press("Enter")
        seen.append((button.inner_text(), page.evaluate("getComputedStyle(document.body).backgroundColor")))
    assert [words for words, _ in seen] == ["Theme: light", "Theme: dark", "Theme: system"]
    assert seen[0][1] != seen[1][1]
    button.press("Enter")
    button.press("Enter")
    # What a page keeps is written a moment later: on a busy machine, later than the first reload.
    for _ in range(20):
        page.reload()
        if button.inner_text() != "Theme: system":
            break
        page.wait_for_timeout(100)
    assert button.inner_text() == "Theme: dark"
    button.press("Enter")


def test_a_link_of_the_navigation_leads_to_its_board(page: Page) -> None:
    page.get_by_role("navigation").get_by_role("link", name="regular").first.click()
    top = page.locator("#prw--regular h3").bounding_box()
    bar = page.locator("#filters").bounding_box()
    assert top is not None
    assert bar is not None
    assert bar["y"] + bar["height"] <= top["y"] < 400


def test_a_long_board_shows_its_beginning_until_asked_for_all(browser: Browser, tmp_path: Path) -> None:
    for i in range(210):
        low = i / 400
        write(tmp_path, entry_of(f"number-{i}", [{"regular": result(low, interval=(low, low + 0.1))}]))
    render(tmp_path)
    visit = Visit(browser, viewport=SCREEN)
    page = visit.open((tmp_path / "index.html").as_uri())
    assert page.locator(f"{PRW} tbody tr:visible").count() == 200
    _heading(page, "mAP").get_by_role("button").click()
    assert _column(page, "Method") == [f"number-{i}" for i in range(200)]
    page.get_by_role("searchbox").fill("number-20")
    # 20 and 200 to 209.
    _told(page, "11 of 210 rows")
    assert page.locator(f"{PRW} tbody tr:visible").count() == 11
    assert page.get_by_role("button", name="Show all").count() == 0
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Show all 210 rows").click()
    assert page.locator(f"{PRW} tbody tr:visible").count() == 210
    assert not visit.wrong
    visit.context.close()


def test_a_board_of_thousands_shows_more_by_and_by(browser: Browser, tmp_path: Path) -> None:
    for i in range(1010):
        low = i / 2000
        write(tmp_path, entry_of(f"number-{i}", [{"regular": result(low, interval=(low, low + 0.1))}]))
    render(tmp_path)
    address = (tmp_path / "index.html").as_uri()
    visit = Visit(browser, viewport=SCREEN)
    page = visit.open(address)
    rows = page.locator(f"{PRW} tbody tr:visible")
    assert rows.count() == 200
    page.get_by_role("button", name="Show 1000 of 1010 rows").click()
    assert rows.count() == 1000
    _heading(page, "mAP").get_by_role("button").click()
    assert _column(page, "Method") == [f"number-{i}" for i in range(1000)]
    page.get_by_role("button", name="Show all 1010 rows").click()
    assert _column(page, "Method") == [f"number-{i}" for i in range(1010)]
    _heading(page, "mAP").get_by_role("button").click()
    assert _column(page, "Method") == [f"number-{i}" for i in range(1009, 9, -1)]
    assert not visit.wrong
    visit.context.close()
    plain = Visit(browser, java_script_enabled=False, viewport=SCREEN)
    plain.open(address)
    assert plain.page.locator(f"{PRW} tbody tr:visible").count() == 1010
    plain.context.close()
