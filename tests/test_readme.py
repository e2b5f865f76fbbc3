"""What the README and docs/ show can be typed: commands parse, snippets compile and name what exists."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest
import typer

import psbench
import psbench_data
from psbench import zoo
from psbench.cli import app
from psbench_data.cli import app as data_app

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
AT_THE_TOP = ("README.md", "CONTRIBUTING.md")
PAGES = {name: (ROOT / name).read_text() for name in AT_THE_TOP} | {
    path.relative_to(DOCS).as_posix(): path.read_text() for path in sorted(DOCS.rglob("*.md"))
}
SHOWN = "\n".join(PAGES.values())
COMMANDS = re.findall(r"^(?:\$ |    )((?:psbench|psbench-data) .+)$", SHOWN, re.MULTILINE)
SCRIPTS = re.findall(r"python (reproduce/\w+\.py)", SHOWN)
SNIPPETS = re.findall(r"```python\n(.*?)```", SHOWN, re.DOTALL)
LINKS = [(name, link) for name, page in PAGES.items() for link in re.findall(r"\]\(([^)#]+)", page)]
MODULES = {"psbench": psbench, "psbench_data": psbench_data, "zoo": zoo}


def test_there_is_something_to_check() -> None:
    assert len(COMMANDS) >= 8
    assert len(SNIPPETS) >= 3
    assert SCRIPTS


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line: str) -> None:
    program, command, *arguments = shlex.split(line)
    group = typer.main.get_command(app if program == "psbench" else data_app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    group.commands[command].make_context(command, arguments)


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_exist(script: str) -> None:
    assert (ROOT / script).is_file()


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_links_lead_somewhere(page: str, link: str) -> None:
    folder = ROOT if page in AT_THE_TOP else (DOCS / page).parent
    assert link.startswith("https://") or (folder / link).exists()


def test_own_data_loads_as_the_page_says(tmp_path: Path) -> None:
    page = PAGES["own_data.md"]
    (tmp_path / "test.json").write_text(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])
    snippet = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    names: dict = {}
    exec(snippet.replace('"/data/mine"', repr(str(tmp_path))), names)
    assert names["dataset"].split("test").identities == ("anna", "bo")
    # anna under two cameras; bo, twice under one, once.
    assert len(names["protocol"].queries) == 3
    assert (names["larger"].gallery_sizes == 2).all()


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_name_what_exists(snippet: str) -> None:
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in MODULES:
            assert hasattr(MODULES[node.value.id], node.attr)
