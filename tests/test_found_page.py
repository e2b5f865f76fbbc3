"""The page of a search in one's own pictures, read and in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

import numpy as np
import pytest
from PIL import Image

from psbench.matches import CAUTION, Match, Matches
from psbench.reporting.found import write_choice, write_found

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = [
    "<img src=x onerror=document.title='run'>.png",
    "a\nb <b>.png",
    "javascript:document.title='run'.png",
    "file:%2e%2e #?&'\".png",
    "日本 with a long name " + "s" * 80 + ".png",
    "wide.png",
    "gone.png",
]
BOX = np.array([30, 10, 60, 70], np.float32)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Matches:
    folder = tmp_path_factory.mktemp("photos")
    for name in NAMES[:-1]:
        Image.new("RGB", (1200 if name == "wide.png" else 120, 80), "grey").save(folder / name)
    matches = [Match(name, BOX, 0.9 - 0.1 * i, 0.8, name == "gone.png") for i, name in enumerate(NAMES)]
    matches[5] = replace(matches[5], copies=["copy of wide.png"])
    query = folder.parent / "query.png"
    Image.new("RGB", (100, 150), "teal").save(query)
    return Matches(query, BOX, folder, "seqnet", 40, 90, 0.5, matches, unreadable=["x.jpg: <i>not</i> a picture"])


@pytest.fixture(scope="module")
def written(found: Matches, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_found(found, tmp_path_factory.mktemp("page") / "found.html")


def test_the_page_says_what_was_searched_and_what_it_means(written: Path, found: Matches) -> None:
    page = written.read_text()
    assert CAUTION in page
    assert "90 detections with a score of 0.5 or more in 40 pictures; the 7 most similar are in 7 pictures." in page
    assert page.count("data:image/jpeg;base64,") == 2 * len(NAMES)
    assert page.count("This picture can no longer be read.") == 1
    assert "<i>not</i>" not in page
    assert "<img src=x" not in page


def test_nothing_found_is_said(found: Matches, tmp_path: Path) -> None:
    nobody = Matches(found.query, BOX, found.gallery, "", 40, 0, None, [])
    page = write_found(nobody, tmp_path / "found.html").read_text()
    assert "0 detections in 40 pictures." in page
    assert "Nobody was found in these pictures." in page


def test_people_to_choose_from_are_numbered(found: Matches, tmp_path: Path) -> None:
    one = write_choice(found.query, BOX[None], tmp_path / "one.jpg")
    two = write_choice(found.query, np.stack([BOX, BOX + np.array([35, 70, 35, 70])]), tmp_path / "two.jpg")
    with Image.open(one) as first, Image.open(two) as second:
        assert first.size == second.size == (200, 300)
        differ = np.abs(np.array(first).astype(int) - np.array(second)).max(axis=2) > 60
    # The second person's box and number, and nothing near the first one.
    assert differ[:140].sum() == 0
    assert differ[140:].sum() > 300


# In a browser.


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, written: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(color_scheme=request.param, viewport={"width": 1300, "height": 900})
    page, wrong, asked = context.new_page(), [], []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(written.as_uri())
    yield page
    assert not wrong
    assert {url for url in asked if not url.startswith("data:")} == {written.as_uri()}
    context.close()


def test_links_lead_to_the_pictures_whatever_they_are_called(page: Page, written: Path, found: Matches) -> None:
    assert page.title() == "People like the one in query.png"
    assert page.get_by_role("link", name="copy of wide.png").get_attribute("href").endswith("copy%20of%20wide.png")
    links = page.locator("ol.people a:first-child")
    assert links.count() == len(NAMES)
    for link, name in zip(links.all(), NAMES, strict=True):
        address = urlsplit(urljoin(written.as_uri(), link.get_attribute("href") or ""))
        assert (address.scheme, address.query, address.fragment) == ("file", "", "")
        assert Path(unquote(address.path)) == found.gallery / name
        assert link.evaluate("link => link.protocol") == "file:"


def test_pictures_of_a_match_are_as_high_as_each_other(page: Page) -> None:
    for match in page.locator(".pictures").all():
        crop, scene = (picture.bounding_box() for picture in match.locator("img").all())
        assert crop is not None
        assert scene is not None
        assert crop["height"] == pytest.approx(scene["height"], abs=2)
        assert crop["height"] > 60


def test_the_page_is_never_wider_than_the_screen(page: Page) -> None:
    for width in (320, 390, 768, 1300):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("img:not([alt])").count() == 0


def test_names_stand_below_the_numbers_on_every_card(page: Page) -> None:
    for width in (390, 1300, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        for card in page.locator("ol.people figcaption").all():
            numbers, place = card.locator(".number").first.bounding_box(), card.locator(".place").bounding_box()
            assert place["y"] >= numbers["y"] + numbers["height"] - 1


def test_links_are_reached_by_the_keyboard_and_seen(page: Page) -> None:
    # First what lists the pictures that could not be read.
    page.keyboard.press("Tab")
    assert "could not be read" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "query.png"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == NAMES[0]
