"""What a worker in the box does: read the valid input, take on its limits, and read one input after another."""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from types import FunctionType
from typing import Literal

from tests.reliability.fuzz.judging import Verdict, judged
from tests.reliability.fuzz.mutating import Damage, Gone, Tree, made_again, place, read_tree
from tests.reliability.fuzz.target import Target, target_of

Kind = Literal["damaged", "drawn", "guided"]
"""Inputs that follow from a seed and their number, that hypothesis draws, and that atheris finds by coverage."""
_MIB = 1 << 20


@dataclass(frozen=True)
class Job:
    """What a worker is to read.

    Attributes:
        module, name, valid, seed, seconds: as of `Box`.
        kind: of inputs.
        amount: of them; of guided ones seconds.
        first: the number of the first.
        corpus: a folder that guided inputs are kept in between workers.
    """

    module: str
    name: str
    valid: Path
    seed: int
    seconds: float
    kind: Kind
    amount: float
    first: int
    corpus: Path


@dataclass(frozen=True)
class Tried:
    """An input and what became of it.

    Attributes:
        number: of the input.
        verdict: what happened.
        seconds: of CPU.
        memory: MiB that it took at most above what the valid input takes.
        damage: the input, where it failed.
        ended: whether the worker came to an end by it.
    """

    number: int
    verdict: Verdict
    seconds: float = 0
    memory: float = 0
    damage: Damage | None = None
    ended: bool = False


