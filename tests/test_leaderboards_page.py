"""The walk of docs/leaderboards.md can be walked: each of its blocks in turn, and what it shows is what is printed."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from psbench.cli import app
from psbench.leaderboard.card import Card, Rules
from psbench_data.cli import app as data_app

PAGE = (Path(__file__).parent.parent / "docs/leaderboards.md").read_text()
WALK = re.findall(r"```(\w+)\n(.*?)```", PAGE[PAGE.index("## A walk") :], re.DOTALL)
PROGRAMS: dict[str, Any] = {"psbench": app, "psbench-data": data_app}


def test_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    walked = []
    for kind, block in WALK:
        if kind == "python":
            exec(block, {})
        elif kind == "toml":
            Path("card.toml").write_text(filled(Path("card.toml").read_text(), block))
        else:
            walked += _typed(block)
    assert [command for command in walked if command.startswith("psbench leaderboard")] == [
        "psbench leaderboard render",
        "psbench leaderboard check",
        "psbench leaderboard verify",
        "psbench leaderboard check",
    ]
    assert Card.load("card.toml").method.name == "Theirs"
    for page in ("README.md", "index.html"):
        assert "Theirs" in Path("leaderboards", page).read_text()


def _typed(block: str) -> list[str]:
    """Run the commands of a block and compare what they print; "..." stands for anything."""
    typed = []
    for shown in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, output = shown.partition("\n")
        program, *words = shlex.split(line)
        done = CliRunner().invoke(PROGRAMS[program], words)
        refused = output.startswith("error:")
        assert done.exit_code == int(refused), f"{line}\n{done.output}"
        printed = done.stderr if refused else done.stdout
        pattern = re.escape(output.strip()).replace(re.escape("..."), ".*")
        assert re.fullmatch(pattern, printed.strip(), re.DOTALL), f"{line}\n{printed}"
        typed.append(" ".join([program, *words[:2]]))
    return typed


def filled(card: str, changes: str) -> str:
    """A card with the lines of some sections replaced."""
    at = 0
    for line in filter(None, changes.splitlines()):
        if line.startswith("["):
            at = card.index(line)
            continue
        found = re.compile(rf"^{line.partition(' ')[0]} = .*$", re.MULTILINE).search(card, at)
        assert found, line
        card = card[: found.start()] + line + card[found.end() :]
    return card


def test_rules_of_the_page_are_those_of_the_card() -> None:
    table = PAGE[PAGE.index("| line | |") :].split("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert re.findall(r"`(\w+)`", " ".join(cells)) == list(Rules.model_fields)
