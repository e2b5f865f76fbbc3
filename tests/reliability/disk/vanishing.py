"""Files and folders that vanish while a command is at work, before every so-manieth thing that it opens or lists."""

from __future__ import annotations

import mmap
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from tests.reliability.disk.attempts import Bench, Usual, attempt, spread
from tests.reliability.disk.commands import Command
from tests.reliability.disk.comparing import contents
from tests.reliability.disk.judging import Outcome, row_of
from tests.reliability.record import Row

_EVENTS = frozenset(["open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir"])
"""Of Python's audit, which every access to files goes through; that of libraries in C does not, and falls between."""


def rows(bench: Bench, command: Command, normal: Usual, times: int) -> Iterator[Row]:
    """Each of a command's inputs, and the folder that it fills."""
    moments = spread(times, _moments(bench, command))
    if command.reads:
        inputs = [_vanished(bench, command, normal, bench.inputs / name, moments) for name in command.reads.values()]
        what = " or ".join([", ".join([*command.reads][:-1]), [*command.reads][-1]]).removeprefix(" or ")
        yield row_of(f"`{command.name}`: {what} vanishes while it runs", chain.from_iterable(inputs))
    if command.whole:
        folders = [_removed(bench, command, normal, name, moments) for name in command.folders]
        yield row_of(
            f"`{command.name}`: the folder that it fills is removed while it runs", chain.from_iterable(folders)
        )


def at_moment(moment: int, do: Callable[[], object]) -> Callable[[], object]:
    """What makes a process do something before the so-manieth time that it accesses files, from 0."""

    def install() -> None:
        count, done = 0, False

        def hook(event: str, _: object) -> None:
            nonlocal count, done
            if event not in _EVENTS or done:
                return
            if count == moment:
                # What this does is heard, too.
                done = True
                do()
            count += 1

        sys.addaudithook(hook)

    return install


def _moments(bench: Bench, command: Command) -> int:
    """How often a command accesses files."""
    shared = mmap.mmap(-1, 8)

    def install() -> None:
        count = 0

        def hook(event: str, _: object) -> None:
            nonlocal count
            if event in _EVENTS:
                count += 1
                shared[:8] = struct.pack("q", count)

        sys.addaudithook(hook)

    with bench.disk.empty():
        command.prepare(bench.inputs, bench.place)
        bench.run(command, before=install)
    return struct.unpack("q", shared[:8])[0]


def _vanished(bench: Bench, command: Command, normal: Usual, victim: Path, moments: list[int]) -> Iterator[Outcome]:
    away = bench.inputs.parent / "away"

    def mend() -> None:
        if away.exists():
            away.rename(victim)

    with bench.disk.empty():
        command.prepare(bench.inputs, bench.place)
        victim.rename(away)
        without = None if bench.run(command).status else contents(bench.place)
        mend()
    for moment in moments:
        yield attempt(
            bench,
            command,
            normal,
            mend=mend,
            before=at_moment(moment, lambda: victim.rename(away)),
            names=(victim, victim.parent),
            otherwise=without,
        )


def _removed(bench: Bench, command: Command, normal: Usual, name: str, moments: list[int]) -> Iterator[Outcome]:
    def remove() -> None:
        shutil.rmtree(bench.place / name, ignore_errors=True)

    for moment in moments:
        yield attempt(bench, command, normal, mend=remove, before=at_moment(moment, remove), removed=name)
