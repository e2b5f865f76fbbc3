"""The campaign: so many inputs a target, each in the box; failures are kept, and equal ones are counted once."""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from psbench.matches import counted
from tests.reliability.fuzz.boxed import Box
from tests.reliability.fuzz.judging import Verdict
from tests.reliability.fuzz.mutating import Gone
from tests.reliability.fuzz.target import Target, targets
from tests.reliability.fuzz.working import Kind, Tried
from tests.reliability.record import Row

_WORDS = {"read": "read", "refused": "refused by name"}
_KEPT_OF_A_FAULT = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many inputs, and where failing ones are kept."""
    parser.add_argument("--inputs", type=int, default=2_200, metavar="N", help="damaged inputs a target (2200)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first one (0)")
    parser.add_argument("--drawn", type=int, default=2_200, metavar="N", help="inputs drawn by hypothesis (2200)")
    parser.add_argument("--guided", type=float, default=0, metavar="SECONDS", help="of each target, guided by coverage")
    kept = Path(tempfile.gettempdir(), "psbench-fuzz")
    parser.add_argument("--keep", type=Path, default=kept, metavar="FOLDER", help=f"for inputs that fail ({kept})")


def rows(asked: argparse.Namespace) -> Iterator[Row]:
    """A row for each target: its damaged inputs, and those of hypothesis and atheris, where asked for."""
    guided = asked.guided if importlib.util.find_spec("atheris") else 0
    if asked.guided and not guided:
        print("atheris is not installed, so nothing is guided by coverage: pip install --group fuzz", file=sys.stderr)
    for module, target in _chosen(asked.only):
        with tempfile.TemporaryDirectory() as valid:
            target.make(Path(valid))
            box = Box(module, target.name, Path(valid), asked.seed)
            found = Found(box, asked.keep)
            ways: list[tuple[str, Kind, float]] = [
                ("damaged", "damaged", asked.inputs),
                ("drawn by hypothesis", "drawn", asked.drawn if target.drawn else 0),
                ("guided by coverage", "guided", guided),
            ]
            for what, kind, amount in ways:
                if amount:
                    found.add(what, box.tried(kind, amount, asked.first if kind == "damaged" else 0))
        yield found.row(f"seed {asked.seed}" + (f" from input {asked.first:,} on" if asked.first else ""))


def _chosen(only: Iterable[str] | None) -> list[tuple[str, Target]]:
    """The targets whose names have one of some words in them; all without any."""
    known = targets()
    if not only:
        return list(known.values())
    chosen = [known[name] for name in known if any(word.lower() in name.lower() for word in only)]
    if not chosen:
        raise SystemExit(f"error: no target has one of {', '.join(only)} in its name. There are: {', '.join(known)}.")
    return chosen


@dataclass
class Found:
    """What became of the inputs of a target.

    Attributes:
        box: the target's.
        keep: the folder for those that fail.
        ways: how many inputs were made in which way.
        outcomes: how often each was.
        faults: how often each fault was.
    """

    box: Box
    keep: Path
    ways: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0
    memory: float = 0

    def add(self, way: str, tried: Iterable[Tried]) -> None:
        """Take inputs of one way in."""
        for one in tried:
            self._add(one)
            self.ways[way] += 1

    def row(self, how: str) -> Row:
        """What happened to all of them."""
        made = ", ".join(f"{count:,} {way}" for way, count in self.ways.items())
        bound = f"at most {self.seconds:.1f} s and {self.memory:,.0f} MiB"
        several = f"; {counted(len(self.faults), 'different fault')}" if self.faults else ""
        note = f"{made}, {how}; {bound}{several}"
        failed = sum(self.faults.values())
        return Row("fuzz", self.box.name, self.outcomes.total(), dict(self.outcomes), failed, note)

    def _add(self, one: Tried) -> None:
        verdict = one.verdict
        self.outcomes[_WORDS.get(verdict.outcome, f"failed: {verdict.outcome}")] += 1
        self.seconds, self.memory = max(self.seconds, one.seconds), max(self.memory, one.memory)
        if not verdict.failed:
            return
        self.faults[verdict.fault] += 1
        if self.faults[verdict.fault] == 1:
            told = verdict.told.strip().rpartition("\n")[2]
            print(f"{self.box.name}: input {one.number}: {verdict.fault}: {told:.300}", file=sys.stderr, flush=True)
        if self.faults[verdict.fault] <= _KEPT_OF_A_FAULT:
            folder = self.keep / _file_name(self.box.name) / str(one.number)
            keep(folder, one.damage or {}, verdict)


def keep(folder: Path, damage: Mapping[str, bytes | Gone], verdict: Verdict) -> None:
    """Write what is damaged of an input that failed, and what happened."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{verdict.outcome}: {verdict.fault}", verdict.told]
    for name, content in damage.items():
        if isinstance(content, Gone):
            lines.insert(1, f"{name} is {content.value}")
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    (folder / "verdict.txt").write_text("\n".join(lines), "utf-8", "backslashreplace")


def _file_name(name: str) -> str:
    return re.sub(r"\W+", "-", name).strip("-")
