"""A disk that is full after so many bytes or files, and files that cannot grow beyond so many bytes."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from tests.reliability.disk.attempts import Bench, Usual, attempt, pages, spread
from tests.reliability.disk.commands import Command
from tests.reliability.disk.comparing import contents
from tests.reliability.disk.judging import Outcome, damage, differences, message_faults, row_of
from tests.reliability.record import Row


def rows(bench: Bench, command: Command, normal: Usual, times: int) -> Iterator[Row]:
    """Every way in which a write fails for want of room."""
    note = f"it needs {-(-normal.room // 1024):,} KiB and {normal.inodes} files"
    yield row_of(f"`{command.name}`: disk full after k bytes, or k files", _full(bench, command, normal, times), note)
    yield row_of(f"`{command.name}`: a file that cannot grow beyond k bytes", _limited(bench, command, normal, times))
    yield row_of(f"`{command.name}`: its output on a full disk", [_nowhere_to_say_it(bench, command, normal)])


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
