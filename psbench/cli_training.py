"""The command `psbench train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from psbench.cli_judging import Data, Root
from psbench.doctor import require_zoo
from psbench_data import InputError
from psbench_data.console import DatasetOptions, complain_on_input_error, parsed_options, tell, telling_when_stopped

Changes = Annotated[list[str], typer.Option("--set", help="Change a value, e.g. optimizer.lr=0.01. Repeatable.")]


@complain_on_input_error
def train(
    model: Annotated[str, typer.Argument(help="A model of the zoo, for example seqnet.", show_default=False)],
    root: Root,
    output: Annotated[Path, typer.Option("--output", "-o", help="The run folder to make.", show_default=False)],
    data: Data = "cuhk_sysu",
    option: DatasetOptions = None,
    recipe: Annotated[str | None, typer.Option(help="Another recipe than MODEL-DATA, for example seqnet-demo.")] = None,
    changes: Changes = [],  # noqa: B006
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was interrupted in OUTPUT; start if nothing is there.")
    ] = False,
    start_from: Annotated[
        Path | None, typer.Option(help="A run or a weights file to start from.", show_default=False)
    ] = None,
    detections: Annotated[
        Path | None,
        typer.Option(help="What `predict --split train` wrote, for a re-ID network to learn from.", show_default=False),
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps; each epoch ends with one, too.")] = 500,
    keep_checkpoints: Annotated[int, typer.Option(min=1, help="How many, the newest.")] = 2,
    validate_on: Annotated[
        str | None, typer.Option(help="A protocol to evaluate at the end, e.g. gallery-100.", show_default=False)
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option(min=1, help="Epochs, to evaluate in between, too.", show_default=False)
    ] = None,
    tracker: Annotated[
        list[str], typer.Option(help="Also log to one of accelerate's, e.g. tensorboard. Repeatable.")
    ] = [],  # noqa: B006
) -> None:
    """Train a model by its paper's recipe, or by another one.

    Example: psbench train seqnet --data cuhk_sysu --root /data/CUHK-SYSU --output runs/seqnet

    On several GPUs: accelerate launch -m psbench.training seqnet --data ... (docs/training.md)
    """
    require_zoo()
    from psbench.processes import main_process_first, this_process
    from psbench.training import NonFiniteLossError, recipe_for
    from psbench.training import train as run_training
    from psbench_data import load

    try:
        with telling_when_stopped(lambda: _going_on(output)):
            # What is wrong is said by the main process alone; the launcher ends those that wait for it.
            with main_process_first():
                chosen = recipe_for(recipe or f"{model}-{data}")
                if chosen.model != model:
                    raise InputError(f"recipe {chosen.name} is for {chosen.model}, not for {model}.")
                changed = chosen.override(parsed_changes(changes))
                dataset = load(data, root=root, **parsed_options(option))
            run = run_training(
                changed,
                dataset,
                output,
                resume=resume,
                start_from=start_from,
                detections=detections,
                checkpoint_every=checkpoint_every,
                keep_checkpoints=keep_checkpoints,
                validate_on=validate_on,
                validate_every=validate_every,
                trackers=tracker,
            )
    except NonFiniteLossError as error:
        if this_process().is_main_process:
            tell(f"stopped: {error}", err=True)
        raise typer.Exit(1) from None
    process = this_process()
    if process.is_main_process:
        tell(f"{output}: {run.record.steps} steps in {run.record.seconds:.0f} s on {run.record.hardware}")
    # GPUs' connections that are left to the interpreter's end are warned of.
    process.destroy_process_group()


def _going_on(output: Path) -> str:
    """How a training that was interrupted goes on."""
    from psbench.training.checkpoints import newest
    from psbench.training.run import PLAN_FILE, RUN_FILE

    if (output / RUN_FILE).is_file():
        return f"{output} is finished"
    if there := newest(output):
        return f"{output} goes on with --resume, from step {there[1].step}"
    if (output / PLAN_FILE).is_file():
        return f"{output} has no checkpoint yet; with --resume it begins again"
    return "nothing was begun; the same command begins it"


def parsed_changes(assignments: list[str]) -> dict[str, object]:
    """The values of `--set NAME=VALUE`: JSON where they are, else strings.

    Raises:
        InputError: naming every one that is no assignment.
    """
    if wrong := [a for a in assignments if "=" not in a]:
        raise InputError(f"--set {a}: expected NAME=VALUE, for example optimizer.lr=0.01." for a in wrong)
    changes: dict[str, object] = {}
    for assignment in assignments:
        name, value = assignment.split("=", 1)
        try:
            changes[name] = json.loads(value)
        except json.JSONDecodeError:
            changes[name] = value
    return changes
