"""The rendered leaderboards: a page that needs nothing beside it, and a README; the same bytes every time."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psbench.leaderboard.boards import Board, make_boards
from psbench.leaderboard.entry import slug
from psbench.leaderboard.folder import PUBLISHED, read_folder
from psbench.leaderboard.reported import Reported
from psbench.leaderboard.rows import FAMILIES, KINDS, SUPERVISIONS
from psbench.leaderboard.sizes import Sizes, gallery_sizes
from psbench.reporting.markdown import plain_words
from psbench_data import InputError
from psbench_data.atomic import new_file

if TYPE_CHECKING:
    from jinja2 import Environment

_COMMAND = "psbench submit FOLDER --data prw --root ROOT --card card.toml"
_BEGINNING = 200
"""Rows of a long table that the page shows until more are asked for."""


@dataclass(frozen=True)
class Source:
    """Something that numbers were read in; `rows` counts them in the file, `anchor` is its place on the page."""

    words: str
    address: str
    rows: int
    anchor: str


def render(folder: Path, *, progress: bool = False) -> list[Path]:
    """Write README.md and index.html of a folder of leaderboards.

    Args:
        folder: holds `published.csv`, or nothing published, and `entries/BOARD/METHOD.json`.
        progress: show a bar.

    Returns:
        The two files.

    Raises:
        InputError: there is no such folder, or listing what is wrong with its published numbers and entries.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder. Give the folder of the leaderboards.")
    reported, entries = read_folder(folder, progress=progress)
    boards = make_boards(reported, entries)
    sizes = {
        board.name: gallery_sizes(
            [row for row in reported if row.place and row.place[0] == board.name],
            [entry for entry in entries if entry.board == board.name],
        )
        for board in boards
    }
    environment = _environment()
    texts = {
        "README.md": _readme(environment, boards),
        "index.html": _page(environment, boards, sizes, _sources(reported)),
    }
    return [_write(folder / name, text) for name, text in texts.items()]


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("psbench.leaderboard", "templates"),
        autoescape=lambda name: bool(name and name.endswith(".html.jinja")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"slug": slug, "md": plain_words, "sentence": _sentence}
    environment.globals |= {
        "families": FAMILIES,
        "kinds": KINDS,
        "supervisions": SUPERVISIONS,
        "published": PUBLISHED,
        "command": _COMMAND,
        "beginning": _BEGINNING,
    }
    return environment


def _readme(environment: Environment, boards: Sequence[Board]) -> str:
    return environment.get_template("README.md.jinja").render(boards=boards)


def _page(
    environment: Environment, boards: Sequence[Board], sizes: dict[str, list[Sizes]], sources: Sequence[Source]
) -> str:
    from markupsafe import Markup

    assert environment.loader is not None
    script, style = (environment.loader.get_source(environment, f"page.{ending}")[0] for ending in ("js", "css"))
    # Whatever else a name or a card may have smuggled in: no other script than this one is run.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("index.html.jinja").render(
        boards=boards,
        sizes=sizes,
        sources=sources,
        anchors={source.words: source.anchor for source in sources},
        script=Markup(script),
        style=Markup(style),
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
    )


def _sources(reported: Iterable[Reported]) -> list[Source]:
    counts = Counter((row.source, row.address) for row in reported)
    ordered = sorted(counts.items(), key=lambda item: (item[0][0].casefold(), item[0]))
    return [Source(words, address, rows, f"source-{i}") for i, ((words, address), rows) in enumerate(ordered, start=1)]


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _write(path: Path, text: str) -> Path:
    with new_file(path) as partial:
        partial.write_bytes(text.encode())
    return path