class _Reader:
    """Puts one input after the other in the place of the valid one, reads it and says what happened."""

    def __init__(self, job: Job, target: Target, scratch: Path, connection: Connection) -> None:
        self.folder = scratch / "input"
        shutil.copytree(job.valid, self.folder)
        self.tree: Tree = read_tree(self.folder, target.damaged)
        self._read = partial(judged, target, self.folder, seconds=job.seconds)
        self._names = names_of(target, self.folder)
        self._scratch, self._connection = scratch, connection
        self._seconds, self._memory = job.seconds, target.memory
        self._start = self._most = 0

    def valid(self) -> Verdict:
        """Read the valid input, twice: the second time, all that is imported and kept is there."""
        self._read(self._names)
        return self._read(self._names)

    def limit(self) -> None:
        """Count the bound of memory from here. Inputs are made without one."""
        gc.collect()
        self._start = _memory("VmRSS")
        self._most = _memory("VmData") + self._memory * _MIB

    def one(self, number: int, damage: Damage) -> None:
        """Read an input."""
        place(damage, self.folder)
        printed = _size(self._scratch / "output")
        Path("/proc/self/clear_refs").write_text("5")
        # Of a file that is not there, the folder is what can be named.
        gone = any(isinstance(content, Gone) for content in damage.values())
        names = self._names | ({str(self.folder)} if gone else set())
        begun = sum(os.times()[:2])
        # Code that does not return sees no signal handler: the kernel ends it.
        _bound(int(begun + 1.5 * self._seconds) + 1, self._most)
        verdict = self._read(names)
        _bound(resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        seconds, taken = sum(os.times()[:2]) - begun, (_memory("VmHWM") - self._start) / _MIB
        if taken > self._memory and not verdict.failed:
            verdict = Verdict("memory", "more memory than allowed", f"{taken:,.0f} MiB")
        elif _size(self._scratch / "output") > printed and not verdict.failed:
            verdict = Verdict("output", "prints something", output_of(self._scratch))
        self._connection.send(Tried(number, verdict, seconds, taken, damage if verdict.failed else None))
        place({name: self.tree[name] for name in damage}, self.folder)
        shutil.rmtree(self._scratch / "cache", ignore_errors=True)


def work(job: Job, scratch: Path, connection: Connection) -> None:
    """The life of a worker: say how the valid input is read, and then what became of each input."""
    _tell_into(scratch / "output")
    os.environ["PSBENCH_CACHE"] = str(scratch / "cache")
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    target = target_of(job.module, job.name)
    reader = _Reader(job, target, scratch, connection)
    first = reader.valid()
    if first.outcome == "read":
        if job.kind == "guided":
            _instrument()
        reader.limit()
    connection.send(first)
    try:
        {"damaged": _damaged, "drawn": _drawn, "guided": _guided}[job.kind](job, target, reader)
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")
        raise


def output_of(scratch: Path) -> str:
    """The end of what a worker printed, and where it was when it died."""
    file = scratch / "output"
    return file.read_text("utf-8", "replace")[-4_000:] if file.exists() else ""


def _damaged(job: Job, target: Target, reader: _Reader) -> None:
    for number in range(job.first, job.first + int(job.amount)):
        reader.one(number, made_again(target, reader.tree, job.seed, number))


def _drawn(job: Job, target: Target, reader: _Reader) -> None:
    from hypothesis import HealthCheck, Phase, given, seed, settings

    assert target.drawn is not None
    numbers = count(job.first)

    @seed(f"{job.seed} {job.first}")
    @settings(
        max_examples=int(job.amount),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.drawn())
    def read(files: Tree) -> None:
        reader.one(next(numbers), dict(files))

    read()


def _guided(job: Job, target: Target, reader: _Reader) -> None:
    """The bytes are the content of a damaged file, which the first byte chooses."""
    import atheris

    names, numbers = list(reader.tree), count(job.first)
    for i, name in enumerate(names[:256]):
        (job.corpus / f"valid-{i}").write_bytes(bytes([i]) + reader.tree[name])

    def read(data: bytes) -> None:
        reader.one(next(numbers), {names[data[0] % len(names)]: data[1:]} if data else {})

    longest = 2 * max(map(len, reader.tree.values())) + 64
    options = {
        "max_total_time": int(job.amount),
        "max_len": longest,
        "seed": job.seed + job.first + 1,
        "timeout": 600,
        "rss_limit_mb": 0,
        "print_final_stats": 0,
        "verbosity": 0,
    }
    # faulthandler and the limits of the box tell more.
    handlers = dict.fromkeys((f"handle_{name}" for name in ("segv", "bus", "abrt", "ill", "fpe", "term", "xfsz")), 0)
    atheris.Setup([sys.argv[0], *(f"-{k}={v}" for k, v in (options | handlers).items()), str(job.corpus)], read)
    atheris.Fuzz()


def _instrument() -> None:
    """Have atheris see which of psbench's lines are reached."""
    import atheris

    for value in gc.get_objects():
        if isinstance(value, FunctionType) and (value.__module__ or "").partition(".")[0] in (
            "psbench",
            "psbench_data",
        ):
            atheris.instrument_func(value)


def names_of(target: Target, folder: Path) -> set[str]:
    """What an InputError may name: files of the input, and the folders of those that are damaged."""
    folders = {Path(pattern).parent.name for pattern in target.damaged}
    return {Path(name).name for name in read_tree(folder)} | (folders - {"", "**"})


def _tell_into(output: Path) -> None:
    """Have all that this process prints, and where it was when it died, in a file."""
    stream = output.open("w+b", buffering=0)
    for standard in (1, 2):
        os.dup2(stream.fileno(), standard)
    faulthandler.enable(2)
    # What does not come back in time, and what is ended from outside.
    for number in (signal.SIGXCPU, signal.SIGTERM):
        faulthandler.register(number, 2, chain=True)


def _bound(seconds: int, memory: int) -> None:
    """Of this process: how much CPU time it may have used, and how many bytes it may write to."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.RLIM_INFINITY))


def _size(file: Path) -> int:
    return file.stat().st_size


def _memory(what: str) -> int:
    """Bytes of this process: what it has (VmRSS), had at most (VmHWM), or may write to (VmData)."""
    with Path("/proc/self/status").open("rb") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(what.encode()))
