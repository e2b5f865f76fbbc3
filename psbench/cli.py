"""The command `psbench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psbench.cli_efficiency import efficiency, parsed_size
from psbench.cli_importing import import_detections
from psbench.cli_judging import Data, Folder, Root, compare, evaluate
from psbench.cli_leaderboard import card_app, leaderboard_app, submit, validate
from psbench.cli_looking import view_points
from psbench.cli_prediction import predict
from psbench.cli_training import parsed_changes, train
from psbench.doctor import diagnose, require_zoo
from psbench_data.console import DatasetOptions, complain_on_input_error, parsed_options

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Person search: train, predict, evaluate, look. Datasets: see `psbench-data`.",
)


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
        info = convert(
            model, checkpoint, path, dataset=data, keep_tables=keep_tables, overrides=parsed_changes(changes)
        )
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

    height, width = parsed_size(size)
    made = zoo.create(model, num_identities=1, **parsed_changes(changes))
    typer.echo(str(count(made, height, width, rois=rois, people=people)))


app.command()(efficiency)
app.command()(train)
app.command()(predict)
app.command()(evaluate)
app.command()(compare)
app.command()(view_points)
app.command()(validate)
app.command()(submit)
app.add_typer(card_app, name="card")
app.add_typer(leaderboard_app, name="leaderboard")
app.command()(import_detections)


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


if __name__ == "__main__":
    app()
