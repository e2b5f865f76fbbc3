"""What the README shows can be typed: commands parse, snippets compile and name what exists."""

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

README = (Path(__file__).parent.parent / "README.md").read_text()
COMMANDS = re.findall(r"^(?:\$ |    )((?:psbench|psbench-data) .+)$", README, re.MULTILINE)
SCRIPTS = re.findall(r"python (reproduce/\w+\.py)", README)
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
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
    assert (Path(__file__).parent.parent / script).is_file()


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_name_what_exists(snippet: str) -> None:
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in MODULES:
            assert hasattr(MODULES[node.value.id], node.attr)
