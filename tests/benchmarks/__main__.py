"""`python -m tests.benchmarks [run | baseline | report]`: measure and compare, store a baseline, or show what there is.

The baseline and the history lie beside this file; reports, and what pytest-benchmark writes, go to `.benchmarks/`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from psbench.hardware import versions
from psbench_data import InputError
from tests.benchmarks import history
from tests.benchmarks.comparison import Line, baseline_of, better_of, compare, read_baseline, read_run, write_baseline
from tests.benchmarks.report import surroundings, text_table, verdict_words, write_report

FOLDER = Path(__file__).parent
BASELINE, HISTORY, OUTPUT = FOLDER / "baseline.json", FOLDER / "history.jsonl", Path(".benchmarks")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one of the three; 1 where a benchmark fails, is slower than the baseline, or something cannot be read."""
    asked = _parsed(arguments)
    try:
        if asked.command == "run":
            return run([str(FOLDER), *(["-k", asked.k] if asked.k else [])])
        if asked.command == "baseline":
            write_baseline(BASELINE, baseline_of(history.read(HISTORY), asked.runs, asked.note))
        show()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run(selection: Sequence[str]) -> int:
    """Measure, keep, and compare; what is slower than the baseline is measured a second time, and the better counts."""
    baseline = read_baseline(BASELINE)
    lines, failed = measured(selection)
    if not lines:
        return failed
    slower = [of.line.name for of in compare(lines, baseline) if of.verdict == "WORSE"]
    if slower:
        lines = better_of(lines, measured(list(map(_node, slower)))[0])
    history.append(HISTORY, lines)
    show()
    compared = compare(lines, baseline)
    print("\n" + "\n".join([text_table(compared), *surroundings(lines, baseline)]))
    if worse := verdict_words(compared):
        print(f"error: {worse}", file=sys.stderr)
    return 1 if worse else failed


def measured(selection: Sequence[str]) -> tuple[list[Line], int]:
    """What pytest measures, and its exit status; nothing where it did not come that far."""
    path = OUTPUT / "measured.json"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-m", "bench", "--benchmark-quiet", f"--benchmark-json={path}"]
    # It warns where nothing was measured, and pytest's own words say why.
    command += ["-W", "default::pytest_benchmark.logger.PytestBenchmarkWarning"]
    # Threads that wait for each other burn CPU seconds, the more the busier the machine is.
    status = subprocess.run([*command, *selection], env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode
    if not path.exists() or not path.stat().st_size:
        return [], status
    return read_run(path, versions() | {package: version(package) for package in ("pillow", "pyarrow")}), status


def show() -> None:
    """Write the report of the newest run, and say where it is."""
    lines = history.read(HISTORY)
    if not lines:
        raise InputError("Nothing has been measured yet: `make bench`.")
    print("\n".join(map(str, write_report(OUTPUT, lines, read_baseline(BASELINE)))))


def _node(name: str) -> str:
    """A benchmark as pytest selects it."""
    file, _, test = name.partition("/")
    return f"{FOLDER / f'test_{file}.py'}::test_{test}"


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="measure, compare with the baseline, add to the history")
    running.add_argument("-k", help="only benchmarks that match, as pytest has it")
    taking = commands.add_parser("baseline", help="take the last runs of the history as the baseline")
    taking.add_argument("--runs", type=int, default=5, help="of each benchmark, at most (5)")
    taking.add_argument("--note", default="", help="on what else the machine did")
    commands.add_parser("report", help="write the report of the newest run")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
