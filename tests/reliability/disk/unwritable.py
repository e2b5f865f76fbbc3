"""Places where nothing can be written: read-only disks, others' folders, files where folders should be."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from tests.reliability.disk.attempts import Bench, Usual, attempt
from tests.reliability.disk.commands import BESIDE, Command, nothing
from tests.reliability.disk.comparing import contents
from tests.reliability.disk.judging import Outcome, damage, differences, message_faults, row_of
from tests.reliability.record import Row


def row(bench: Bench, command: Command, normal: Usual) -> Row:
    """Every way in which a place cannot be written, or is not there yet."""
    disk = bench.disk
    outcomes = [
        attempt(bench, command, normal, spoil=disk.write_protect, mend=disk.free, reason=os.strerror(errno.EROFS)),
        attempt(
            bench,
            command,
            normal,
            spoil=lambda: _let_write(bench.place, False),
            mend=lambda: _let_write(bench.place, True),
            before=obey_permissions,
            reason=os.strerror(errno.EACCES),
        ),
        *_occupied(bench, command, normal),
        _deep(bench, command),
        *(_cacheless(bench, command, normal) if command.cached else ()),
    ]
    return row_of(f"`{command.name}`: read-only disks and folders, things in the way, folders to make", outcomes)


def obey_permissions() -> None:
    """Let permissions hold for this process, even if root runs it."""
    # Of Linux's capabilities, in their third form, this process keeps none.
    header = struct.pack("Ii", 0x20080522, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, bytes(24)):
        raise OSError(ctypes.get_errno(), "capset")


def _let_write(place: Path, allowed: bool) -> None:
    for folder in [place, *(path for path in place.rglob("*") if path.is_dir())]:
        folder.chmod(0o755 if allowed else 0o555)


def _occupied(bench: Bench, command: Command, normal: Usual) -> Iterator[Outcome]:
    """A folder where a file should be, a file where a folder should be, and files in the place of folders above."""
    for name in command.files:
        yield _refused(bench, command, normal, bench.place / name, lambda path: path.mkdir(parents=True))
    for name in command.folders:
        yield _refused(bench, command, normal, bench.place / name, lambda path: path.write_text("a file\n"))
    below = replace(command, words=lambda inputs, place: command.words(inputs, place / BESIDE))
    yield _refused(bench, below, normal, None, lambda _: None)


def _refused(
    bench: Bench, command: Command, normal: Usual, path: Path | None, occupy: Callable[[Path], object]
) -> Outcome:
    with bench.disk.empty():
        command.prepare(bench.inputs, bench.place)
        if path is not None:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            occupy(path)
        there = contents(bench.place)
        ended = bench.run(command)
        wrong = message_faults(ended, [bench.place])
        # One that has several outputs may have written another.
        wrong += damage(command, bench.place, there, normal.expected)
        return Outcome("one message", tuple(wrong))


def _deep(bench: Bench, command: Command) -> Outcome:
    """The results are those in a folder that is there."""
    place = bench.place / "a/new/folder"
    there = replace(command, words=lambda inputs, _: command.words(inputs, place))
    found = []
    for made in (True, False):
        with bench.disk.empty():
            if made or command.begin is not nothing:
                place.mkdir(parents=True)
                command.begin(bench.inputs, place)
            else:
                bench.place.mkdir()
            ended = bench.run(there)
            found.append(contents(place))
    wrong = [f"exit status {ended.status}: {ended.err[-500:]!r}"] if ended.status else []
    return Outcome("made them", (*wrong, *(["the result is another one"] if found[0] != found[1] else [])))


def _cacheless(bench: Bench, command: Command, normal: Usual) -> Iterator[Outcome]:
    """On a read-only disk, on a full one, below a file; the results are the same, and at most a warning is given."""
    disk, outside = bench.disk, bench.inputs.parent / "place"
    for cache, spoil in (
        ("cache", disk.write_protect),
        ("cache", lambda: disk.leave(0)),
        ("file/cache", lambda: None),
    ):
        with disk.empty():
            (disk.folder / "file").write_text("a file\n")
            spoil()
            command.prepare(bench.inputs, outside)
            environment = {"PSBENCH_CACHE": str(disk.folder / cache), "TMPDIR": str(bench.inputs.parent)}
            ended = replace(bench, environment=environment).run(
                replace(command, words=lambda inputs, _: command.words(inputs, outside))
            )
            disk.free()
            wrong = differences(outside, normal.expected)
            if ended.status or "Traceback" in ended.err:
                wrong.insert(0, f"exit status {ended.status}: {ended.err[-1500:]!r}")
            shutil.rmtree(outside)
            said = "a warning, and the right result" if "cache cannot be written" in ended.err else "the right result"
            yield Outcome(said, tuple(wrong))
