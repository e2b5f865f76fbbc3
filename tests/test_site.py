"""The documentation site: it builds without a warning, asks nothing of other servers, and leaves nothing public out."""

import html
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml

from psbench.cli import app
from psbench_data.cli import app as data_app
from tests.browser import CHROMIUM, Visit

ROOT = Path(__file__).parent.parent
DOCUMENTED = ("psbench_data", "psbench", "psbench.leaderboard", "psbench.zoo", "psbench.training", "psbench.inference")
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "object": "data"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return folder


class _Loaded(HTMLParser):
    """What a browser fetches for a page by itself, and the ids of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in LOADED and values.get("rel") not in ("canonical", "prev", "next"):
            self.addresses.append(values.get(LOADED[tag]) or "")
        self.ids.add(values.get("id") or "")


def _read(page: Path) -> _Loaded:
    loaded = _Loaded()
    loaded.feed(page.read_text(encoding="utf-8"))
    return loaded


def test_pages_ask_nothing_of_other_servers(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        addresses = _read(page).addresses
        assert addresses or page.parent.name == "leaderboards"
        for address in addresses:
            assert not re.match(r"(https?:)?//", address), f"{page.name}: {address}"
            local = address.partition("?")[0].partition("#")[0]
            assert not local or local.startswith("data:") or (page.parent / local).exists() or page.name == "404.html"
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_every_page_is_in_the_navigation(site: Path) -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    named = set(_leaves(settings["nav"]))
    docs = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert docs <= named
    for page in named:
        assert (site / page.replace("models/README", "models/index")).with_suffix(".html").is_file()


def _leaves(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    else:
        for inner in part.values() if isinstance(part, dict) else part:
            yield from _leaves(inner)


@pytest.mark.parametrize("module", DOCUMENTED)
def test_every_public_name_is_documented(module: str, site: Path) -> None:
    ids = _read(site / "api" / f"{module.removeprefix('psbench.')}.html").ids
    public = [name for name in importlib.import_module(module).__all__ if not name.startswith("__")]
    # InputError is psbench_data's.
    missing = [name for name in public if f"{module}.{name}" not in ids and (module, name) != ("psbench", "InputError")]
    assert not missing
    assert not [each for each in ids if re.search(r"\._[a-z]", each)]


def test_names_explained_together_have_their_own_types(site: Path) -> None:
    """Those of `evaluate_all`: "det_threshold, cbgm, preset, ...: as in `evaluate`"."""
    page = (site / "api/psbench.html").read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<[^>]+>", "", page[page.index('id="psbench.evaluate_all"') :]))
    assert "preset (str, default: 'default' )" in re.sub(r"\s+", " ", text)


def test_commands_say_what_their_help_says(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "commands.html").read_text(encoding="utf-8"))
    ids = _read(site / "commands.html").ids
    for program, each in {"psbench": app, "psbench-data": data_app}.items():
        for name, command in typer.main.get_command(each).commands.items():  # type: ignore[attr-defined]
            assert f"{program}-{name}" in ids
            for parameter in command.params:
                assert parameter.param_type_name == "argument" or parameter.opts[-1] in text


def test_the_boards_are_on_the_site(site: Path) -> None:
    boards = (site / "leaderboards/index.html").read_bytes()
    assert boards == (ROOT / "leaderboards/index.html").read_bytes()
    assert 'href="leaderboards/index.html"' in (site / "leaderboards.html").read_text()


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("path", "written", "expected"),
    [
        ("docs/leaderboards.md", "[b](../leaderboards/README.md)", "[b](leaderboards/index.html)"),
        ("docs/models/seqnet.md", "[r](../../README.md)", "[r](../index.md)"),
        ("docs/models/seqnet.md", "[e](../evaluation.md#how-sure)", "[e](../evaluation.md#how-sure)"),
        ("CONTRIBUTING.md", "[f](docs/predictions.md)", "[f](predictions.md)"),
        (
            "docs/faq.md",
            "[code](../tests/conftest.py) and [page](https://example.org)",
            "code and [page](https://example.org)",
        ),
        ("docs/faq.md", "[gone](../nowhere.md)", "[gone](../nowhere.md)"),
    ],
)
def test_links_lead_to_where_the_site_has_it(path: str, written: str, expected: str) -> None:
    assert _module("hooks").linked(written, path) == expected


def test_names_explained_together_are_written_out() -> None:
    together = "Do it.\n\nArgs:\n    a, *rest: as in `b`,\n        or not.\n    c: d, e: f.\n\nExample:\n    >>> 1"
    apart = "    a: as in `b`,\n        or not.\n    *rest: as in `b`,\n        or not.\n    c: d, e: f."
    assert _module("docstrings").written_out(together) == f"Do it.\n\nArgs:\n{apart}\n\nExamples:\n    >>> 1"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize("page", ["index.html", "models/pcnet.html"])
def test_the_search_works_from_the_disk(page: str, site: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        visit = Visit(browser, viewport={"width": 1300, "height": 900})
        opened = visit.open((site / page).as_uri())
        opened.get_by_role("textbox", name="Search").click()
        opened.get_by_role("textbox", name="Search").press_sequentially("takedown")
        opened.get_by_text(re.compile(r"[1-9]\d* matching documents")).wait_for()
        addresses = [link.get_attribute("href") or "" for link in opened.locator("a.md-search-result__link").all()]
        assert any(address.startswith((site / "ethics.html").as_uri()) for address in addresses)
        assert [address for address in visit.asked if not address.startswith((site.as_uri(), "data:"))] == []
        assert not visit.wrong
        browser.close()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize("page", ["index.html", "quickstart.html", "models/pcnet.html", "api/psbench.html", "faq.html"])
def test_page_fits_a_phone_and_asks_for_nothing(page: str, site: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            visit = Visit(browser, viewport={"width": 320, "height": 800}, color_scheme=scheme)
            opened = visit.open((site / page).as_uri())
            assert opened.evaluate("document.documentElement.scrollWidth") <= 320
            assert [address for address in visit.asked if not address.startswith(site.as_uri())] == []
            assert (
                opened.evaluate("document.body.dataset.mdColorScheme") == {"light": "default", "dark": "slate"}[scheme]
            )
        browser.close()
