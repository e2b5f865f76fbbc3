"""What commands say of themselves: examples that can be typed, short texts, the version; what the shell completes."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from psbench.cli import app
from psbench_data.cli import app as data_app

APPS = {"psbench": app, "psbench-data": data_app}


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command, those of groups too; nothing else is a command of its own."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from _commands(inner, (*path, name))


COMMANDS = dict(
    found for program, each in APPS.items() for found in _commands(typer.main.get_command(each), (program,))
)
NAMES = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


def test_there_are_commands_in_groups() -> None:
    assert {("psbench", "leaderboard", "render"), ("psbench", "card", "new"), ("psbench-data", "list")} <= set(COMMANDS)


@NAMES
def test_examples_are_this_command_and_parse(path: tuple[str, ...]) -> None:
    examples = re.findall(r"^\s*Example: (.+)$", COMMANDS[path].help, re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example)
        assert tuple(words[: len(path)]) == path
        COMMANDS[path].make_context(path[-1], words[len(path) :])


@NAMES
def test_every_option_is_explained_in_few_words(path: tuple[str, ...]) -> None:
    for parameter in COMMANDS[path].params:
        said = getattr(parameter, "help", None)
        assert said, f"{parameter.name} says nothing"
        assert len(said) <= 110, f"{parameter.name}: {said}"
        assert said.rstrip()[-1] in ".)?" or len(said.split()) < 8, f"{parameter.name}: {said}"


@NAMES
def test_help_is_no_wider_than_it_need_be(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    for parameter in command.params:
        assert not getattr(parameter, "secondary_opts", []), "a --no- half takes a column from every description"
        assert "--output" not in parameter.opts or "-o" in parameter.opts
    assert not re.search(r"\S\n\S", command.help), "a line that is broken by hand is broken once more"
    assert "..." not in "".join(re.findall(r"^\s*Example: .*$", command.help, re.MULTILINE))


def test_help_of_predict_fits_a_screen_or_two() -> None:
    shown = CliRunner().invoke(app, ["predict", "--help"], env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"}).output
    assert len(shown.splitlines()) <= 60


@pytest.mark.parametrize("program", APPS)
def test_every_command_has_a_line_that_is_not_cut(program: str) -> None:
    shown = CliRunner().invoke(APPS[program], ["--help"], env={"COLUMNS": "80"}).output
    assert "…" not in shown
    assert "..." not in shown.split("Commands")[-1].replace("[ARGS]...", "")
    for path in COMMANDS:
        if path[0] == program:
            assert re.search(rf"^. {path[1]} ", shown, re.MULTILINE)


def _started(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which then names what of the heavy packages it loaded."""
    program = (
        "import sys; from psbench.cli import app\n"
        "try: app(prog_name='psbench')\n"
        "finally: print([m for m in ('torch', 'pandas', 'pyarrow', 'datasets', 'matplotlib', 'scipy', 'PIL')\n"
        "    if m in sys.modules], file=sys.stderr)"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "COLUMNS": "80", "TERMINAL_WIDTH": "80"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_is_a_page_and_loads_nothing_heavy() -> None:
    done = _started("--help")
    assert done.returncode == 0
    assert done.stderr == "[]\n"
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 48


def test_versions() -> None:
    for program, each in APPS.items():
        assert CliRunner().invoke(each, ["--version"]).output == f"{program} {version('psbench')}\n"


@pytest.mark.parametrize(
    ("typed", "offered", "withheld"),
    [
        ("psbench ev", {"evaluate"}, {"train"}),
        ("psbench leaderboard ", {"render", "check", "verify"}, {"train"}),
        ("psbench evaluate predictions --data cu", {"cuhk_sysu"}, {"prw"}),
        ("psbench evaluate predictions --data ", {"cuhk_sysu", "prw", "coco"}, set()),
        ("psbench evaluate predictions --audi", {"--audit"}, set()),
    ],
)
def test_shell_completes_commands_options_and_datasets(typed: str, offered: set[str], withheld: set[str]) -> None:
    position = str(len(typed.split(" ")) - 1)
    done = _started(_PSBENCH_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=position)
    words = set(done.stdout.split())
    assert offered <= words
    assert not withheld & words
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("program", APPS)
def test_shows_what_bash_needs_to_complete(program: str) -> None:
    command = Path(sys.executable).with_name(program)
    # The shell is recognised by who started the command, so it must not put itself in its place.
    shown = subprocess.run(
        ["bash", "-c", f"{shlex.quote(str(command))} --show-completion; exit $?"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"complete -o default -F _{program.replace('-', '_')}_completion {program}" in shown
    subprocess.run(["bash", "-n"], input=shown, text=True, check=True)
