"""docs/reliability.md shows what campaigns found, and nothing else."""

import re
from pathlib import Path

import pytest

from tests.reliability.__main__ import CAMPAIGNS
from tests.reliability.page import PAGE, table, with_tables
from tests.reliability.record import Row, keep, read


def test_page_is_up_to_date() -> None:
    page = PAGE.read_text("utf-8")
    assert with_tables(page, read()) == page, "python -m tests.reliability.page"
    assert set(re.findall(r"<!-- measured: (\w+)\b.* -->", page)) == set(CAMPAIGNS)
    assert {row.campaign for row in read()} == set(CAMPAIGNS)


def test_nothing_ended_as_it_ought_not_to() -> None:
    assert [row.fault for row in read() if row.failed] == []


def test_a_row_takes_the_place_of_the_same_fault(tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    keep([Row("kill", "a killed", 2, {"went on": 2}), Row("disk", "full", 1, {"told": 1})], path)
    keep([Row("kill", "a killed", 3, {"went on": 2, "lost": 1}, failed=1)], path)
    assert [(row.fault, row.tried) for row in read(path)] == [("a killed", 3), ("full", 1)]
    assert "| a killed | 3 | 2 x went on<br>1 x lost<br>**1 ought not to have** |" in table(read(path))


def test_outcomes_add_up() -> None:
    with pytest.raises(ValueError, match="tried 3"):
        Row("kill", "a killed", 3, {"went on": 2})


def test_rows_of_several_commands_can_be_put_together() -> None:
    rows = [
        Row("disk", "`a`: full", 2, {"told": 2}),
        Row("disk", "`a`: an image vanishes while it runs", 3, {"told": 1, "went on": 2}),
        Row("disk", "`b`: the weights vanishes while it runs", 4, {"lost": 4}, failed=4),
    ]
    page = with_tables("<!-- measured: disk, by fault -->\n<!-- end -->", rows)
    assert (
        "| full | 2 | 2 x told |\n| what it reads vanishes while it runs | 7 | 4 x lost<br>2 x went on<br>1 x told"
        in page
    )
    assert "**4 ought not to have**" in page
