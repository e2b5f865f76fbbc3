"""survivors.toml: mutants that no test can tell from the program, or that none has to, and why."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.mutate.results import Mutant

FILE = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True)
class Kind:
    """Mutants that differ from the program only in what a pattern matches.

    Attributes:
        why: they may survive.
        pattern: of a part of a line.
        functions: in which; all if empty.
    """

    why: str
    pattern: re.Pattern[str]
    functions: Sequence[str] = ()

    def holds(self, mutant: Mutant) -> bool:
        """Whether the mutant is of this kind."""
        before, after = (self.pattern.sub("", line) for line in mutant.lines)
        return before == after and (not self.functions or mutant.function in self.functions)


class Explanations:
    """What is written in a file: kinds of mutants, and single ones by function and the lines that they put in."""

    def __init__(self, path: Path = FILE) -> None:
        written = tomllib.loads(path.read_text("utf-8"))
        self._kinds = [
            Kind(k["why"], re.compile(k["without"]), k.get("functions", ())) for k in written.get("kind", ())
        ]
        self._single = {
            (function, change): group["why"]
            for group in written.get("group", ())
            for function, changes in group["mutants"].items()
            for change in changes
        }
        self._used: set[tuple[str, str]] = set()

    def of(self, mutant: Mutant) -> str | None:
        """Why a mutant may survive, or None where nothing is said of it."""
        place = mutant.function, mutant.lines[1]
        self._used |= {place} & self._single.keys()
        return self._single.get(place) or next((kind.why for kind in self._kinds if kind.holds(mutant)), None)

    @property
    def unused(self) -> list[tuple[str, str]]:
        """Functions and changes that were not asked for: these mutants are dead, or gone."""
        return sorted(self._single.keys() - self._used)


def misspells(mutant: Mutant) -> bool:
    """Whether only the letters of a text with several words are others: a message in other words is none."""
    texts = [re.findall(r'"[^"]*"|\'[^\']*\'', line) for line in mutant.lines]
    if len(texts[0]) != len(texts[1]):
        return False
    changed = [pair for pair in zip(*texts, strict=True) if pair[0] != pair[1]]
    if len(changed) != 1 or " " not in changed[0][0]:
        return False
    [(before, after)] = changed
    return after in (f"{before[0]}XX{before[1:-1]}XX{before[-1]}", before.lower(), before.upper())
