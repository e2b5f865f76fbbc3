"""One command, killed again and again: each time given once more, and compared with what it does undisturbed."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tests.reliability.kill.found import Found, leftovers, unreadable
from tests.reliability.kill.jobs import Job
from tests.reliability.kill.running import COMPLAINED, SAID, EndedError, FailedError, Moment, Runner

_FRESH_EVERY = 10
"""One try in so many begins with Python's start, as users' do."""
_TWICE = 0.2
"""Of the tries, the share in which what goes on is killed once more."""
_AT_ONCE = 0.5
"""Of those whose workers are not dead at once, the share that does not wait for that."""


@dataclass(frozen=True)
class Reference:
    """A command that nobody disturbed.

    Attributes:
        found: what it left.
        before: what was there when it began.
        said: what it printed, if that is always the same.
        ends: the moment of its end, by whether everything had been imported before.
    """

    found: Found
    before: Found
    said: str
    ends: dict[bool, Moment]


@dataclass(frozen=True)
class Tries:
    """Kills a job, again and again.

    Attributes:
        job: see there.
        runner: of its command.
        folder: to work in; of the tries, those that failed stay.
        warm: whether most tries begin in a process that has imported everything.
    """

    job: Job
    runner: Runner
    folder: Path
    warm: bool = True

    def reference(self) -> Reference:
        """Run the command twice undisturbed, the first time from Python's start.

        Raises:
            FailedError: it does not end well, or has no outcome that could be compared.
        """
        ends, outcomes, said = {}, [], []
        for name, warm in (("first", False), ("second", self.warm)):
            folder = self._begin(name)
            before = self.job.found(folder)
            ends[warm] = self.runner.count(folder, warm=warm)
            outcomes.append(self.job.found(folder))
            said.append(_said(folder) if self.job.says else "")
            if outcomes[-1] == before:
                raise FailedError("came to nothing when it was not disturbed")
        if outcomes[0] != outcomes[1]:
            raise FailedError("has another outcome each time", _differences(*outcomes))
        if said[0] != said[1]:
            raise FailedError("says something else each time", "\n".join(said))
        return Reference(outcomes[1], before, said[1], ends)

    def run(self, times: int, seed: int) -> Iterator[tuple[str, bool, int]]:
        """Kill it so many times; yields what happened, whether that is as it should be, and what was left lying."""
        reference = self.reference()
        rng = random.Random(f"{seed} {self.job.name}")
        number = done = 0
        while done < times:
            number += 1
            if number > 10 * times:
                raise FailedError("ends before it can be killed")
            folder = self._begin(f"{number:04d}")
            try:
                words = self._try(folder, reference, rng, warm=self.warm and number % _FRESH_EVERY != 0)
            except EndedError:
                shutil.rmtree(folder.parent)
                continue
            except FailedError as failure:
                (folder.parent / "failed.txt").write_text(f"{failure}\n{failure.details}\n")
                yield f"{failure}", False, 0
            else:
                yield words, True, len(leftovers(folder))
                shutil.rmtree(folder.parent)
            done += 1

    def _try(self, folder: Path, reference: Reference, rng: random.Random, *, warm: bool) -> str:
        end = reference.ends[warm]
        session = self.runner.kill(folder, _moment(end, rng), warm=warm)
        if rng.random() < _AT_ONCE and self.runner.alive([session]):
            words = "given again while its workers still ran"
        else:
            self.runner.outlived([session])
            shutil.copytree(folder, folder.with_name("killed"), symlinks=True)
            words = self._look(folder, reference)
        if rng.random() < _TWICE:
            try:
                again = self.runner.kill(folder, _moment(end, rng), warm=warm)
            except EndedError:
                # What was left to do was soon done; it is given once more below.
                pass
            else:
                self.runner.outlived([session, again])
                self._look(folder, reference)
        self._finish(folder, reference, warm=warm)
        return words

    def _look(self, folder: Path, reference: Reference) -> str:
        """What the killed command left, which must be nothing that could be mistaken for a result."""
        try:
            found = self.job.found(folder)
        except Exception as error:
            raise FailedError("left what is not refused as it should be", repr(error)) from error
        for name, value in found.items():
            if name in reference.found and value not in (reference.found[name], reference.before.get(name)):
                raise FailedError("left what would be taken for the result", name)
        if broken := unreadable(folder):
            raise FailedError("left a file that is not whole under its name", "\n".join(broken))
        if reference.found.items() <= found.items():
            return "done already, and taken as it is"
        return "half done, and gone on with" if any(folder.iterdir()) else "nothing there yet, and begun anew"

    def _finish(self, folder: Path, reference: Reference, *, warm: bool) -> None:
        """Give the same command again."""
        whole = self.job.whole_is_refused is not None and reference.found.items() <= self.job.found(folder).items()
        status = self.runner.complete(folder, warm=warm)
        said = _said(folder)
        if status:
            complaint = _said(folder, COMPLAINED)
            if whole and self.job.whole_is_refused in complaint:
                return
            raise FailedError("was refused when it was given again", f"exit status {status}\n{complaint}")
        found = self.job.found(folder)
        if found != reference.found:
            raise FailedError("came to another result", _differences(found, reference.found))
        if broken := unreadable(folder):
            raise FailedError("ended with a file that is not whole", "\n".join(broken))
        if self.job.says and said != reference.said:
            raise FailedError("said something else in the end", said)

    def _begin(self, name: str) -> Path:
        """A folder to run in."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        folder = self.folder / name / "work"
        folder.mkdir(parents=True)
        self.job.begin(folder)
        return folder


def tried(tries: Tries, times: int, seed: int) -> tuple[Counter[str], int, int]:
    """How often each thing happened, how many of them ought not to have, and how much was left lying about in all."""
    outcomes: Counter[str] = Counter()
    failed = left = 0
    for words, well, lying in tqdm(tries.run(times, seed), desc=tries.job.name, total=times, unit="kill"):
        outcomes[words] += 1
        failed += not well
        left += lying
    return outcomes, failed, left


def _moment(end: Moment, rng: random.Random) -> Moment:
    """At any time before a command's end; between two of its operations on files; or while something is written."""
    group = rng.random() < 0.5
    kind = rng.random()
    if kind < 0.5 and end.operation:
        return Moment(operation=rng.randint(1, end.operation), group=group)
    if kind < 0.75:
        return Moment(rng.randint(1, max(end.changes, 1)), rng.choice((0.0, rng.expovariate(500))), group=group)
    return Moment(seconds=rng.uniform(0, end.seconds), group=group)


def _said(folder: Path, name: str = SAID) -> str:
    return (folder.parent / name).read_text("utf-8", "replace")


def _differences(found: Found, expected: Found) -> str:
    names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    return "\n".join(f"{name}: {found.get(name)!r:.300}, expected {expected.get(name)!r:.300}" for name in names)
