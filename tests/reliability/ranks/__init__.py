"""Trainings and predictions of two processes, one of which is killed: all end, with a message, and can be gone on with.

The same command is given again; what comes out must be what two processes bring about that nobody kills.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil
import torch

from psbench import zoo
from psbench.training import Run
from psbench.zoo.weights import describe, save_weights
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from tests.conftest import SMALL_WORLD
from tests.models.launching import ROOT, TORCHRUN, launch
from tests.models.small import SMALL
from tests.models.test_training import TINY, losses_of
from tests.reliability.record import Row
from tests.reliability.repeat import digests

LIMIT = 60.0
"""Seconds after a death in which all must have ended."""


@dataclass(frozen=True)
class Job:
    """A command that two processes carry out.

    Attributes:
        name: as it is asked for.
        fault: in the words of the table.
        words: what follows the launcher, given the output folder.
        outcome: what must come out the same, given the output folder.
    """

    name: str
    fault: str
    words: Callable[[Path], list[object]]
    outcome: Callable[[Path], object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what this campaign asks for."""
    parser.add_argument("--times", type=int, default=20, help="that each is killed (20)")


def rows(asked: argparse.Namespace) -> Iterator[Row]:
    """One for each job."""
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs(Path(folder, "given")):
            if not asked.only or job.name in asked.only:
                yield campaign(job, asked.times, Random(asked.seed), Path(folder, job.name))


def campaign(job: Job, times: int, random: Random, folder: Path) -> Row:
    """Kill a job so many times, at any moment between its processes' start and its end, and give it again."""
    start = time.monotonic()
    _finish(job, folder / "whole")
    # Launcher and imports take a good part of it, and killing them is as fair.
    whole, expected = time.monotonic() - start, job.outcome(folder / "whole")
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for number in range(times):
        output = folder / str(number)
        what, seconds = _killed(job, output, random.uniform(0.2, 0.95) * whole, random.randrange(2))
        slowest = max(slowest, seconds)
        if what == "all ended":
            _finish(job, output)
            same = job.outcome(output) == expected
            what = "all ended with a message; given again, the same result" if same else "another result"
        outcomes[what] += 1
        print(f"{job.name} {number + 1} of {times}: {what}, {seconds:.1f} s", file=sys.stderr, flush=True)
    failed = sum(count for what, count in outcomes.items() if what not in _RIGHT)
    return Row("ranks", job.fault, times, dict(outcomes), failed, f"The others ended within {slowest:.0f} s")


_RIGHT = ("all ended with a message; given again, the same result", "was done before")


def _killed(job: Job, output: Path, after: float, rank: int) -> tuple[str, float]:
    """What became of a job one of whose processes was killed after so many seconds, and how long the others went on."""
    command = [sys.executable, "-m", *TORCHRUN, *map(str, job.words(output))]
    surroundings = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as said:
        launcher = subprocess.Popen(
            command, cwd=ROOT, env=surroundings, stdout=said, stderr=said, start_new_session=True
        )
        time.sleep(after)
        while launcher.poll() is None and len(of := _ranks(launcher)) < 2:
            time.sleep(0.05)
        if launcher.poll() is not None:
            return "was done before", 0.0
        victim = of[rank]
        victim.send_signal(signal.SIGKILL)
        start = time.monotonic()
        try:
            launcher.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(launcher.pid, signal.SIGKILL)
            return f"others went on for more than {LIMIT:.0f} s", LIMIT
        seconds = time.monotonic() - start
        left = [process for process in of if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
        said.seek(0)
        text = said.read()
    if left:
        return "the launcher ended, and left a process", seconds
    if launcher.returncode == 0:
        return "was done before", seconds
    return ("all ended" if "SIGKILL" in text else "all ended without a word"), seconds


def _ranks(launcher: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that a launcher has started, by their number."""
    ranks = {}
    for process in psutil.Process(launcher.pid).children():
        try:
            if (rank := process.environ().get("RANK")) is not None:
                ranks[int(rank)] = process
        except psutil.Error:
            continue
    return [ranks[rank] for rank in sorted(ranks)]


def _finish(job: Job, output: Path) -> None:
    done = launch(TORCHRUN, list(map(str, job.words(output))), timeout=600)
    if done.returncode:
        raise RuntimeError(f"{job.name} in {output}: {done.stderr}")


def jobs(given: Path) -> list[Job]:
    """Training and prediction, of drawn people and an untrained network that are written into a folder."""
    data, weights = given / "data", given / "tiny.safetensors"
    write_cuhk_sysu(SMALL_WORLD, data)
    torch.manual_seed(0)
    # Every box must come out to be looked at.
    model = zoo.create("seqnet", num_identities=6, **SMALL["seqnet"] | {"score_thresh_test": 0.0})
    save_weights(model, weights, describe(model, "seqnet", num_identities=6, dataset="cuhk_sysu", method="tiny"))
    changes = {f"model_options.{name}": value for name, value in TINY.model_options.items()} | {
        "schedule.epochs": 4,
        "batch_size": 4,
        "batch_norm": "frozen",
        "execution.images_per_process": 2,
    }
    sets = [f"--set={name}={json.dumps(value)}" for name, value in changes.items()]

    def training(output: Path) -> list[object]:
        where = [f"--root={data}", f"--output={output}", "--recipe=seqnet-demo", "--checkpoint-every=2", "--resume"]
        return ["-m", "psbench.training", "seqnet", *where, *sets]

    def prediction(output: Path) -> list[object]:
        program = ["-m", "tests.models.launched_prediction", "predict"]
        return [*program, weights, f"--root={data}", f"--output={output}", "--context"]

    return [
        Job("training", "one of two training processes killed", training, lambda run: losses_of(Run.load(run))),
        Job("prediction", "one of two predicting processes killed", prediction, digests),
    ]
