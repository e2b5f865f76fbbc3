"""Rendered leaderboards: the same bytes every time, whole or not at all, and nobody's text is taken for markup."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from psbench.leaderboard.rendering import render
from psbench_data import InputError
from tests.leaderboard.made_up import entry_of, over_galleries, result, write

ROOT = Path(__file__).parents[2]
LEADERBOARDS = ROOT / "leaderboards"
HOSTILE = '"><img src=x onerror=alert(1)> [a](https://e.org) | `b` *c* {{ 7 * 7 }}'


class _Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, attribute: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(attribute)) is not None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(LEADERBOARDS / "published.csv", tmp_path)
    write(tmp_path, entry_of("Ours", [over_galleries(0.9)], dataset="cuhk_sysu"))
    write(tmp_path, entry_of(HOSTILE, [{"regular": result(0.5, interval=(0.4, 0.6))}], venue=HOSTILE, notes=HOSTILE))
    write(tmp_path, entry_of("seqnet", [over_galleries(0.6)], dataset="cuhk_sysu", synthetic=True))
    return tmp_path


def _texts(folder: Path) -> tuple[str, str]:
    return (folder / "README.md").read_text(encoding="utf-8"), (folder / "index.html").read_text(encoding="utf-8")


def test_the_committed_boards_are_what_is_rendered(tmp_path: Path) -> None:
    copy = tmp_path / "leaderboards"
    shutil.copytree(LEADERBOARDS, copy)
    for path in render(copy):
        remedy = f"{path.name} is stale: run `psbench leaderboard render`."
        assert path.read_bytes() == (LEADERBOARDS / path.name).read_bytes(), remedy


def test_rendering_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in render(folder)]
    entries = folder / "entries"
    # Whatever the order in which a disk lists them.
    shutil.copytree(entries, folder / "again")
    shutil.rmtree(entries)
    for path in sorted((folder / "again").rglob("*.json"), reverse=True):
        target = entries / path.relative_to(folder / "again")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert [path.read_bytes() for path in render(folder)] == first


def test_the_page_asks_for_nothing_from_elsewhere(folder: Path) -> None:
    render(folder)
    page = _Page(_texts(folder)[1])
    assert not page.all("src")
    assert not [a for tag, a in page.tags if tag == "link" and not str(a["href"]).startswith("data:")]
    style = _texts(folder)[1].partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_every_link_leads_somewhere(folder: Path) -> None:
    render(folder)
    page = _Page(_texts(folder)[1])
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    for link in page.all("href"):
        if link.startswith("#"):
            assert link[1:] in ids
        elif link.startswith("../"):
            assert (LEADERBOARDS / link).exists(), link
        elif not link.startswith(("https://", "data:")):
            assert (folder / link).is_file(), link


def test_every_number_leads_to_its_source_or_entry(folder: Path) -> None:
    render(folder)
    page = _texts(folder)[1]
    cells = re.findall(r'<td class="number">(.*?)</td>', page)
    assert len(cells) > 400
    assert all(re.match(r'<a href="[^"]+">[\d.]+</a>', cell) for cell in cells if cell)
    assert any('href="entries/cuhk_sysu/ours.json"' in cell for cell in cells)


def test_names_and_cards_are_text_and_never_markup(folder: Path) -> None:
    render(folder)
    readme, html = _texts(folder)
    page = _Page(html)
    assert not [attrs for tag, attrs in page.tags if tag == "img" or "onerror" in attrs]
    assert HOSTILE in page.words
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    [line] = [line for line in readme.splitlines() if "onerror" in line]
    assert "<img" not in line
    # A cell more would be a column more.
    assert len(re.findall(r"(?<!\\)\|", line)) == 12
    assert r"\[a\](https://e.org) \| \`b\` \*c\*" in line


def test_no_other_script_than_the_pages_own_may_run(folder: Path) -> None:
    render(folder)
    [policy] = [str(a["content"]) for _, a in _Page(_texts(folder)[1]).tags if "http-equiv" in a]
    assert re.search(r"default-src 'none';.* script-src 'sha256-[\w+/=]{44}'$", policy)


def test_readme_and_page_say_the_same_numbers(folder: Path) -> None:
    render(folder)
    readme, html = _texts(folder)
    numbers = [re.split(r"(?<!\\)\|", line)[3:6:2] for line in readme.splitlines() if line.startswith("|")]
    said = [re.search(r"\d+\.\d+", cell) for row in numbers for cell in row]
    boards = re.findall(r'<div class="scroll ranking".*?</div>', html, re.DOTALL)
    shown = [n for board in boards for n in re.findall(r'<td class="number"><a [^>]*>([\d.]+)</a>', board)]
    assert [match[0] for match in said if match] == shown
    assert len(shown) > 400


def test_synthetic_boards_say_so_and_marks_are_words(folder: Path) -> None:
    render(folder)
    readme, html = _texts(folder)
    board = html.partition('<section class="dataset synthetic"')[2]
    assert "Synthetic data." in board
    assert ">synthetic</small>" in board
    assert "## CUHK-SYSU, synthetic\n\n> **Synthetic data.**" in readme
    assert "✔ computed, synthetic" in readme
    for words in ("✔ computed |", "○ published |", "◌ published, weak evidence |"):
        assert words in readme


def test_every_fault_of_every_entry_is_told_and_nothing_is_written(folder: Path) -> None:
    before = {path: path.read_bytes() for path in render(folder)}
    paths = sorted((folder / "entries").rglob("*.json"))
    for path in paths[:2]:
        path.write_bytes(path.read_bytes().replace(b'"psbench"', b'"psbenc"'))
    (folder / "published.csv").write_text("nothing\n")
    with pytest.raises(InputError) as raised:
        render(folder)
    told = str(raised.value)
    assert all(str(path) in told for path in (*paths[:2], folder / "published.csv"))
    assert str(paths[2]) not in told
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "entries", "index.html", "published.csv"]


def test_an_entry_edited_by_hand_is_not_rendered(folder: Path) -> None:
    path = folder / "entries/cuhk_sysu/ours.json"
    path.write_bytes(path.read_bytes().replace(b"0.9,", b"0.99,", 1))
    with pytest.raises(InputError, match=r"ours\.json: changed since it was written"):
        render(folder)


def test_an_empty_folder_is_a_board_of_nothing(tmp_path: Path) -> None:
    for path in render(tmp_path):
        assert path.stat().st_size > 1000
    with pytest.raises(InputError, match="no such folder"):
        render(tmp_path / "nowhere")


def test_the_page_stays_small(tmp_path: Path) -> None:
    shutil.copytree(LEADERBOARDS, tmp_path, dirs_exist_ok=True)
    assert all(path.stat().st_size < 1_500_000 for path in render(tmp_path))
