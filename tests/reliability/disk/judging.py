"""What is made of how a command ended: words for the table, and whether it ought to have ended so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.reliability.disk.commands import Command
from tests.reliability.disk.comparing import contents
from tests.reliability.disk.running import Ended
from tests.reliability.record import Row

_HIDDEN = re.compile(r"(^|/)\.[^/]*\.[0-9a-f]{8}")
"""What stands in for a file or folder while it is written, see `psbench_data.atomic`."""

LEFT_BEHIND = "was left behind"
"""Of such a file, at the end of what is wrong."""
_UNSEEMLY = ("Traceback", "Exception ignored", "Warning:")


class Outcome(NamedTuple):
    """What happened once.

    Attributes:
        words: of the table.
        wrong: what ought not to have been so, for whoever mends it; nothing where all is well.
    """

    words: str
    wrong: tuple[str, ...] = ()


def row_of(fault: str, outcomes: Iterable[Outcome], note: str = "") -> Row:
    """A row of what happened; what ought not to have is printed."""
    told = list(outcomes)
    for outcome in told:
        for wrong in outcome.wrong:
            print(f"  {fault}: {outcome.words}: {wrong}", flush=True)
    failed = sum(bool(outcome.wrong) for outcome in told)
    return Row("disk", fault, len(told), dict(Counter(outcome.words for outcome in told)), failed, note)


def message_faults(ended: Ended, names: Iterable[Path], reason: str = "") -> list[str]:
    """What is wrong with how a command says that it cannot go on.

    Args:
        ended: how it ended.
        names: files or folders, one of which it must name.
        reason: the system's words, which it must repeat.
    """
    said = re.sub(r"\s+", " ", ended.err)
    wrong = [f"exit status {ended.status}"] if ended.status != 1 else []
    wrong += [f"{word!r} is in what it says" for word in _UNSEEMLY if word in ended.err]
    message = said[said.find("error: ") :] if "error: " in said else ""
    if not message:
        wrong.append("no message")
    if not any(str(name) in message for name in names):
        wrong.append("the message does not name the file")
    # Where nothing temporary can be written, Python says so in words of its own.
    if reason not in message and "temporary" not in message:
        wrong.append(f"the message does not say {reason!r}")
    if _HIDDEN.search(message) and "move it" not in message:
        wrong.append("the message names a file that users know nothing of")
    # What to do is a sentence of its own.
    if not re.search(r"[.:)] [A-Z][^.]+\.", message):
        wrong.append("the message does not say what to do")
    return [f"{one}: {ended.err[-1500:]!r}" for one in wrong[:1]] + wrong[1:]


def damage(command: Command, place: Path, before: dict[str, str], expected: dict[str, str]) -> list[str]:
    """What a command that did not end well has lost, or left as if it were whole."""
    now = contents(place)
    wrong = [
        f"{name} was there before, and is {'changed' if name in now else 'lost'}"
        for name, digest in before.items()
        if name not in now or now[name] not in (digest, expected.get(name))
    ]
    for name in now:
        if _HIDDEN.search(name):
            wrong.append(f"{name} {LEFT_BEHIND}")
        elif name not in before and _looks_whole(command, name) and now[name] != expected.get(name):
            wrong.append(f"{name} looks whole and is not")
    return wrong


def differences(place: Path, expected: dict[str, str]) -> list[str]:
    """In what a place differs from what a command makes of it."""
    now = contents(place)
    names = sorted({*now, *expected})
    return [f"{name} is not what it should be" for name in names if now.get(name) != expected.get(name)]


def _looks_whole(command: Command, name: str) -> bool:
    """Whether readers would take a file for a result."""
    return not command.whole or any(f"/{name}".endswith(f"/{whole}") for whole in command.whole)
