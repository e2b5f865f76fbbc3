"""A disk that is full after so many bytes or files, and files that cannot grow beyond so many bytes."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from psbench.matches import counted
from tests.reliability.disk.attempts import Bench, Usual, attempt, pages, spread
from tests.reliability.disk.commands import Command
from tests.reliability.disk.comparing import contents
from tests.reliability.disk.judging import Outcome, damage, differences, message_faults, row_of
from tests.reliability.record import Row


def row(bench: Bench, command: Command, normal: Usual, times: int) -> Row:
    """Every way in which a write fails for want of room."""
    outcomes = [
        *_full(bench, command, normal, times),
        *_limited(bench, command, normal, times),
        _nowhere_to_say_it(bench, command, normal),
    ]
    needs = f"it needs {-(-normal.room // 1024):,} KiB and {counted(normal.inodes, 'file')}"
    return row_of(f"`{command.name}`: no room for more than k bytes, k files, or k bytes of a file", outcomes, needs)


def _full(bench: Bench, command: Command, normal: Usual, times: int) -> Iterator[Outcome]:
    disk, reason = bench.disk, os.strerror(errno.ENOSPC)
    for room in pages(times, normal.room):
        yield attempt(bench, command, normal, spoil=lambda room=room: disk.leave(room), mend=disk.free, reason=reason)
    for count in spread(max(times // 3, 1), normal.inodes):
        yield attempt(
            bench,
            command,
            normal,
            spoil=lambda count=count: disk.leave_inodes(count),
            mend=disk.free,
            reason=reason,
        )


def _limited(bench: Bench, command: Command, normal: Usual, times: int) -> Iterator[Outcome]:
    for size in spread(times, normal.largest):
        yield attempt(
            bench,
            command,
            normal,
            before=lambda size=size: limit_files(size),
            reason=os.strerror(errno.EFBIG),
        )


def limit_files(size: int) -> None:
    """Let this process, and those that it starts, write no file beyond so many bytes."""
    # Python ignores the signal, so that the write fails.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _nowhere_to_say_it(bench: Bench, command: Command, normal: Usual) -> Outcome:
    """What goes to the standard output cannot be written; the files may have been."""
    with bench.disk.empty():
        command.prepare(bench.inputs, bench.place)
        there = contents(bench.place)
        ended = bench.run(command, before=lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), 1))
        wrong = message_faults(ended, [Path("standard output")], os.strerror(errno.ENOSPC))
        if not differences(bench.place, normal.expected):
            return Outcome("one message, and the right result", tuple(wrong))
        wrong += damage(command, bench.place, there, normal.expected)
        return Outcome("one message", tuple(wrong))
