"""The command `psbench-data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psbench_data.console import complain_on_input_error

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Person search datasets: list them, look at them, synthesize one."
)

_Root = Annotated[Path, typer.Argument(help="The dataset's top folder.", show_default=False)]


@app.command("list")
def list_datasets() -> None:
    """Name the datasets that can be loaded."""
    from psbench_data import available

    for name in available():
        typer.echo(name)


@app.command()
@complain_on_input_error
def summary(name: Annotated[str, typer.Argument(help="A name from `psbench-data list`.")], root: _Root) -> None:
    """Count a dataset's scenes, boxes and identities, and list its protocols.

    Example: psbench-data summary cuhk_sysu /data/CUHK-SYSU
    """
    from psbench_data import load

    dataset = load(name, root=root)
    typer.echo(f"{dataset.name}: {dataset.origin}, fingerprint {dataset.fingerprint[:12]}\n")
    typer.echo(dataset.summary().to_string())
    typer.echo("")
    for protocol in map(dataset.protocol, dataset.protocols):
        typer.echo(f"{protocol.name}: {len(protocol.queries)} queries, {len(protocol.truth_boxes)} true boxes")


@app.command()
@complain_on_input_error
def synthesize(
    name: Annotated[str, typer.Argument(help="The official format to write: cuhk_sysu.")],
    root: _Root,
    seed: Annotated[int, typer.Option(help="Equal seeds and sizes give equal bytes.")] = 0,
    train_scenes: Annotated[int, typer.Option(help="Training scenes.")] = 400,
    test_scenes: Annotated[
        int, typer.Option(help="Test scenes; the official gallery sizes below this are written.")
    ] = 520,
    train_identities: Annotated[int, typer.Option(help="Labelled people of the training scenes.")] = 140,
    test_identities: Annotated[int, typer.Option(help="Labelled people of the test scenes; one query each.")] = 100,
    height: Annotated[int, typer.Option(help="Of the images, pixels.")] = 120,
    width: Annotated[int, typer.Option(help="Of the images, pixels.")] = 176,
    images: Annotated[bool, typer.Option(help="Draw the pictures, or write annotations only.")] = True,
) -> None:
    """Draw people and scenes and write them as the dataset's authors ship theirs.

    Example: psbench-data synthesize cuhk_sysu demo/data/cuhk_sysu --seed 0
    """
    from psbench_data.errors import InputError, near_names
    from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
    from psbench_data.synthetic.world import WorldSpec

    if name != "cuhk_sysu":
        raise InputError(f"synthesize cannot write the format {name!r}. {near_names(name, ['cuhk_sysu'])}")
    spec = WorldSpec(
        seed=seed,
        train_scenes=train_scenes,
        test_scenes=test_scenes,
        train_identities=train_identities,
        test_identities=test_identities,
        image_size=(height, width),
    )
    write_cuhk_sysu(spec, root, images=images, progress=True)
    typer.echo(f"{root}: {train_scenes} train and {test_scenes} test scenes in the format of CUHK-SYSU")


if __name__ == "__main__":
    app()
