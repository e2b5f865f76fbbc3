"""Cards: what a submitter writes, checked in one go."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from psbench import InputError
from psbench.cli import app
from psbench.leaderboard import Card
from psbench.leaderboard.card import MOST_BYTES
from tests.leaderboard.making import filled


def _card(path: Path, text: str) -> Card:
    path.write_text(text, encoding="utf-8")
    return Card.load(path)


def test_new_card_must_be_filled_in_and_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    result = CliRunner().invoke(app, ["card", "new", str(path)])
    assert result.exit_code == 0
    with pytest.raises(InputError) as error:
        Card.load(path)
    said = {
        "method.name": "My method",
        "method.backbone": "My backbone",
        "method.training_data": "My training data",
        "method.extra_data": "My further data",
        "method.input_size": "My input size",
        "training.hardware": "My hardware",
        "submitter.name": "My name, or my group's",
    }
    assert error.value.faults == [
        f"{path}: {line}: still the template's {value!r}. Fill it in." for line, value in said.items()
    ]
    assert _card(path, filled()).training.seeds == (1,)
    # What is left is told together with what else is wrong.
    text = filled().replace('"something"', '"My backbone"', 1).replace('"full"', '"none"')
    with pytest.raises(InputError) as error:
        _card(path, text)
    assert [fault.split(": ")[1] for fault in error.value.faults] == ["method.backbone", "method.supervision"]
    path.write_text("mine")
    result = CliRunner().invoke(app, ["card", "new", str(path)])
    assert result.exit_code == 1
    assert "is there already" in result.stderr
    assert path.read_text() == "mine"


def test_optional_lines_of_the_template_are_what_it_says(tmp_path: Path) -> None:
    lines = ("# det_threshold", "# cbgm_k1", "# cbgm_k2", "# keep", "# protocols")
    text = filled()
    for line in lines:
        assert text.count(line) == 1
        text = text.replace(line, line.removeprefix("# "))
    rules = _card(tmp_path / "card.toml", text).rules
    assert rules.model_dump() == {
        "det_threshold": 0.5, "cbgm_k1": 10, "cbgm_k2": 3, "keep": 100, "protocols": ("gallery-100",),
    }  # fmt: skip


def test_ten_faults_are_listed_together(tmp_path: Path) -> None:
    text = """
[method]
name = ""
family = "new"
supervision = "none"
paper = "javascript:alert(1)"
code = "https://example.org/<script>"
backbone = "two\\nlines"
training_data = 3
input_size = "900x1500"
colour = "red"

[training]
seeds = []

[rules]
cbgm_k1 = 10

[submitter]
name = "A"
"""
    with pytest.raises(InputError) as error:
        _card(tmp_path / "card.toml", text)
    assert sorted(fault.split(": ")[1] for fault in error.value.faults) == [
        "method.backbone", "method.code", "method.colour", "method.family", "method.name", "method.paper",
        "method.supervision", "method.training_data", "rules", "training.seeds",
    ]  # fmt: skip
    [unknown] = [fault for fault in error.value.faults if "method.colour" in fault]
    assert unknown.endswith("method.colour: unknown field. Remove it.")
    remedy = "`psbench card new` writes a card that explains each line."
    assert all(fault.endswith(remedy) for fault in error.value.faults if fault != unknown)


@pytest.mark.parametrize("text", ["a\\u001b[31mb", "a\\nb", "a\\u202eb", "a\\u0000b", "a\\u200bb", "a\\u0085b"])
def test_control_characters_are_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as error:
        _card(tmp_path / "card.toml", filled(text))
    assert "method.name: expected a single line of printable characters" in str(error.value)
    assert str(error.value).isprintable()


def test_markup_is_text_like_any_other(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)> & 人"
    assert _card(tmp_path / "card.toml", filled(name)).method.name == name


def test_name_of_blanks_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"method\.name"):
        _card(tmp_path / "card.toml", filled("   "))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = [", "not a TOML file"),
        ("x = " + "1" * 5000, "not a TOML file"),
        ("x = " + "[" * 20_000, "not a TOML file"),
        ("#" * (MOST_BYTES + 1), "longer than"),
        ("", "method: Field required"),
    ],
)
def test_what_is_no_card_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        _card(tmp_path / "card.toml", text)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not a TOML file"):
        Card.load(tmp_path / "binary.toml")
    with pytest.raises(InputError, match="No such file"):
        Card.load(tmp_path / "none.toml")
