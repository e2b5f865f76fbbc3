"""The campaign of kills can fail: it notices commands that are fooled by what a killed one left, or that hang."""

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.reliability.kill import found
from tests.reliability.kill.changes import Changes
from tests.reliability.kill.jobs import Job
from tests.reliability.kill.running import Runner
from tests.reliability.kill.trying import FailedError, Tries, tried

_WRITING = """
import subprocess, sys, time
from pathlib import Path
result, partial, lock = Path("result.txt"), Path(".partial"), Path(".lock")

def lines(path):
    with path.open("a", buffering=1) as file:
        for number in range(len(path.read_text().splitlines()), 20):
            file.write(f"line {number}\\n")
            time.sleep(0.002)
"""
_WELL = """
lines(partial)
partial.rename(result)
"""
_IN_PLACE = """
lines(result)
"""
_FOOLED = """
if not partial.exists():
    lines(partial)
partial.rename(result)
"""
_LOCKED = """
if not result.exists():
    lock.open("x").close()
    lines(partial)
    lock.unlink()
    partial.rename(result)
"""
_HANGS = """
while lock.exists():
    time.sleep(0.01)
lock.open("x").close()
lines(partial)
lock.unlink()
partial.rename(result)
"""
_OUTLIVED = """
if partial.exists():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
lines(partial)
partial.rename(result)
"""


def _tried(script: str, folder: Path, times: int = 3, patience: float = 60) -> Counter[str]:
    """What comes of a command; each time it is killed after some of its lines."""
    path = folder / "command.py"
    path.write_text(_WRITING + script)
    job = Job("a command", ("python", str(path)), found.files)
    outcomes, failed, _ = tried(Tries(job, Runner(job.command, {}, patience), folder / "tries", warm=False), times, 0)
    assert failed == sum(count for words, count in outcomes.items() if words in FAULTS)
    return outcomes


FAULTS = {
    "left what would be taken for the result": _IN_PLACE,
    "came to another result": _FOOLED,
    "was refused when it was given again": _LOCKED,
    "hung when it was given again": _HANGS,
    "left processes that do not end": _OUTLIVED,
}


@pytest.mark.parametrize("words", FAULTS)
def test_faults_are_noticed_and_kept_for_looking(words: str, tmp_path: Path) -> None:
    assert _tried(FAULTS[words], tmp_path, patience=1)[words] > 0
    assert words in next((tmp_path / "tries").glob("0*/failed.txt")).read_text()


def test_commands_that_go_on_have_none(tmp_path: Path) -> None:
    outcomes = _tried(_WELL, tmp_path)
    assert outcomes["half done, and gone on with"] > 0
    assert not outcomes.keys() & FAULTS.keys()
    assert not list((tmp_path / "tries").glob("0*"))


def test_what_has_no_outcome_of_its_own_is_not_tried(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="another outcome each time"):
        _tried(f"{_WELL}result.write_text(str(time.time_ns()))", tmp_path)
    with pytest.raises(FailedError, match="came to nothing"):
        _tried("", tmp_path)
    with pytest.raises(FailedError, match="ended with the status 3"):
        _tried(f"{_WELL}sys.exit(3)", tmp_path)


def test_changes_are_counted_in_new_folders_too(tmp_path: Path) -> None:
    never, end = os.pipe()
    with Changes(tmp_path) as changes:
        (tmp_path / "new").mkdir()
        assert changes.wait(1, until=never, patience=60)
        # Created, written, closed.
        (tmp_path / "new/file").write_text("words")
        assert changes.wait(4, until=never, patience=60)
        (tmp_path / "new/file").unlink()
        assert changes.wait(5, until=never, patience=60)
        os.close(end)
        assert not changes.wait(6, until=never, patience=60)
    os.close(never)
