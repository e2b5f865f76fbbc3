"""One input read and judged: a value and an InputError that helps are right, anything else is a failure."""

from __future__ import annotations

import re
import signal
import traceback
import unicodedata
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from psbench_data.errors import InputError
from tests.reliability.fuzz.target import Target

SECONDS = 10
"""Of CPU that reading one input may take."""
LONGEST = 20_000
"""Characters of an InputError's message."""
_OURS = re.compile(r"\b(?:psbench|psbench_data|tests/reliability)/.*\.py")
_MAY_WARN = re.compile(rf"{_OURS.pattern}|\bPIL/\w+\.py")
_HARNESS = re.compile(r"tests/reliability/fuzz/(judging|working|boxed)\.py")
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_SHOWN = 3_000


@dataclass(frozen=True)
class Verdict:
    """What became of an input.

    Attributes:
        outcome: `read`: there was a value; `refused`: there was an InputError that names the file; else what failed.
        fault: of a failure: its kind and the innermost place in our code, by which equal faults are known.
        told: of a failure: the traceback or message.
    """

    outcome: Literal["read", "refused", "exception", "message", "warning", "output", "hang", "memory", "death"]
    fault: str = ""
    told: str = ""

    @property
    def failed(self) -> bool:
        """Whether it ought not to have happened."""
        return self.outcome not in ("read", "refused")


class TooLongError(BaseException):
    """Reading takes too long. No reader catches it by accident."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TooLongError in the block after so much CPU time, and again every second; only in the main thread."""

    def stop(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judged(target: Target, folder: Path, names: Collection[str], seconds: float = SECONDS) -> Verdict:
    """Read an input.

    Args:
        target: whose it is.
        folder: where it is.
        names: of its files, one of which an InputError must name in each of its faults.
        seconds: of CPU.
    """
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with within(seconds):
                target.read(folder)
            found = Verdict("read")
        except InputError as error:
            found = _of_refusal(error, names)
        except TooLongError as error:
            found = Verdict("hang", f"hang {_place(error)}", _traceback(error))
        except MemoryError as error:
            found = Verdict("memory", f"MemoryError {_place(error)}", _traceback(error))
        except BaseException as error:
            found = Verdict("exception", f"{type(error).__name__} {_place(error)}", _traceback(error))
    # Ours are UserWarnings raised in our own modules; numpy's are told of our lines, too, and are RuntimeWarnings. Of a
    # picture that can be read all the same, Pillow may say what is odd.
    foreign = [w for w in warned if w.category is not UserWarning or not _MAY_WARN.search(w.filename)]
    if foreign and found.outcome == "read":
        first = foreign[0]
        place = f"{first.category.__name__} {_short(first.filename)}:{first.lineno}"
        return Verdict("warning", place, f"{place}: {first.message}"[:_SHOWN])
    return found


def _of_refusal(error: InputError, names: Collection[str]) -> Verdict:
    """Whether an InputError is one that helps, and was not the way out of too little memory."""
    text, place = str(error), _place(error)
    if hit := next((cause for cause in _causes(error) if isinstance(cause, MemoryError)), None):
        return Verdict("memory", f"MemoryError {_place(hit)}", _traceback(error))
    if len(text) > LONGEST:
        return Verdict("message", f"too long {place}", f"{len(text):,} characters: {text[:_SHOWN]}")
    # A fault is one line; those of one error are listed one below the other.
    if raw := sorted({c for fault in error.faults for c in fault if _is_control(c)}):
        return Verdict("message", f"control characters {place}", f"{raw!r:.200} in {text[:_SHOWN]!r}")
    if nameless := [fault for fault in error.faults if not any(name in fault for name in names)]:
        return Verdict("message", f"names no file {place}", nameless[0][:_SHOWN])
    return Verdict("refused")


def _is_control(character: str) -> bool:
    """Whether a terminal would take it for more than a character, or could not show it."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or bool(_TURNING.match(character))


def _causes(error: BaseException) -> Iterator[BaseException]:
    while (following := error.__cause__ or error.__context__) is not None:
        error = following
        yield error


def _place(error: BaseException) -> str:
    """The innermost place in our code."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _OURS.search(f.filename)]
    own = [frame for frame in frames if not _HARNESS.search(frame.filename)] or frames
    return f"{_short(own[-1].filename)}:{own[-1].lineno} {own[-1].name}" if own else "outside"


def _short(filename: str) -> str:
    return "/".join(Path(filename).parts[-2:])


def _traceback(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error, limit=-12))
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]}\n...\n{text[-_SHOWN:]}"


def place_of_dump(dump: str) -> str:
    """The innermost place in our code that `faulthandler` wrote of a death."""
    for file, line, name in re.findall(r'File "([^"]+)", line (\d+) in (\S+)', dump):
        if _OURS.search(file) and not _HARNESS.search(file):
            return f"{_short(file)}:{line} {name}"
    return "outside"
