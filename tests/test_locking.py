"""Locks go with the process that holds them, and not with what it started."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from psbench.locking import hold, let_go

pytest.importorskip("fcntl")
HOLDER = """
import subprocess, sys
from psbench.locking import hold
file = open(sys.argv[1])
assert hold(file, patience=0)
subprocess.Popen(["sleep", sys.argv[2]], pass_fds=[file.fileno()], stdout=subprocess.DEVNULL)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "lock").touch()
    return tmp_path / "lock"


def test_one_holds_it_at_a_time(path: Path) -> None:
    with path.open() as one, path.open() as other:
        assert hold(one, patience=0)
        start = time.monotonic()
        assert not hold(other, patience=0.3)
        assert time.monotonic() - start >= 0.3
        let_go(one)
        assert hold(other, patience=0)


def test_workers_do_not_keep_what_was_let_go(path: Path) -> None:
    with path.open() as file:
        assert hold(file, patience=0)
        worker = subprocess.Popen(["sleep", "60"], pass_fds=[file.fileno()])
        let_go(file)
    try:
        with path.open() as again:
            assert hold(again, patience=0)
    finally:
        worker.kill()
        worker.wait()


def test_workers_of_a_killed_process_are_waited_for(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), "2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    for stream in (holder.stdin, holder.stdout):
        assert stream is not None
        stream.close()
    with path.open() as file:
        assert not hold(file, patience=0)
        assert hold(file, patience=20)
