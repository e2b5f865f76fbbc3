"""Tasks in processes of their own, some at once, each after those that it needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from psbench.reproduction.tasks import Task

COMMAND = [sys.executable, "-P", "-m", "psbench.reproduction"]
"""Does the task that it reads."""
_PATIENCE = 0.05
"""Seconds between two looks at what is running."""
_TAIL = 2000
"""Bytes of a log's end in which to look for its last words."""


@dataclass(frozen=True)
class Machine:
    """What tasks are shared out among.

    Attributes:
        gpus: by their numbers; without any, each task gets one thread of the CPU.
        cores: of the CPU.
    """

    gpus: Sequence[str]
    cores: int

    @staticmethod
    def here() -> Machine:
        """This one."""
        import torch

        from psbench.processes import usable_cores

        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        count = torch.cuda.device_count()
        gpus = visible.split(",")[:count] if visible else [str(number) for number in range(count)]
        return Machine(gpus, usable_cores())

    @property
    def at_once(self) -> int:
        """How many tasks it does at once."""
        return len(self.gpus) or self.cores

    def environment(self, place: int, *, alone: bool) -> dict[str, str]:
        """Of the process in one of the places for tasks, counted from 0."""
        # In a log, each update of a bar is another line.
        quiet = {"TQDM_MININTERVAL": "10"}
        if self.gpus:
            return os.environ | quiet | {"CUDA_VISIBLE_DEVICES": self.gpus[place % len(self.gpus)]}
        # One thread each, so that no number depends on how many there are at once.
        return os.environ | quiet | {"OMP_NUM_THREADS": str(self.cores if alone else 1)}


@dataclass
class _Running:
    task: Task
    process: subprocess.Popen[str]
    place: int
    since: float = field(default_factory=time.monotonic)


def carry_out(tasks: Sequence[Task], machine: Machine, *, at_once: int, progress: bool) -> dict[str, list[str]]:
    """Do tasks, `at_once` at a time; what is half done is ended if this is interrupted.

    What fails stops what needs it, and nothing else.

    Args:
        tasks: in any order.
        machine: that shares them out.
        at_once: how many processes there are at most.
        progress: whether to show a bar, and a line for each that has ended.

    Returns:
        What went wrong, in sentences, by the name of the task.
    """
    if not tasks:
        return {}
    needed = Counter(name for task in tasks for name in task.work.needs)
    # What others wait for first, then what takes long, so that not one of these is left over in the end.
    waiting = sorted(tasks, key=lambda task: (-needed[task.name], -task.work.searches))
    running: list[_Running] = []
    faults: dict[str, list[str]] = {}
    with tqdm(total=len(tasks), unit="job", dynamic_ncols=True, disable=not progress) as bar:
        try:
            while waiting or running:
                while hopeless := [task for task in waiting if task.work.needs & faults.keys()]:
                    faults |= {task.name: [_not_begun(task, faults)] for task in hopeless}
                    waiting = [task for task in waiting if task not in hopeless]
                    bar.update(len(hopeless))
                while len(running) < at_once and (task := _ready(waiting, running)):
                    waiting.remove(task)
                    place = min(set(range(at_once)) - {other.place for other in running})
                    running.append(_start(task, machine, place))
                for ended in [other for other in running if other.process.poll() is not None]:
                    running.remove(ended)
                    if said := _faults(ended):
                        faults[ended.task.name] = said
                    bar.write(_line(ended, bool(said)), file=sys.stderr) if progress else None
                    bar.update()
                bar.set_postfix_str(", ".join(_status(other) for other in running), refresh=False)
                bar.refresh() if sys.stderr.isatty() else None
                time.sleep(_PATIENCE)
        finally:
            for other in running:
                other.process.kill()
            for other in running:
                # Waits, and closes its input.
                other.process.communicate()
    return faults


def _not_begun(task: Task, faults: Mapping[str, object]) -> str:
    return f"{task.name}: not begun, as it needs {' and '.join(sorted(task.work.needs & faults.keys()))}."


def _ready(waiting: list[Task], running: list[_Running]) -> Task | None:
    """The first that needs nothing that is still to be done; one that has to be alone when nothing else is left."""
    if any(other.task.work.alone for other in running):
        return None
    undone = {task.name for task in [*waiting, *(other.task for other in running)]}
    found = next((task for task in waiting if not task.work.alone and not task.work.needs & undone), None)
    return found if found or running else next(iter(waiting), None)


def _start(task: Task, machine: Machine, place: int) -> _Running:
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("w") as log:
        process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            env=machine.environment(place, alone=task.work.alone),
        )
    assert process.stdin is not None
    try:
        # It stays open: its end tells the process that nobody waits for it any more.
        process.stdin.write(task.model_dump_json() + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass
    return _Running(task, process, place)


def _faults(ended: _Running) -> list[str]:
    """What went wrong, as the log says; nothing where nothing did."""
    code, log = ended.process.returncode, ended.task.log
    ended.process.communicate()
    if code == 0:
        return []
    lines = log.read_text(errors="replace").splitlines()
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if not said and code < 0:
        said = [f"ended by signal {-code}; where nobody sent it, memory may have been short"]
    return [f"{ended.task.name}: {words.rstrip('.')}. Its log: {log}" for words in said or [_last_words(log)]]


def _line(ended: _Running, failed: bool) -> str:
    seconds = time.monotonic() - ended.since
    return f"{ended.task.name}: {'failed' if failed else 'done'} after {seconds:.0f} s"


def _status(running: _Running) -> str:
    return f"{running.task.name}: {_last_words(running.task.log)[:60]}"


def _last_words(log: Path) -> str:
    """The last line that was written; progress bars return to its beginning."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        text = file.read().decode(errors="replace")
    return next((line.strip() for line in reversed(re.split(r"[\r\n]+", text)) if line.strip()), "beginning")
