"""The fuzz campaign in small: inputs of each of psbench_data's targets, and that the harness notices what is wrong."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.reliability.fuzz import of_data_official, of_data_own, of_data_pictures, of_data_survey, toys
from tests.reliability.fuzz.boxed import Box
from tests.reliability.fuzz.judging import judged
from tests.reliability.fuzz.mutating import Damage, made_again, place, read_tree
from tests.reliability.fuzz.running import Found
from tests.reliability.fuzz.target import Target
from tests.reliability.fuzz.toys import TOYS
from tests.reliability.fuzz.working import names_of

_MODULES = (of_data_official, of_data_own, of_data_pictures, of_data_survey)
_INPUTS = 24


@pytest.mark.parametrize("name", TOYS)
def test_the_harness_notices(tmp_path: Path, name: str) -> None:
    _, outcome, told = TOYS[name]
    toys.write(tmp_path)
    box = Box(toys.__name__, name, tmp_path, seconds=0.2)
    # What ends a worker is followed by others; the kernel ends one only after a second or two.
    inputs = 2 if outcome == "death" else 1
    tried = list(box.tried("damaged", inputs))
    assert [one.number for one in tried] == list(range(inputs))
    assert {one.verdict.outcome for one in tried} == {outcome}
    assert told in tried[0].verdict.fault
    # What failed is there to be looked at, whatever became of the worker.
    assert tried[0].damage == (None if outcome == "refused" else _damage(box, 0))


def _damage(box: Box, number: int) -> Damage:
    [target] = [target for target in toys.TARGETS if target.name == box.name]
    return made_again(target, read_tree(box.valid, target.damaged), box.seed, number)


def test_equal_faults_are_counted_once_and_some_are_kept(tmp_path: Path) -> None:
    (tmp_path / "valid").mkdir()
    toys.write(tmp_path / "valid")
    found = Found(Box(toys.__name__, "KeyError", tmp_path / "valid"), tmp_path / "kept")
    found.add("damaged", found.box.tried("damaged", 9))
    row = found.row("seed 0")
    assert (row.tried, row.failed, row.outcomes) == (9, 9, {"failed: exception": 9})
    assert row.note.startswith("9 damaged, seed 0")
    assert row.note.endswith("1 different fault")
    kept = sorted(folder.name for folder in (tmp_path / "kept/KeyError").iterdir())
    assert kept == ["0", "1", "2"]
    assert "KeyError: 'key'" in (tmp_path / "kept/KeyError/0/verdict.txt").read_text()


def test_an_input_is_made_again_by_its_number() -> None:
    [target] = [target for target in of_data_own.TARGETS if target.name == "COCO JSON"]
    tree = {"test.json": json.dumps({"images": [1, 2], "annotations": [{"id": 3}]}).encode(), "train.json": b"{}"}
    first = [made_again(target, tree, 0, number) for number in range(60)]
    assert first == [made_again(target, tree, 0, number) for number in range(60)]
    assert all(tree[name] != content for damage in first for name, content in damage.items())
    assert all(first)
    assert len({repr(damage) for damage in first}) > 50


@pytest.mark.parametrize("target", [target for module in _MODULES for target in module.TARGETS], ids=lambda t: t.name)
def test_damaged_files_are_read_or_refused(tmp_path: Path, target: Target) -> None:
    """In this process, as the campaign does in a box: `python -m tests.reliability fuzz --only NAME`."""
    target.make(tmp_path)
    tree, names = read_tree(tmp_path, target.damaged), names_of(target, tmp_path)
    assert judged(target, tmp_path, names).outcome == "read"
    outcomes = Counter[str]()
    inputs = _INPUTS // 3 if "doctor" in target.name else _INPUTS
    for number in range(inputs):
        damage = made_again(target, tree, 1, number)
        place(damage, tmp_path)
        verdict = judged(target, tmp_path, {*names, str(tmp_path)})
        assert not verdict.failed, (number, verdict)
        outcomes[verdict.outcome] += 1
        place({name: tree[name] for name in damage}, tmp_path)
    assert judged(target, tmp_path, names).outcome == "read"
    assert outcomes.total() == inputs


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=of_data_own.drawn())
def test_documents_of_any_content_are_read_or_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    target = of_data_own.TARGETS[0]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    verdict = judged(target, tmp_path, files.keys())
    assert not verdict.failed, verdict
