"""The command lines that the campaign calls, with all that they load, so that a forked process loads nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import IO

from psbench.cli import app
from psbench.reproduction import pool, run_script
from psbench.reproduction.__main__ import main as do_task
from psbench_data.cli import app as data_app
from tests.reliability.disk.inputs import make
from tests.reliability.disk.running import end_with
from tests.tiny_script import CELLS, ROWS, write

for _name in (
    "PIL.JpegImagePlugin",
    "datasets",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "pandas",
    "psbench.efficiency.measuring",
    "psbench.inference.gallery_search",
    "psbench.leaderboard.rendering",
    "psbench.reporting.found",
    "psbench.reporting.points_page",
    "psbench.reporting.ranking",
    "psbench.reporting.text",
    "psbench.reporting.viewing",
    "psbench.training.loop",
    "psbench.zoo.looking",
    "psbench_data.exporting.coco",
    "psbench_data.exporting.croissant",
    "psbench_data.exporting.hf",
    "psbench_data.exporting.parquet",
    "psbench_data.sources.cuhk_sysu",
    "pyarrow.parquet",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.stats",
):
    import_module(_name)


class _Forked:
    """A process of a script's pool as `subprocess` would start it, but with all that it needs loaded already."""

    def __init__(self, command: list[str], *, stdout: IO[str], env: dict[str, str], **usual: object) -> None:
        if command != pool.COMMAND or usual != {"stdin": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}:
            raise ValueError(f"not what this stands in for: {command}, {usual}")
        reading, writing = os.pipe()
        self.returncode: int | None = None
        self._pid = os.fork()
        if not self._pid:
            os.close(writing)
            for new, old in ((reading, 0), (stdout.fileno(), 1), (stdout.fileno(), 2)):
                os.dup2(new, old)
            os.environ.update(env)
            end_with(lambda: sys.exit(do_task()))
        os.close(reading)
        self.stdin = os.fdopen(writing, "w")

    def poll(self) -> int | None:
        """See `subprocess.Popen`."""
        if self.returncode is None and (ended := os.waitpid(self._pid, os.WNOHANG))[0]:
            self.returncode = os.waitstatus_to_exitcode(ended[1])
        return self.returncode

    def communicate(self) -> None:
        """See `subprocess.Popen`."""
        self.stdin.close()
        while self.poll() is None:
            time.sleep(0.01)

    def kill(self) -> None:
        """See `subprocess.Popen`."""
        if self.poll() is None:
            os.kill(self._pid, signal.SIGKILL)


def _script() -> None:
    """One row of `tests.tiny_script`."""
    pool.subprocess = SimpleNamespace(  # type: ignore[assignment]
        Popen=_Forked, PIPE=subprocess.PIPE, STDOUT=subprocess.STDOUT
    )
    run_script("A table.", ROWS[:1], CELLS[:1], write)


PROGRAMS: dict[str, Callable[[], object]] = {
    "psbench": lambda: app(sys.argv[1:], prog_name="psbench"),
    "psbench-data": lambda: data_app(sys.argv[1:], prog_name="psbench-data"),
    "script": _script,
    "inputs": lambda: make(Path(sys.argv[1])),
}
"""What each does with `sys.argv`."""
