"""The command `psbench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psbench.doctor import diagnose, require_zoo
from psbench_data.console import DatasetOptions, complain_on_input_error, parsed_options

if TYPE_CHECKING:
    from psbench import CBGM

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Person search: train, predict, evaluate, look. Datasets: see `psbench-data`.",
)

_Data = Annotated[str, typer.Option("--data", help="A name from `psbench-data list`.")]
_Root = Annotated[Path, typer.Option("--root", help="The dataset's top folder.", show_default=False)]
_Predictions = Annotated[Path, typer.Argument(help="A folder that `psbench predict` wrote.", show_default=False)]


@app.command()
@complain_on_input_error
def train(
    model: Annotated[str, typer.Argument(help="A model of the zoo, for example seqnet.")],
    root: _Root,
    output: Annotated[Path, typer.Option(help="The run folder to make.", show_default=False)],
    data: _Data = "cuhk_sysu",
    option: DatasetOptions = None,
    recipe: Annotated[str | None, typer.Option(help="Another recipe than MODEL-DATA, for example seqnet-demo.")] = None,
    changes: Annotated[
        list[str], typer.Option("--set", help="Change a value, e.g. optimizer.lr=0.01. Repeatable.")
    ] = [],  # noqa: B006
) -> None:
    """Train a model by its paper's recipe, or by another one.

    Example: psbench train seqnet --data cuhk_sysu --root /data/CUHK-SYSU --output runs/seqnet
    """
    require_zoo()
    from psbench.training import NonFiniteLossError, recipe_for
    from psbench.training import train as run_training
    from psbench_data import InputError, load

    chosen = recipe_for(recipe or f"{model}-{data}")
    if chosen.model != model:
        raise InputError(f"recipe {chosen.name} is for {chosen.model}, not for {model}.")
    try:
        run = run_training(chosen.override(_changes(changes)), load(data, root=root, **parsed_options(option)), output)
    except NonFiniteLossError as error:
        typer.echo(f"stopped: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{output}: {run.record.steps} steps in {run.record.seconds:.0f} s on {run.record.hardware}")


@app.command()
@complain_on_input_error
def predict(
    run: Annotated[Path, typer.Argument(help="A folder that `psbench train` made.", show_default=False)],
    root: _Root,
    output: Annotated[Path, typer.Option(help="The predictions folder to make.", show_default=False)],
    data: _Data = "cuhk_sysu",
    option: DatasetOptions = None,
    ground_truth_boxes: Annotated[bool, typer.Option(help="Embed the annotated boxes instead of detecting.")] = False,
    context: Annotated[bool, typer.Option(help="Detect around each query, too, as CBGM needs it.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Scenes at once; 1 is free of padding.")] = 1,
) -> None:
    """Detect and embed the people of the test scenes, and embed the queries.

    Example: psbench predict runs/seqnet --data cuhk_sysu --root /data/CUHK-SYSU --output predictions/seqnet
    """
    require_zoo()
    from psbench.inference import predict as run_prediction
    from psbench.predictions_folder import write_into
    from psbench.training import Run
    from psbench_data import load
    from psbench_data.atomic import new_folder

    finished = Run.load(run)
    dataset = load(data, root=root, **parsed_options(option))
    with new_folder(output) as folder:
        predictions = run_prediction(
            finished.model(),
            dataset,
            ground_truth_boxes=ground_truth_boxes,
            context=context,
            batch_size=batch_size,
            method=finished.recipe.name,
        )
        write_into(predictions, folder)
    typer.echo(f"{output}: {len(predictions.scores)} people in {len(predictions.scene_names)} scenes")


@app.command()
@complain_on_input_error
def evaluate(
    predictions: _Predictions,
    root: _Root,
    data: _Data = "cuhk_sysu",
    option: DatasetOptions = None,
    protocols: Annotated[list[str], typer.Option("--protocol", help="One protocol, or several; all by default.")] = [],  # noqa: B006
    det_threshold: Annotated[float, typer.Option(min=0, max=1, help="Leave out detections below this score.")] = 0.5,
    cbgm: Annotated[str | None, typer.Option(metavar="K1,K2", help="Match the people around, e.g. 10,3.")] = None,
    json_output: Annotated[
        Path | None, typer.Option("--json", help="Also write the full numbers to this file.")
    ] = None,
) -> None:
    """Score predictions: mAP and top-k under each protocol, and detection.

    Example: psbench evaluate predictions/seqnet --data cuhk_sysu --root /data/CUHK-SYSU --protocol gallery-100
    """
    from psbench import Predictions
    from psbench import evaluate as score
    from psbench_data import load
    from psbench_data.atomic import new_file

    dataset = load(data, root=root, **parsed_options(option))
    loaded = Predictions.load(predictions)
    matching = None if cbgm is None else _cbgm(cbgm)
    evaluations = [
        score(loaded, dataset.protocol(name), det_threshold=det_threshold, cbgm=matching)
        for name in protocols or dataset.protocols
    ]
    typer.echo(f"{dataset.name}: {dataset.origin}\n")
    typer.echo(f"{'protocol':<14}{'queries':>8}{'mAP':>8}{'top-1':>8}{'top-5':>8}{'top-10':>8}")
    for e in evaluations:
        numbers = "".join(f"{100 * value:>8.2f}" for value in (e.map, e.top(1), e.top(5), e.top(10)))
        skipped = f"   {e.skipped} queries without a match in their gallery are left out" if e.skipped else ""
        typer.echo(f"{e.protocol:<14}{len(e.per_query):>8}{numbers}{skipped}")
    detection = evaluations[0].detection
    typer.echo(f"\ndetection (score >= {detection.det_threshold}): ", nl=False)
    typer.echo(f"recall {100 * detection.recall:.2f}, AP {100 * detection.ap:.2f}, {detection.num_people} people")
    if json_output:
        with new_file(json_output) as partial:
            partial.write_text("[" + ",\n".join(e.to_json() for e in evaluations) + "]\n", encoding="utf-8")


@app.command()
@complain_on_input_error
def rank(
    predictions: _Predictions,
    root: _Root,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page to write.")] = Path("ranking.html"),
    data: _Data = "cuhk_sysu",
    option: DatasetOptions = None,
    protocol: Annotated[
        str | None, typer.Option(help="The protocol to search under: gallery-100 if not given, else the first.")
    ] = None,
    queries: Annotated[int, typer.Option(min=3, help="How many queries to show.")] = 12,
) -> None:
    """Show queries with their five most similar detections as a page of pictures.

    Example: psbench rank predictions/seqnet --root /data/CUHK-SYSU -o ranking.html
    """
    from psbench import Predictions
    from psbench import evaluate as score
    from psbench.reporting.ranking import write_ranking
    from psbench_data import load

    dataset = load(data, root=root, **parsed_options(option))
    loaded = Predictions.load(predictions)
    first = "gallery-100" if "gallery-100" in dataset.protocols else dataset.protocols[0]
    task = dataset.protocol(protocol or first)
    evaluation = score(loaded, task)
    method = loaded.method or predictions.name
    write_ranking(loaded, task, evaluation, output, method=method, data=dataset.origin, queries=queries)
    typer.echo(str(output))


@app.command()
def doctor() -> None:
    """Say which versions are installed and whether torch and torchvision fit together."""
    lines, healthy = diagnose()
    typer.echo("\n".join(lines))
    if not healthy:
        raise typer.Exit(1)


def _cbgm(text: str) -> CBGM:
    from psbench import CBGM, InputError

    numbers = text.split(",")
    if len(numbers) != 2 or not all(number.strip().isdecimal() for number in numbers):
        raise InputError(f"--cbgm {text}: expected K1,K2, for example 10,3.")
    return CBGM(*map(int, numbers))


def _changes(assignments: list[str]) -> dict[str, object]:
    import json

    from psbench_data import InputError

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


if __name__ == "__main__":
    app()
