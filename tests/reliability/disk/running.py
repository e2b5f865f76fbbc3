"""Commands in processes of their own, forked from one that has loaded the programs: what each does to its disk is real.

The forked process ends as a command does, with its exit status and what it said, and shares no open file with another.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

_PIPE = 2**20
_TICK = 0.002
"""Seconds between two looks at a process."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: its exit status; negative, the signal that ended it.
        out, err: what it said.
        seconds: that it took.
    """

    status: int
    out: str
    err: str
    seconds: float


@dataclass
class Started:
    """A command that runs."""

    pid: int
    streams: tuple[int, ...]
    since: float = field(default_factory=time.monotonic)

    def wait(self, watch: Callable[[], object] = lambda: None, *, limit: float = 300) -> Ended:
        """Wait for its end, calling `watch` all the time; one that takes longer than `limit` seconds is killed."""
        while not (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            watch()
            time.sleep(_TICK)
            if time.monotonic() > self.since + limit:
                os.kill(self.pid, 9)
                limit = float("inf")
        said = [_drained(stream) for stream in self.streams]
        return Ended(os.waitstatus_to_exitcode(ended[1]), *said, time.monotonic() - self.since)


def start(
    words: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    before: Callable[[], object] = lambda: None,
) -> Started:
    """Start a command.

    Args:
        words: the program, see `PROGRAMS`, and what is said to it.
        environment: on top of this process's.
        before: done in the new process, before the command.
    """
    import fcntl

    pipes = [os.pipe() for _ in range(2)]
    for _, end in pipes:
        # What nobody reads until the command has ended must fit.
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE)
    sys.stdout.flush()
    sys.stderr.flush()

    def command() -> None:
        from tests.reliability.disk.programs import PROGRAMS

        for (reading, writing), to in zip(pipes, (1, 2), strict=True):
            os.close(reading)
            os.dup2(writing, to)
            os.close(writing)
        os.environ.update(environment or {})
        tempfile.tempdir = None
        sys.argv = list(words)
        before()
        PROGRAMS[words[0]]()

    if not (pid := os.fork()):
        end_with(command)
    for _, end in pipes:
        os.close(end)
    return Started(pid, tuple(end for end, _ in pipes))


def run(words: Sequence[str], watch: Callable[[], object] = lambda: None, **more: object) -> Ended:
    """Start a command and wait for its end; the arguments are those of `start` and `Started.wait`."""
    return start(words, **more).wait(watch)  # type: ignore[arg-type]


def end_with(program: Callable[[], object]) -> NoReturn:
    """End this process, which was forked, as an interpreter that runs a program ends."""
    status = 70
    try:
        status = _exit_status(program)
    finally:
        os._exit(status)


def _exit_status(program: Callable[[], object]) -> int:
    try:
        program()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    else:
        status = 0
    # What is still open says its last words, as at the end of an interpreter.
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            with suppress(OSError):
                os.write(2, f"Exception ignored in: {stream.name} {error}\n".encode())
            status = 120
    return status


def _drained(stream: int) -> str:
    """What is in a pipe now; a process that the command started may have it open still."""
    os.set_blocking(stream, False)
    parts = []
    with suppress(BlockingIOError):
        while part := os.read(stream, _PIPE):
            parts.append(part)
    os.close(stream)
    return b"".join(parts).decode(errors="replace")
