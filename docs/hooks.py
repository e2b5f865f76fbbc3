"""What the site needs of the repository outside docs/: some of its files, links to them, and what the commands say."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
# The site's start page stands for the README, and the board that sorts and filters for the one that only lists.
_INSTEAD = {"README.md": "docs/index.md", "leaderboards/README.md": "leaderboards/index.html"}
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_COMMANDS = "<!-- what each command says of itself -->"


def shown() -> dict[str, str]:
    """Where the site has the files of the repository that it shows; both paths are from the top."""
    inside = [path for path in sorted((ROOT / "docs").rglob("*")) if path.is_file()]
    return {
        **{path.relative_to(ROOT).as_posix(): path.relative_to(ROOT / "docs").as_posix() for path in inside},
        **{path.name: path.name.lower() for path in sorted(ROOT.glob("*.md")) if path.name not in _INSTEAD},
        "leaderboards/index.html": "leaderboards/index.html",
    }


def linked(markdown: str, path: str) -> str:
    """A page whose links lead to where the site has what they name; without a link where it has not.

    Args:
        markdown: the page.
        path: the page's file, from the repository's top.
    """
    places = shown()

    def moved(match: re.Match[str]) -> str:
        text, link, anchor = match[1], match[2], match[3] or ""
        if "://" in link:
            return match[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
        target = _INSTEAD.get(target, target)
        if target in places:
            return f"[{text}]({posixpath.relpath(places[target], posixpath.dirname(places[path]) or '.')}{anchor})"
        return text if (ROOT / target).exists() else match[0]

    return _LINK.sub(moved, markdown)


def commands() -> str:
    """What `--help` says of each command, as Markdown."""
    from typer import Context
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from psbench.cli import app
    from psbench_data.cli import app as data_app

    programs = {"psbench": get_command(app), "psbench-data": get_command(data_app)}
    pages = [get_docs_for_click(obj=each, ctx=Context(each), name=name, indent=1) for name, each in programs.items()]
    return re.sub(r"^Example: (.+)$", r"Example: `\1`", "\n".join(pages), flags=re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not in docs/."""
    for path, place in shown().items():
        if not path.startswith("docs/"):
            files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the commands into their page, and links right."""
    paths = {place: path for path, place in shown().items()}
    return linked(markdown.replace(_COMMANDS, commands()), paths[page.file.src_uri])
