"""The box: inputs are read in a process of their own that has little time and memory, and may die.

A worker (working.py) is forked from a server that has imported the targets, and goes through inputs until one ends it;
then another one goes on behind it.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.reliability.fuzz import judging
from tests.reliability.fuzz.judging import Verdict, place_of_dump
from tests.reliability.fuzz.mutating import Damage, Gone, Tree, read_tree
from tests.reliability.fuzz.target import modules
from tests.reliability.fuzz.working import Job, Kind, Tried, output_of, work

_BATCH = 1_000
"""Inputs of one worker, so that what they leave behind does not add up for ever."""
_STARTING = 300
"""Seconds of a clock in which a worker imports, and reads the valid input."""
_PATIENCE = 20
"""Times the CPU limit, in seconds of a clock, that an input may take: longer waits for something that does not come."""
_MOST_DEATHS = 100
"""Of workers, after which a target is given up: so many tell enough."""


@dataclass(frozen=True)
class Box:
    """A target's inputs, and the limits in which each is read.

    Attributes:
        module, name: where the target is, and which.
        valid: the folder that its `make` wrote into.
        seed: of the inputs.
        seconds: of CPU an input.
    """

    module: str
    name: str
    valid: Path
    seed: int = 0
    seconds: float = judging.SECONDS

    def tried(self, kind: Kind, amount: float, first: int = 0) -> Iterator[Tried]:
        """Read inputs of a kind, so many of them (guided ones: for so many seconds), the first with this number."""
        deaths = 0
        with tempfile.TemporaryDirectory() as corpus:
            while amount > 0 and deaths < _MOST_DEATHS:
                begun, number = time.monotonic(), first
                share = amount if kind == "guided" else min(amount, _BATCH)
                job = Job(self.module, self.name, self.valid, self.seed, self.seconds, kind, share, first, Path(corpus))
                for one in self._worked(job):
                    yield one
                    first = one.number + 1
                    deaths += one.verdict.outcome == "death" or one.ended
                if first == number:
                    return
                amount -= time.monotonic() - begun if kind == "guided" else first - number

    def _worked(self, job: Job) -> Iterator[Tried]:
        """By one worker; the last is the one that ended it, if one did."""
        with tempfile.TemporaryDirectory() as scratch:
            context = _context(job.module)
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=work, args=(job, Path(scratch), theirs), daemon=True)
            worker.start()
            theirs.close()
            try:
                yield from self._received(job, ours, worker, Path(scratch))
            finally:
                worker.kill()
                worker.join()
                ours.close()

    def _received(self, job: Job, ours: Connection, worker: BaseProcess, scratch: Path) -> Iterator[Tried]:
        first = _message(ours, _STARTING)
        if not isinstance(first, Verdict) or first.outcome != "read":
            raise RuntimeError(f"{self.name}: the valid input is not read: {first or output_of(scratch)}")
        number = job.first
        while isinstance(done := _message(ours, _PATIENCE * self.seconds), Tried):
            yield done
            number = done.number + 1
        if isinstance(done, str):
            raise RuntimeError(f"{self.name}: input {number} cannot be made: {done}")
        worker.join(1)
        if worker.exitcode != 0:
            verdict = _end_of(worker, scratch)
            yield Tried(number, verdict, damage=_difference(self.valid, scratch / "input"), ended=True)


def _end_of(worker: BaseProcess, scratch: Path) -> Verdict:
    """Why there is nothing more of a worker."""
    if worker.exitcode is None:
        worker.terminate()
        worker.join(1)
        dump = output_of(scratch)
        return Verdict("hang", f"waits {place_of_dump(dump)}", f"it waited for what did not come\n{dump}")
    dump = output_of(scratch)
    name = signal.Signals(-worker.exitcode).name if worker.exitcode < 0 else f"exit {worker.exitcode}"
    return Verdict("hang" if name == "SIGXCPU" else "death", f"{name} {place_of_dump(dump)}", f"{name}\n{dump}")


def _difference(valid: Path, damaged: Path) -> Damage:
    """What a worker that is no more was reading."""
    sound, found = read_tree(valid), read_tree(damaged)
    gone: Damage = {name: Gone.FOLDER if (damaged / name).is_dir() else Gone.MISSING for name in sound.keys() - found}
    changed: Tree = {name: content for name, content in found.items() if sound.get(name) != content}
    return gone | changed


def _context(module: str) -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    # Of this process's server, which starts with its first worker.
    context.set_forkserver_preload(modules() if module in modules() else [module])
    return context


def _message(connection: Connection, seconds: float) -> object:
    """What the worker says; None where it says nothing any more."""
    try:
        return connection.recv() if connection.poll(seconds) else None
    except EOFError:
        return None
