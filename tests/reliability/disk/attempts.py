"""One command in a place that something is wrong with, and once more when it is right again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.reliability.disk.commands import Command
from tests.reliability.disk.comparing import contents
from tests.reliability.disk.disk import PAGE, Disk
from tests.reliability.disk.judging import LEFT_BEHIND, Outcome, damage, differences, message_faults
from tests.reliability.disk.running import Ended, Started, start


@dataclass(frozen=True)
class Bench:
    """Where commands are tried.

    Attributes:
        inputs: see `inputs.make`.
        disk: that they write on.
        environment: that they run with, on top of the disk's.
    """

    inputs: Path
    disk: Disk
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> Path:
        """Where they write."""
        return self.disk.place

    def run(
        self,
        command: Command,
        *,
        before: Callable[[], object] = lambda: None,
        watch: Callable[[], object] = lambda: None,
    ) -> Ended:
        """Run a command to its end; see `start` and `Started.wait`."""
        return self.start(command, before).wait(watch)

    def start(self, command: Command, before: Callable[[], object] = lambda: None) -> Started:
        """Start it."""
        environment = {**self.disk.environment, **self.environment}
        return start(command.words(self.inputs, self.place), environment=environment, before=before)


@dataclass(frozen=True)
class Usual:
    """What a command does where nothing is wrong.

    Attributes:
        expected: what is in its place then.
        room: the most bytes that it needed beside what was there.
        inodes: the most files and folders.
        largest: bytes of the largest file that it wrote.
        seconds: that it took.
    """

    expected: dict[str, str]
    room: int
    inodes: int
    largest: int
    seconds: float


def usual(bench: Bench, command: Command) -> Usual:
    """Run a command twice where nothing is wrong, which must be the same."""
    found: list[Usual] = []
    for _ in range(2):
        with bench.disk.empty() as disk:
            command.prepare(bench.inputs, bench.place)
            used, inodes = disk.used(), disk.inodes()
            most = [used, inodes]

            def watch(disk: Disk = disk, most: list[int] = most) -> None:
                most[:] = max(most[0], disk.used()), max(most[1], disk.inodes())

            before = _state(bench.place)
            ended = bench.run(command, watch=watch)
            if ended.status != 0:
                raise RuntimeError(f"{command.name}: {ended}")
            watch()
            sizes = [len(raw) for path, raw in _state(bench.place).items() if before.get(path) != raw]
            # A file that is there for less than a look is among what was written.
            room = max(most[0] - used, sum(-(-size // PAGE) for size in sizes) * PAGE)
            inodes = max(most[1] - inodes, len(sizes))
            found.append(Usual(contents(bench.place), room, inodes, max(sizes), ended.seconds))
    if wrong := [name for name in found[0].expected if found[0].expected[name] != found[1].expected.get(name)]:
        raise RuntimeError(f"{command.name}: not the same again: {wrong}")
    return replace(found[1], room=max(one.room for one in found), inodes=max(one.inodes for one in found))


def attempt(
    bench: Bench,
    command: Command,
    normal: Usual,
    *,
    spoil: Callable[[], object] = lambda: None,
    mend: Callable[[], object] = lambda: None,
    reason: str = "",
    before: Callable[[], object] = lambda: None,
    names: tuple[Path, ...] = (),
    removed: str | None = None,
    otherwise: dict[str, str] | None = None,
) -> Outcome:
    """Run a command after something was spoilt, and again after it was mended.

    Args:
        bench: where.
        command: which.
        normal: what it does where nothing is wrong.
        spoil, mend: do that, in this process.
        before: done in the command's process, the first time.
        reason, names: as in `message_faults`; what is on the disk may always be named.
        removed: a folder that is spoilt by its removal.
        otherwise: what may also be in its place in the end, if anything may.
    """
    with bench.disk.empty():
        command.prepare(bench.inputs, bench.place)
        there, state = contents(bench.place), _state(bench.place)
        there = {name: digest for name, digest in there.items() if name.partition("/")[0] != removed}
        spoil()
        try:
            first = bench.run(command, before=before)
            if first.status == 0:
                if contents(bench.place) == otherwise:
                    return Outcome("ended well, with the result of doing without it")
                if any(words in raw for words in command.aware for raw in _state(bench.place).values()):
                    return Outcome("ended well, and says that it changed")
                return Outcome("ended well, with the right result", tuple(differences(bench.place, normal.expected)))
            wrong = message_faults(first, [bench.disk.folder, *names], reason)
            wrong += damage(command, bench.place, there, normal.expected)
            if removed:
                # A process that is ended at once, while its folder goes, cleans nothing up; nor need it.
                wrong = [one for one in wrong if not one.endswith(LEFT_BEHIND)]
        finally:
            mend()
        if _state(bench.place) == state:
            # From here it came to its end before.
            return Outcome("one message, and all is as it was", tuple(wrong))
        second = bench.run(command)
        # What a process left that was ended with others may be swept out now; it would be among the differences.
        wrong = [one for one in wrong if not one.endswith(LEFT_BEHIND)]
        wrong += [f"the second time: {second}"] if second.status else differences(bench.place, normal.expected)
        return Outcome("one message, and the same command completed later", tuple(wrong))


def _state(place: Path) -> dict[str, bytes]:
    """Every file and folder, byte for byte."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in place.rglob("*")}


def spread(count: int, most: int, *, step: int = 1) -> list[int]:
    """At most `count` different numbers of whole steps, from 0 to nearly `most`."""
    steps = max(most // step, 1)
    return sorted({round(i * (steps - 1) / max(count - 1, 1)) * step for i in range(count)})


def pages(count: int, most: int) -> list[int]:
    """Of a disk's room."""
    return spread(count, most, step=PAGE)
