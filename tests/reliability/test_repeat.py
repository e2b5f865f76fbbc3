"""The campaign that repeats commands: what it compares, and that the same comes out in other surroundings."""

import json
from pathlib import Path

import pytest

from tests.reliability.repeat import PARTS, digests, made


def test_only_what_is_measured_may_differ(tmp_path: Path) -> None:
    for name, record, page in (("a", {"seconds": 1, "steps": 2}, "x"), ("b", {"seconds": 2, "steps": 2}, "y")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps(record))
        (tmp_path / name / "card.md").write_text(f"| training | {name} |\nthe same\n")
        (tmp_path / name / "index.html").write_text(page)
    a, b = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert [name for name in a if a[name] != b[name]] == ["index.html"]
    (tmp_path / "b" / "run.json").write_text('{"seconds": 1, "steps": 3}')
    assert digests(tmp_path / "b")["run.json"] != a["run.json"]


@pytest.mark.slow
def test_everything_again_in_other_surroundings_is_the_same_bytes(tmp_path: Path) -> None:
    first, again = (digests(made(tmp_path / str(number), number)) for number in (0, 1))
    assert first == again
    assert {name.split("/")[0] for name in first} >= set(PARTS)
