"""The command `psbench`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from psbench.cli_judging import Data, Folder, Root, compare, evaluate
from psbench.doctor import diagnose, require_zoo
from psbench_data.console import DatasetOptions, complain_on_input_error, parsed_options

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Person search: train, predict, evaluate, look. Datasets: see `psbench-data`.",
)


@app.command()
@complain_on_input_error
def train(
    model: Annotated[str, typer.Argument(help="A model of the zoo, for example seqnet.")],
    root: Root,
    output: Annotated[Path, typer.Option(help="The run folder to make.", show_default=False)],
    data: Data = "cuhk_sysu",
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
    weights: Annotated[
        Path, typer.Argument(help="A folder that `train` or `import-weights` made.", show_default=False)
    ],
    root: Root,
    output: Annotated[Path, typer.Option(help="The predictions folder to make.", show_default=False)],
    data: Data = "cuhk_sysu",
    option: DatasetOptions = None,
    ground_truth_boxes: Annotated[bool, typer.Option(help="Embed the annotated boxes instead of detecting.")] = False,
    context: Annotated[bool, typer.Option(help="Detect around each query, too, as CBGM needs it.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Scenes at once; 1 is free of padding.")] = 1,
    other_data: Annotated[
        bool, typer.Option("--other-data", help="Allow data that the model was not trained on.")
    ] = False,
) -> None:
    """Detect and embed the people of the test scenes, and embed the queries.

    Example: psbench predict runs/seqnet --data cuhk_sysu --root /data/CUHK-SYSU --output predictions/seqnet
    """
    require_zoo()
    from psbench.inference import predict as run_prediction
    from psbench.predictions_folder import write_into
    from psbench.zoo.weights import WEIGHTS_FILE, load_weights, read_info
    from psbench_data import InputError, load
    from psbench_data.atomic import new_folder

    path = weights / WEIGHTS_FILE
    if not path.is_file():
        raise InputError(
            f"{path}: not there, so {weights} is not a finished run. "
            "Give a folder that `psbench train` or `psbench import-weights` made."
        )
    info = read_info(path)
    if info.dataset != data and not other_data:
        raise InputError(f"{path}: trained on {info.dataset}, not on {data}. Add --other-data where that is intended.")
    dataset = load(data, root=root, **parsed_options(option))
    with new_folder(output) as folder:
        predictions = run_prediction(
            load_weights(path),
            dataset,
            ground_truth_boxes=ground_truth_boxes,
            context=context,
            batch_size=batch_size,
            method=info.method,
        )
        write_into(predictions, folder)
    typer.echo(f"{output}: {len(predictions.scores)} people in {len(predictions.scene_names)} scenes")


@app.command()
@complain_on_input_error
def import_weights(
    model: Annotated[str, typer.Argument(help="A model of the zoo, for example glcnet.", show_default=False)],
    checkpoint: Annotated[Path, typer.Argument(help="The file that its authors released.", show_default=False)],
    data: Annotated[str, typer.Option("--data", help="What it was trained on, e.g. prw.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.", show_default=False)],
    changes: Annotated[
        list[str], typer.Option("--set", help="An option that differs from the paper's, e.g. min_size=240. Repeatable.")
    ] = [],  # noqa: B006
    keep_tables: Annotated[
        bool, typer.Option("--keep-tables", help="Keep the identity tables, to train on from there.")
    ] = False,
) -> None:
    """Make a folder for `psbench predict` out of a released checkpoint, which is read without running code in it.

    Example: psbench import-weights glcnet cuhk_957.pth --data cuhk_sysu -o weights/glcnet
    """
    require_zoo()
    from psbench.zoo.weights import WEIGHTS_FILE
    from psbench.zoo.weights import import_weights as convert
    from psbench_data import InputError, available
    from psbench_data.atomic import new_folder
    from psbench_data.errors import near_names

    if data not in available():
        raise InputError(f"there is no dataset {data!r}. {near_names(data, available())}")
    with new_folder(output) as folder:
        path = folder / WEIGHTS_FILE
        info = convert(model, checkpoint, path, dataset=data, keep_tables=keep_tables, overrides=_changes(changes))
    typer.echo(f"{output}: {info.model} of {data}, {info.num_identities} identities")


@app.command()
@complain_on_input_error
def cost(
    model: Annotated[str, typer.Argument(help="A model of the zoo, for example seqnet.", show_default=False)],
    size: Annotated[str, typer.Option(help="Height and width of the image, pixels.")] = "900x1500",
    rois: Annotated[int, typer.Option(min=0, help="Proposals that the heads see.")] = 300,
    people: Annotated[int, typer.Option(min=0, help="Of these, how many a second stage sees.")] = 10,
    changes: Annotated[
        list[str], typer.Option("--set", help="An option of the model, e.g. backbone=resnet18. Repeatable.")
    ] = [],  # noqa: B006
) -> None:
    """Count a model's parameters and the multiply-adds (10^9, GMAC) of detecting the people of one image.

    Example: psbench cost seqnet --size 900x1500
    """
    require_zoo()
    from psbench import zoo
    from psbench.zoo.cost import cost as count
    from psbench_data import InputError

    if not (sides := re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", size, re.ASCII)):
        raise InputError(f"--size {size}: expected HEIGHTxWIDTH, for example 900x1500.")
    made = zoo.create(model, num_identities=1, **_changes(changes))
    typer.echo(str(count(made, int(sides[1]), int(sides[2]), rois=rois, people=people)))


app.command()(evaluate)
app.command()(compare)


@app.command()
@complain_on_input_error
def rank(
    predictions: Folder,
    root: Root,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML page to write.")] = Path("ranking.html"),
    data: Data = "cuhk_sysu",
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
