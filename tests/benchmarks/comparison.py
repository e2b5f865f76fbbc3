"""Measured ratios against a baseline: what became worse by more than the machine's noise."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from psbench.hardware import cpu_model
from psbench_data import InputError
from psbench_data.atomic import new_file

FLOOR = 0.25
"""The narrowest band: a few runs do not tell how far the next one may lie."""
WIDTH = 2.0
"""Bands are so many times as wide as what the runs differed by."""
Verdict = Literal["new", "steady", "better", "WORSE"]


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cost(_Stored):
    """What a benchmark took.

    Attributes:
        ratio: the work's seconds by the kernel's.
        seconds, kernel_seconds: of CPU, medians.
        kernel: its name.
    """

    ratio: float = Field(gt=0, allow_inf_nan=False)
    seconds: float = Field(gt=0, allow_inf_nan=False)
    kernel: str
    kernel_seconds: float = Field(gt=0, allow_inf_nan=False)


class Line(Cost):
    """A benchmark in one run: a line of the history.

    Attributes:
        name: FILE/TEST[PARAMETER].
        date: with time, UTC, of the run.
        commit: with a + where files were changed; None outside a repository.
        machine: its CPU and how many cores.
        versions: by package.
    """

    name: str
    date: str
    commit: str | None
    machine: str
    versions: dict[str, str]


class Known(Cost):
    """A benchmark of the baseline; within `band` of its ratio, as a share, a change is noise."""

    band: float = Field(gt=0, allow_inf_nan=False)


class Baseline(_Stored):
    """What is compared with.

    Attributes:
        machine, date, versions: as of its last run.
        runs: of which the medians are kept, at most.
        note: on what else the machine did.
        benchmarks: by name.
    """

    machine: str
    date: str
    versions: dict[str, str]
    runs: int = Field(ge=1)
    note: str
    benchmarks: dict[str, Known]


@dataclass(frozen=True)
class Compared:
    """A benchmark and what the baseline has of it; None where it has nothing that compares."""

    line: Line
    known: Known | None

    @property
    def change(self) -> float | None:
        """Of the ratio, as a share; positive is slower."""
        return None if self.known is None else self.line.ratio / self.known.ratio - 1

    @property
    def verdict(self) -> Verdict:
        """Slower and faster are treated alike: twice and half are as far away."""
        if self.known is None:
            return "new"
        times = self.line.ratio / self.known.ratio
        if times > 1 + self.known.band:
            return "WORSE"
        return "better" if times < 1 / (1 + self.known.band) else "steady"


def machine() -> str:
    """The kind of this machine."""
    return f"{cpu_model()}, {os.cpu_count()} cores"


def read_run(path: Path, versions: dict[str, str]) -> list[Line]:
    """What `calibrate` left in the JSON file of pytest-benchmark; a benchmark without a ratio is left out.

    Raises:
        InputError: the file cannot be read as such.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        commit = content["commit_info"]
        known = commit["id"] not in ("unversioned", "unknown")
        run = {
            "date": content["datetime"],
            "commit": commit["id"][:12] + "+" * bool(commit["dirty"]) if known else None,
            "machine": machine(),
            "versions": versions,
        }
        return [
            Line(
                name=_name(of["fullname"]),
                seconds=of["stats"]["median"],
                **{key: of["extra_info"][key] for key in ("ratio", "kernel", "kernel_seconds")},
                **run,
            )
            for of in content["benchmarks"]
            if "ratio" in of["extra_info"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected what pytest --benchmark-json writes ({error}). Run `make bench`."
        ) from error


def _name(fullname: str) -> str:
    file, _, test = fullname.partition("::")
    return f"{Path(file).stem.removeprefix('test_')}/{test.removeprefix('test_')}"


def read_baseline(path: Path) -> Baseline | None:
    """The stored one; None where there is none yet.

    Raises:
        InputError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        return Baseline.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{path}: {'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}. Restore the file, or measure "
            "another one: `make bench-baseline`."
            for fault in error.errors()
        ) from error


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Store it, whole or not at all."""
    with new_file(path) as partial:
        partial.write_text(baseline.model_dump_json(indent=1) + "\n", "utf-8")


def baseline_of(lines: Sequence[Line], runs: int, note: str) -> Baseline:
    """The medians of the last runs, with bands as wide as they differ.

    A band is `WIDTH` times the largest distance of a run from the median, and never below `FLOOR`.

    Args:
        lines: of a history; what was measured on another machine than the last, or in another kernel, is left out.
        runs: of each benchmark, at most.
        note: on what else the machine did.

    Raises:
        InputError: there is no line.
    """
    if not lines:
        raise InputError("Nothing has been measured yet: `make bench`, several times.")
    last = lines[-1]
    now = {line.name: line for line in lines if line.machine == last.machine}
    kept = {name: alike(lines, line)[-runs:] for name, line in sorted(now.items())}
    return Baseline(
        machine=last.machine,
        date=last.date[:10],
        versions=last.versions,
        runs=max(map(len, kept.values())),
        note=note,
        benchmarks={name: _known(of) for name, of in kept.items()},
    )


def alike(lines: Sequence[Line], line: Line) -> list[Line]:
    """Those that compare with a line: of the same benchmark, machine and kernel."""
    return [of for of in lines if (of.name, of.machine, of.kernel) == (line.name, line.machine, line.kernel)]


def _known(lines: Sequence[Line]) -> Known:
    ratio = statistics.median(line.ratio for line in lines)
    farthest = math.exp(max(abs(math.log(line.ratio / ratio)) for line in lines)) - 1
    return Known(
        ratio=ratio,
        band=round(max(FLOOR, WIDTH * farthest), 3),
        seconds=statistics.median(line.seconds for line in lines),
        kernel=lines[-1].kernel,
        kernel_seconds=statistics.median(line.kernel_seconds for line in lines),
    )


def compare(run: Sequence[Line], baseline: Baseline | None) -> list[Compared]:
    """Each line with the baseline's, if that was taken on such a machine and in the same kernel.

    CPUs differ in how fast they multiply matrices for how fast they run Python: ratios of two kinds do not compare.
    """
    known = baseline.benchmarks if baseline and run and run[0].machine == baseline.machine else {}
    return [Compared(line, _in_kernel(line.kernel, known.get(line.name))) for line in run]


def _in_kernel(kernel: str, known: Known | None) -> Known | None:
    return known if known and known.kernel == kernel else None


def better_of(first: Sequence[Line], again: Sequence[Line]) -> list[Line]:
    """Each line of the first run, or what was measured again where that took less."""
    second = {line.name: line for line in again}
    return [min(line, second.get(line.name, line), key=lambda of: of.ratio) for line in first]
