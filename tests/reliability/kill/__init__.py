"""Commands killed by SIGKILL at random moments and given again: nothing partial is taken for whole, nothing is lost."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.reliability.record import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of this campaign alone."""
    parser.add_argument("--times", type=int, default=50, help="of each command (50)")
    parser.add_argument("--folder", type=Path, help="to work in; what failed stays there (a temporary one)")


def rows(asked: argparse.Namespace) -> Iterator[Row]:
    """Kill each command so many times."""
    # Before anything that reads it.
    os.environ["OMP_NUM_THREADS"] = "1"
    from tests.reliability.kill.jobs import jobs, make_inputs
    from tests.reliability.kill.running import Runner
    from tests.reliability.kill.trying import Tries, tried

    folder = asked.folder or Path(tempfile.mkdtemp(prefix="psbench-kill-"))
    os.environ["PSBENCH_CACHE"] = str(folder / "inputs" / "cache")
    known = jobs(inputs := folder / "inputs")
    if unknown := set(asked.only or ()) - known.keys():
        raise SystemExit(f"--only {' '.join(unknown)}: expected some of {', '.join(known)}")
    shutil.rmtree(inputs, ignore_errors=True)
    make_inputs(inputs)
    for name in asked.only or known:
        job = known[name]
        tries = Tries(job, Runner(job.command, job.environment), folder / name)
        outcomes, failed, left = tried(tries, asked.times, asked.seed)
        yield Row("kill", job.name, sum(outcomes.values()), dict(outcomes), failed, _note(left))


def _note(left: int) -> str:
    return f"{left} hidden files or folders of killed processes were left lying in all" if left else ""
