"""Full disks, places that cannot be written, files that vanish, two processes in one folder: for every command."""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.reliability.record import Row

FAULTS = ("full", "unwritable", "vanishing", "together")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of this campaign; `--only` takes commands and faults by parts of their names."""
    parser.add_argument("--times", type=int, default=10, help="how often, or in how many places, each is tried (10)")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS, help="these kinds alone")


def rows(asked: argparse.Namespace) -> Iterator[Row]:
    """Try everything.

    Raises:
        SystemExit: this account may not mount a disk, which only root may.
    """
    if os.geteuid():
        raise SystemExit("error: this campaign fills a disk of its own, which only root can mount. Run it as root.")
    folder = Path(tempfile.mkdtemp(prefix="psbench-disk-"))
    # Before anything that keeps these is loaded.
    os.environ |= {"PSBENCH_CACHE": str(folder / "cache"), "HF_HOME": str(folder / "disk/hf"), "OMP_NUM_THREADS": "1"}
    from tests.reliability.disk import full, programs, together, unwritable, vanishing  # noqa: F401
    from tests.reliability.disk.attempts import Bench, usual
    from tests.reliability.disk.commands import COMMANDS
    from tests.reliability.disk.disk import Disk
    from tests.reliability.disk.running import run

    folder.chmod(0o755)
    bench = Bench(folder / "inputs", Disk(folder / "disk"))
    try:
        # In a process of its own: threads that libraries started would be missing in those that are forked later.
        if (made := run(("inputs", str(bench.inputs)))).status:
            raise RuntimeError(made.err)
        # What is loaded now need not be looked through in every process.
        gc.freeze()
        for command in COMMANDS:
            if asked.only and not any(part in command.name for part in asked.only):
                continue
            normal = usual(bench, command)
            if "full" in asked.faults:
                yield full.row(bench, command, normal, asked.times)
            if "unwritable" in asked.faults:
                yield unwritable.row(bench, command, normal)
            if "vanishing" in asked.faults:
                yield from vanishing.rows(bench, command, normal, asked.times)
            if "together" in asked.faults:
                yield together.row(bench, command, normal, asked.times, asked.seed)
    finally:
        gc.unfreeze()
        shutil.rmtree(folder, ignore_errors=True)
