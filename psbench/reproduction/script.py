"""The one command line of the scripts of reproduce/."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

from psbench.doctor import require_zoo
from psbench.reporting.measured import Measured, MeasuredCost
from psbench.reproduction.given import given_weights
from psbench.reproduction.planning import Plan, Planner
from psbench.reproduction.pool import Machine, carry_out
from psbench.reproduction.rows import Cell, CostRow, MeasuredRow, Script, Write
from psbench.reproduction.tasks import Make, Measure, Task
from psbench.reproduction.workspace import Workspace
from psbench_data import InputError
from psbench_data.console import refusal, tell, telling_when_stopped
from psbench_data.names import harmless

Report = Callable[[list[list[Measured | MeasuredCost]], Path], list[Path]]
"""Makes files, in a folder, of what was measured for each of several scripts."""


class Policy(StrEnum):
    """What is done where a number is there, and where it is not."""

    ONLY_MISSING = "only-missing"
    ONLY_CACHE = "only-cache"
    ALWAYS = "always"
    NEVER = "never"


POLICIES = {
    Policy.ONLY_MISSING: "make what is missing, and take the rest as it is",
    Policy.ONLY_CACHE: "make nothing; what is missing leaves its cells empty",
    Policy.ALWAYS: "make everything again, and replace what is there",
    Policy.NEVER: "make nothing, and stop if anything is missing",
}


def run_script(
    description: str | None,
    rows: Sequence[MeasuredRow],
    cells: Sequence[Cell],
    write: Write,
    *,
    costs: Sequence[CostRow] = (),
) -> None:
    """The command line of a script of reproduce/: measure the rows, write the result, print where it is.

    Args:
        description: of the script.
        rows, cells, write, costs: as in `Script`.
    """
    run_scripts(description, [Script(rows=rows, cells=cells, write=write, costs=costs)])


def run_scripts(
    description: str | None,
    scripts: Sequence[Script],
    report: Report | None = None,
) -> None:
    """The command line of several scripts in one, which share what they have in common.

    Args:
        description: of them all.
        scripts: in the order in which they write.
        report: makes files of what was measured for each of them.
    """
    parser = _parser(description, sorted({cell.dataset for script in scripts for cell in script.cells}))
    arguments = parser.parse_args()
    try:
        with telling_when_stopped(lambda: "the same command goes on from the last checkpoint"):
            require_zoo()
            _carry_out(arguments, scripts, report)
    except InputError as error:
        parser.exit(1, harmless(f"error: {error}\n"))
    except OSError as error:
        parser.exit(1, harmless(f"error: {refusal(error)}\n"))


def _carry_out(arguments: argparse.Namespace, scripts: Sequence[Script], report: Report | None) -> None:
    folder = arguments.output or Path("demo" if arguments.demo else "results")
    if arguments.data_root and not arguments.data_root.is_dir():
        raise InputError(f"{arguments.data_root}: this folder does not exist. Give the one of the datasets.")
    workspace = Workspace(folder)
    given = arguments.checkpoints and given_weights(arguments.checkpoints, folder / "weights")
    plan = Planner(workspace, arguments.data_root, given).plan(scripts)
    works, machine = works_to_do(plan, workspace, arguments.policy), Machine.here()
    at_once = arguments.jobs or machine.at_once
    if arguments.plan:
        from psbench.reproduction.estimate import plan_text

        tell(plan_text(plan, works, workspace, machine, at_once=at_once))
        return
    for reason, cells in plan.impossible.items():
        tell(f"not measured: {'; '.join(cells)} ({reason})", err=True)
    tasks = [Task(folder=folder, work=work) for work in works]
    faults = carry_out(tasks, machine, at_once=at_once, progress=workspace.progress)
    for path in _write(scripts, plan, workspace, report):
        tell(path)
    # What there is has been written all the same.
    if faults:
        raise InputError(fault for of_task in faults.values() for fault in of_task)


def _write(scripts: Sequence[Script], plan: Plan, workspace: Workspace, report: Report | None) -> list[Path]:
    measured = [[m for one in asked if (m := one.measured(workspace))] for asked in plan.asked]
    files = [script.write(m, workspace.folder) for script, m in zip(scripts, measured, strict=True)]
    if report:
        files.append(report(measured, workspace.folder))
    return [path for of_script in files for path in of_script]


def works_to_do(plan: Plan, workspace: Workspace, policy: Policy) -> list[Make | Measure]:
    """What a policy makes of a plan.

    Raises:
        InputError: there is something missing that the policy does not allow to be made.
    """
    if policy is Policy.ALWAYS:
        return [work.anew() for work in plan.works()]
    missing = plan.missing(workspace)
    if policy is Policy.NEVER and missing:
        names = ", ".join(work.name for work in missing)
        raise InputError(f"{workspace.folder}: not there, and not to be made: {names}. Take another --policy.")
    return missing if policy is Policy.ONLY_MISSING else []


def _parser(description: str | None, datasets: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--demo", action="store_true", help="measure on synthetic data, with small recipes, in minutes")
    where.add_argument(
        "--data-root",
        type=Path,
        help="measure on the datasets in this folder: "
        + (", ".join(f"DATA_ROOT/{name}" for name in datasets) or "none is needed here"),
    )
    parser.add_argument(
        "--checkpoints",
        type=Path,
        help="train nothing: take CHECKPOINTS/RECIPE/model.safetensors, or CHECKPOINTS/RECIPE.pth as released",
    )
    parser.add_argument(
        "--policy",
        type=Policy,
        choices=list(Policy),
        default=Policy.ONLY_MISSING,
        help="; ".join(f"{policy}: {words}" for policy, words in POLICIES.items()) + " (default: %(default)s)",
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="say what would be made and how long that takes, and make none of it; for that, networks that have not "
        "been timed here are built and run for some steps, and with --demo people are drawn",
    )
    parser.add_argument(
        "--jobs", type=_positive, help="processes at once (default: one a GPU; without any, one a core of the CPU)"
    )
    parser.add_argument(
        "--output", type=Path, help="folder of runs, predictions and results (default: demo or results)"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1")
    return int(text)
