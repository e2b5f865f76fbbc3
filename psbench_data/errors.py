"""The one error for input from outside that cannot be right."""

from collections.abc import Iterable, Sequence

_SHOWN = 20
_LONGEST, _END = 900, 300
"""Characters of a fault that are told, and how many of these are its end, which says what to do."""


class InputError(ValueError):
    """A file, folder or argument that cannot be used, with everything that is wrong with it.

    Each fault is one sentence that names the file (and row), what was expected and what to do, so that
    whoever supplied the input can mend all of it in one go.

    Faults quote what a file holds, so each is made one line of printable characters, and one that is endless is cut.

    Attributes:
        faults: all faults found, in the order in which they were met.
        advice: what is told after them, of any number of lines: for whoever needs more than a sentence.
    """

    def __init__(self, faults: str | Iterable[str], *, advice: str = "") -> None:
        self.faults = [_told(fault) for fault in ([faults] if isinstance(faults, str) else faults)]
        self.advice = advice
        super().__init__("\n".join(filter(None, [self._message(), advice])))

    def _message(self) -> str:
        if len(self.faults) == 1:
            return self.faults[0]
        more = len(self.faults) - _SHOWN
        return listed(self.faults[:_SHOWN], of=len(self.faults)) + (f"\n  ... and {more} more" if more > 0 else "")


def _told(fault: str) -> str:
    if len(fault) > _LONGEST:
        fault = f"{fault[: _LONGEST - _END]} [...] {fault[-_END:]}"
    if fault.isprintable():
        return fault
    # A terminal would obey some of the others, and cannot write some.
    line = " ".join(part.strip() for part in fault.split("\n"))
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def listed(faults: Sequence[str], *, of: int | None = None) -> str:
    """Faults as a list, under their number, or that of all faults `of` which these are some."""
    number = len(faults) if of is None else of
    return "\n  - ".join([f"{number} fault{'s' * (number > 1)}:", *faults])


def near_names(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown `name`: what was probably meant, and what there is."""
    from difflib import get_close_matches

    known = sorted(known)
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    meant = f"Did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    # A long list helps nobody who only mistyped a name.
    return meant.strip() if close and len(known) > 12 else f"{meant}Available: {', '.join(known)}."
