"""The small files that strangers look for say what is so: version, licences, links, what CI runs."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

import psbench
from psbench.cli import app
from psbench.zoo.official_names import OFFICIAL
from psbench_data import available
from psbench_data.cli import app as data_app
from psbench_data.terms import terms
from psbench_data.terms_page import RELEASED

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
RUNS = [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]
PAGES = ("CHANGELOG.md", "SECURITY.md", "DATA_LICENSES.md", "CONTRIBUTING.md")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_one_version_everywhere() -> None:
    assert CITATION["version"] == PROJECT["version"] == psbench.__version__
    newest = re.search(r"^## \[?([\w.]+)\]?", _text("CHANGELOG.md").replace("## [Unreleased]", ""), re.MULTILINE)
    assert newest
    assert newest[1] == PROJECT["version"]


def test_citation_has_what_its_format_asks_for() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type", "license", "version"} <= CITATION.keys()
    assert all("name" in author or "family-names" in author for author in CITATION["authors"])
    assert CITATION["license"] == PROJECT["license"] == "MIT"
    assert _text("LICENSE").startswith("MIT License")


def test_changelog_is_kept_in_sections() -> None:
    headings = re.findall(r"^### (.+)$", _text("CHANGELOG.md"), re.MULTILINE)
    assert headings
    assert set(headings) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("name", PAGES)
def test_links_and_commands_lead_somewhere(name: str) -> None:
    text = _text(name)
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert link.startswith("https://") or (ROOT / link).exists(), link
    for target in re.findall(r"`make ([\w-]+)`", text):
        assert target in TARGETS
    for command in re.findall(r"`(psbench(?:-data)? [^`]+)`", text):
        _require_command(command)


def test_no_address_is_made_up() -> None:
    assert not re.search(r"[\w.]+@[\w-]+\.\w+", _text("SECURITY.md"))
    assert "private vulnerability reporting" in _text("SECURITY.md")


def test_data_licenses_are_what_the_command_prints() -> None:
    printed = CliRunner().invoke(data_app, ["terms", "--markdown"])
    assert printed.exit_code == 0
    # As bytes: so is it redirected into the file.
    assert printed.stdout_bytes == (ROOT / "DATA_LICENSES.md").read_bytes()
    for name in available():
        assert terms(name).conditions in printed.output
        alone = " ".join(CliRunner().invoke(data_app, ["terms", name]).output.split())
        assert terms(name).conditions in alone
        assert alone in " ".join(CliRunner().invoke(data_app, ["terms"]).output.split())


def test_every_released_checkpoint_that_is_read_has_its_terms() -> None:
    told = {name.casefold() for each in RELEASED for name in re.split(r",? ", each.title)}
    for model in OFFICIAL:
        family = model.partition("_")[0]
        assert family in told, model
    printed = CliRunner().invoke(data_app, ["terms", "weights"]).output
    assert all(each.code in printed for each in RELEASED)
    assert max(map(len, printed.splitlines())) <= 100


def test_continuous_integration_runs_what_there_is() -> None:
    assert {"make test", "make test-lowest", "make audit", "psbench leaderboard check"} <= set(RUNS)
    for run in RUNS:
        for line in run.strip().splitlines():
            words = shlex.split(line)
            if words[0] == "make":
                assert set(words[1:]) <= TARGETS
            elif words[0] in ("psbench", "psbench-data"):
                _require_command(line)
            else:
                assert words[:4] == ["python", "-m", "pip", "install"], line


def test_continuous_integration_knows_every_python_that_is_promised() -> None:
    # YAML 1.1 reads the word `on` as true.
    assert {"push", "pull_request"} <= WORKFLOW[True].keys()
    assert WORKFLOW["permissions"] == {"contents": "read"}
    promised = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    for job in ("test", "lowest"):
        assert WORKFLOW["jobs"][job]["strategy"]["matrix"]["python"] == promised
    assert promised[0] == PROJECT["requires-python"].removeprefix(">=")


def _require_command(line: str) -> None:
    """Of words that begin like a command: up to the first that is an argument, there is one."""
    program, *words = shlex.split(line)
    command: Any = typer.main.get_command(app if program == "psbench" else data_app)
    for word in words:
        if not hasattr(command, "commands") or word.startswith("-"):
            break
        # `leaderboard check | render` names two.
        command = command.commands[word]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options | {"--help"}
