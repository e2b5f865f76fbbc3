"""Commands as users give them, each in a session of its own, and what is killed of them at a moment that is chosen.

Most are begun in a process that has imported everything already: to be killed while Python imports changes nothing on
disk, and would be most of what happens. The code that runs, and its arguments, are those of the command.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from multiprocessing.connection import wait
from pathlib import Path
from typing import Protocol

from tests.reliability.kill.changes import Changes
from tests.reliability.kill.operations import COUNTED, count_operations

SAID, COMPLAINED = "said.txt", "complained.txt"
"""What a command says on its standard output and its standard error, beside the folder that it runs in."""
_IMPORTED = [
    "accelerate",
    "jinja2",
    "matplotlib.pyplot",
    "pyarrow.parquet",
    "safetensors.torch",
    "scipy.optimize",
    "timm",
    "torchvision",
    "psbench.cli",
    "psbench.inference",
    "psbench.leaderboard.rendering",
    "psbench.reporting.text",
    "psbench.reproduction",
    "psbench.training",
    "psbench_data.cli",
]


@dataclass(frozen=True)
class Moment:
    """When, and what, is killed.

    Attributes:
        changes: of the folder that have to be seen first.
        seconds: that are waited then.
        operation: on files that the first process itself does not come to, counted from 1, instead of these; only of
            what runs in a process that has imported everything.
        group: whether the whole session is killed, and not the command's first process alone.
    """

    changes: int = 0
    seconds: float = 0.0
    operation: int | None = None
    group: bool = True


class EndedError(Exception):
    """A command came to its end before it was killed."""


class FailedError(Exception):
    """What ought not to have happened, in a few words that are counted, with what is to be known of it."""

    def __init__(self, words: str, details: object = "") -> None:
        super().__init__(words)
        self.details = str(details)


class _Process(Protocol):
    pid: int

    @property
    def sentinel(self) -> int: ...
    def status(self) -> int: ...


class _Fresh:
    """A command that begins with Python's start."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        (folder.parent / COUNTED).write_bytes(b"")
        program, *rest = command
        path = sys.executable if program == "python" else str(Path(sys.executable).with_name(program))
        with (folder.parent / SAID).open("wb") as said, (folder.parent / COMPLAINED).open("wb") as complained:
            self._process = subprocess.Popen(
                [path, *rest],
                cwd=folder,
                env=os.environ | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                start_new_session=True,
            )
        self.pid, self.sentinel = self._process.pid, os.pidfd_open(self._process.pid)

    def status(self) -> int:
        os.close(self.sentinel)
        return self._process.wait()


class _Warm:
    """A command in a process that has imported everything."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], moment: Moment | None
    ) -> None:
        self._process = _warm().Process(target=_run, args=(list(command), folder, dict(environment), moment))
        self._process.start()
        assert self._process.pid is not None
        self.pid, self.sentinel = self._process.pid, self._process.sentinel

    def status(self) -> int:
        self._process.join()
        code = self._process.exitcode
        self._process.close()
        assert code is not None
        return code


def _warm() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context


def _run(command: list[str], folder: Path, environment: dict[str, str], moment: Moment | None) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, SAID), (2, COMPLAINED)):
        os.dup2(os.open(folder.parent / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644), number)
    # Those that it was begun with are its starter's.
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    count_operations(folder, last=moment and moment.operation, group=moment is None or moment.group)
    program, *words = command
    sys.argv = [program, *words]
    if program == "python":
        assert words[0] == "-m"
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        return
    [entry] = entry_points(group="console_scripts", name=program)
    sys.exit(entry.load()())


@dataclass(frozen=True)
class Runner:
    """Runs a command in folders of its own.

    Attributes:
        command: `psbench`, `psbench-data` or `python`, and its words; paths are seen from the folder.
        environment: what it has beside this process's.
        patience: seconds after which it counts as hung.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    patience: float = 300.0

    def complete(self, folder: Path, *, warm: bool) -> int:
        """Let it run to its end; its exit status.

        Raises:
            FailedError: it, or a process that it started, did not end; all of them are killed.
        """
        process = self._start(folder, warm=warm)
        if not wait([process.sentinel], self.patience):
            _kill(process.pid, group=True)
            process.status()
            raise FailedError("hung when it was given again", f"not ended after {self.patience:.0f} s")
        status = process.status()
        self.outlived([process.pid])
        return status

    def kill(self, folder: Path, moment: Moment, *, warm: bool) -> int:
        """Kill it at a moment; its session.

        Raises:
            EndedError: before.
        """
        with Changes(folder) as changes:
            process = self._start(folder, moment, warm=warm)
            if moment.operation is not None:
                wait([process.sentinel], self.patience)
            elif changes.wait(moment.changes, until=process.sentinel, patience=self.patience):
                wait([process.sentinel], moment.seconds)
            _kill(process.pid, group=moment.group)
        if process.status() >= 0:
            raise EndedError
        return process.pid

    def count(self, folder: Path, *, warm: bool) -> Moment:
        """The moment of its end, when nobody disturbs it.

        Raises:
            FailedError: it does not end well.
        """
        with Changes(folder) as changes:
            start = time.monotonic()
            process = self._start(folder, warm=warm)
            changes.wait(sys.maxsize, until=process.sentinel, patience=self.patience)
            if status := process.status():
                raise FailedError(f"ended with the status {status} when it was not disturbed")
            seconds = time.monotonic() - start
        return Moment(changes.seen, seconds, (folder.parent / COUNTED).stat().st_size)

    def alive(self, sessions: Sequence[int]) -> bool:
        """Whether a process of some sessions still runs."""
        return any(True for _ in _processes(sessions))

    def outlived(self, sessions: Sequence[int]) -> None:
        """Wait until no process of some sessions is left.

        Raises:
            FailedError: one does not end; it is killed.
        """
        end = time.monotonic() + self.patience / 10
        while left := list(_processes(sessions)):
            if time.monotonic() > end:
                for pid in left:
                    _signal(os.kill, pid)
                raise FailedError("left processes that do not end", left)
            time.sleep(0.02)

    def _start(self, folder: Path, moment: Moment | None = None, *, warm: bool) -> _Process:
        if warm:
            return _Warm(self.command, folder, self.environment, moment)
        return _Fresh(self.command, folder, self.environment)


def _kill(pid: int, *, group: bool) -> None:
    if group:
        _signal(os.killpg, pid)
    # Before it has a session of its own there is no such group.
    _signal(os.kill, pid)


def _signal(send: Callable[[int, int], None], pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        send(pid, signal.SIGKILL)


def _processes(sessions: Sequence[int]) -> Iterator[int]:
    """Those that still run in some sessions."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name before it may hold anything.
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(session) in sessions and state not in "ZX":
            yield int(path.parent.name)
