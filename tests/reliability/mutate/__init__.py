"""`python -m tests.reliability mutate`: small changes of the code that numbers come from, which the tests must notice.

mutmut makes them, as `[tool.mutmut]` in pyproject.toml says, and finds out which tests reach which function. copying.py
makes the tree that it works in, running.py runs the tests: first those that take few seconds together, then, for what
is alive, all. survivors.toml says why some changes may stay unnoticed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.reliability.mutate.copying import ROOT, bring
from tests.reliability.record import Row

SUBJECTS = {
    "evaluation": ("the evaluation (`psbench/evaluation`)", ("psbench/evaluation/*.py",)),
    "protocols": (
        "protocols (`psbench_data`: `protocol.py`, `protocol_files.py`, `galleries.py`)",
        ("psbench_data/protocol.py", "psbench_data/protocol_files.py", "psbench_data/galleries.py"),
    ),
    "oim": ("the OIM loss (`psbench/zoo/layers/oim.py`)", ("psbench/zoo/layers/oim.py",)),
}
_WORDS = {
    "killed": "noticed",
    "crashed": "noticed by a crash",
    "timeout": "noticed as it goes on for ever",
    "no tests": "reached by no test",
    "not run": "not tried",
}
EXPLAINED, MISSPELT, ALIVE = "unnoticed, and explained", "unnoticed, only misspell a message", "unnoticed"
_ONE = "psbench_data.protocol_files.x_protocol_version__mutmut_1"
"""Of few tests: mutmut has no command that stops before it runs any mutant."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of this campaign alone."""
    folder = ROOT / ".mutants"
    parser.add_argument("--folder", type=Path, default=folder, help="for the tree, and what is known (.mutants)")
    parser.add_argument("--seconds", type=float, default=8, help="of tests for each mutant at first (8)")
    parser.add_argument("--count", action="store_true", help="only count what is known")
    parser.add_argument("--show", action="store_true", help="print what is unnoticed and not explained")


def rows(asked: argparse.Namespace) -> Iterator[Row]:
    """Bring what is known of the mutants up to date, and count."""
    from tests.reliability.mutate.explaining import Explanations, misspells
    from tests.reliability.mutate.results import read

    subjects = {
        name: (what, sorted(path.relative_to(ROOT) for pattern in patterns for path in ROOT.glob(pattern)))
        for name, (what, patterns) in SUBJECTS.items()
    }
    chosen = {name: subjects[name] for name in asked.only or subjects}
    if not asked.count:
        bring(asked.folder, [file for _, files in subjects.values() for file in files])
        _run(asked.folder, [file for _, files in chosen.values() for file in files], asked.seconds)
    explanations = Explanations()
    for what, files in chosen.values():
        outcomes: Counter[str] = Counter()
        for mutant in read(asked.folder, files):
            outcome = _WORDS.get(mutant.status, ALIVE)
            if mutant.status in ("survived", "no tests"):
                outcome = EXPLAINED if explanations.of(mutant) else MISSPELT if misspells(mutant) else outcome
            outcomes[outcome] += 1
            if asked.show and outcome in (ALIVE, _WORDS["no tests"]):
                print(f"{mutant.name}: {outcome}\n  - {mutant.lines[0]}\n  + {mutant.lines[1]}")
        failed = outcomes[ALIVE] + outcomes[_WORDS["no tests"]] + outcomes[_WORDS["not run"]]
        yield Row("mutate", f"a mutant of {what}", outcomes.total(), dict(outcomes), failed)
    for function, change in explanations.unused if not asked.only else []:
        print(f"survivors.toml: no such mutant is alive: {function}: {change}")


def _run(folder: Path, files: list[Path], seconds: float) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    # What was taken out of the tree would stay.
    shutil.rmtree(folder / "mutants" / "tests", ignore_errors=True)
    mutmut = Path(sys.executable).with_name("mutmut")
    subprocess.run([mutmut, "run", "--max-children", "1", _ONE], cwd=folder, env=environment, check=True)
    patterns = [f"{file.with_suffix('').as_posix().replace('/', '.')}.x*" for file in files]
    for options in ([f"--seconds={seconds}"], ["--again"]):
        command = [sys.executable, "-m", "tests.reliability.mutate.running", *options, *patterns]
        subprocess.run(command, cwd=folder / "mutants", env=environment, check=True)
