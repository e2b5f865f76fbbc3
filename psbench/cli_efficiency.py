"""The commands `psbench efficiency` and `psbench cost`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from psbench.cli_training import parsed_changes
from psbench.doctor import require_zoo
from psbench_data.atomic import place_faults
from psbench_data.console import complain_on_input_error, tell
from psbench_data.errors import InputError


@complain_on_input_error
def efficiency(
    model: Annotated[str, typer.Argument(help="A model of the zoo, for example seqnet.", show_default=False)],
    weights: Annotated[
        Path | None,
        typer.Option(help="A run's folder or a weights file; fresh weights without.", show_default=False),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or cuda:NUMBER; a GPU if there is one.", show_default=False)
    ] = None,
    size: Annotated[
        list[str], typer.Option(help="HEIGHTxWIDTH that images are resized into; 800x1333 and 900x1500. Repeatable.")
    ] = [],  # noqa: B006
    images: Annotated[
        int | None, typer.Option(help="How many to time at least; 100, on a CPU 4.", show_default=False)
    ] = None,
    warm_up: Annotated[int | None, typer.Option(help="Calls before; 20, on a CPU 1.", show_default=False)] = None,
    batch: Annotated[list[int], typer.Option(help="Batches to try beside 1; on a GPU 2, 4, 8, 16. Repeatable.")] = [],  # noqa: B006
    workers: Annotated[
        int | None, typer.Option(help="Threads that decode images: 4 beside a GPU, else none.", show_default=False)
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32, tf32 (as `predict` on a GPU), bf16 or fp16.", show_default=False)
    ] = None,
    data: Annotated[str, typer.Option(help="Whose image sizes: cuhk_sysu or prw.")] = "cuhk_sysu",
    people: Annotated[
        float | None, typer.Option(help="To be found in an image; as many as that data has.", show_default=False)
    ] = None,
    scenes: Annotated[
        int | None, typer.Option(help="That a pairwise model searches; 100, on a CPU 4.", show_default=False)
    ] = None,
    changes: Annotated[
        list[str], typer.Option("--set", help="An option of the model, e.g. backbone=resnet18. Repeatable.")
    ] = [],  # noqa: B006
    json_output: Annotated[
        Path | None, typer.Option("--json", help="Also write all of it to this file.", show_default=False)
    ] = None,
) -> None:
    """Measure parameters, multiply-adds, memory and speed of a model, every one in the same way (docs/performance.md).

    Example: psbench efficiency seqnet --device cuda --json seqnet.json
    """
    require_zoo()
    from psbench.efficiency.measuring import measure
    from psbench.efficiency.text import to_markdown

    if faults := place_faults(json_output):
        raise InputError(faults)
    result = measure(
        model,
        weights=weights,
        options=parsed_changes(changes),
        sizes=[parsed_size(given) for given in size] or None,
        device=device,
        precision=precision,
        data=data,
        people=people,
        images=images,
        warm_up=warm_up,
        batches=batch or None,
        workers=workers,
        scenes=scenes,
    )
    if json_output is not None:
        result.save(json_output)
    tell(to_markdown(result), nl=False)


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
    tell(str(count(made, height, width, rois=rois, people=people)))


def parsed_size(given: str) -> tuple[int, int]:
    """Height and width of "900x1500".

    Raises:
        InputError: it is nothing like that.
    """
    if not (sides := re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", given, re.ASCII)):
        raise InputError(f"--size {given}: expected HEIGHTxWIDTH, for example 900x1500.")
    return int(sides[1]), int(sides[2])
