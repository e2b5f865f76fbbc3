"""Two commands that write the same, started at once and one after the other."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from tests.reliability.disk.attempts import Bench, Usual
from tests.reliability.disk.commands import Command
from tests.reliability.disk.judging import Outcome, differences, message_faults, row_of
from tests.reliability.record import Row


def rows(bench: Bench, command: Command, normal: Usual, times: int, seed: int) -> Iterator[Row]:
    """At once, and the second within the time that the first takes."""
    chance = random.Random(f"{seed} {command.name}")
    yield row_of(f"`{command.name}`: twice at once", (_both(bench, command, normal, 0) for _ in range(times)))
    later = [chance.uniform(0, normal.seconds) for _ in range(times)]
    yield row_of(
        f"`{command.name}`: twice, the second while the first runs",
        (_both(bench, command, normal, delay) for delay in later),
    )


def _both(bench: Bench, command: Command, normal: Usual, delay: float) -> Outcome:
    with bench.disk.empty():
        command.prepare(bench.inputs, bench.place)
        first = bench.start(command)
        time.sleep(delay)
        second = bench.start(command)
        both = [one.wait() for one in (first, second)]
        wrong: list[str] = []
        refused = [one for one in both if one.status]
        for one in refused:
            wrong += message_faults(one, [bench.place])
        for one in both:
            if "Traceback" in one.err:
                wrong.append(f"a traceback: {one.err[-1500:]!r}")
        if len(refused) == 2:
            wrong.append("neither came to its end")
        wrong += differences(bench.place, normal.expected)
        words = "one did it, the other was refused in one message" if refused else "both ended with the result of one"
        return Outcome(words, tuple(dict.fromkeys(wrong)))
