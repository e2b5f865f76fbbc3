"""Two commands that write the same, started at once and one after the other."""

from __future__ import annotations

import random
import re
import shutil
import time
from pathlib import Path

from tests.reliability.disk.attempts import Bench, Usual
from tests.reliability.disk.commands import Command
from tests.reliability.disk.judging import Outcome, differences, message_faults, row_of
from tests.reliability.record import Row


def row(bench: Bench, command: Command, normal: Usual, times: int, seed: int) -> Row:
    """At once, and the second within the time that the first takes."""
    chance = random.Random(f"{seed} {command.name}")
    delays = [0.0] * times + [chance.uniform(0, normal.seconds) for _ in range(times)]
    outcomes = (_both(bench, command, normal, delay) for delay in delays)
    return row_of(f"`{command.name}`: two at once, and one while the other runs", outcomes)


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
        words = "one did it, the other was refused in one message" if refused else "both ended with the result of one"
        for one in refused:
            if kept := re.search(r"The finished work is in (\S+): move it", re.sub(r"\s+", " ", one.err)):
                words = "one did it, the other's message says where its work is kept"
                # It is the same work under another name.
                [folder] = command.folders
                here, there = bench.place / folder, Path(kept[1])
                shutil.rmtree(here)
                there.rename(here)
        wrong += differences(bench.place, normal.expected)
        return Outcome(words, tuple(dict.fromkeys(wrong)))
