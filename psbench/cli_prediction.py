"""The command `psbench predict`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psbench.cli_judging import Data, Root
from psbench.doctor import require_zoo
from psbench_data.console import DatasetOptions, complain_on_input_error, parsed_options

if TYPE_CHECKING:
    from psbench.zoo.weights import WeightsInfo


@complain_on_input_error
def predict(
    weights: Annotated[
        Path,
        typer.Argument(
            help="A folder that `train` or `import-weights` made, or its model.safetensors.", show_default=False
        ),
    ],
    root: Root,
    output: Annotated[Path, typer.Option(help="The predictions folder to make or continue.", show_default=False)],
    data: Data = "cuhk_sysu",
    option: DatasetOptions = None,
    ground_truth_boxes: Annotated[bool, typer.Option(help="Embed the annotated boxes instead of detecting.")] = False,
    context: Annotated[bool, typer.Option(help="Detect around each query, too, as CBGM needs it.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once, of those that are of one size.")] = 1,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that decode images: 4 beside a GPU, else none.", show_default=False),
    ] = None,
    other_data: Annotated[
        bool, typer.Option("--other-data", help="Allow data that the model was not trained on.")
    ] = False,
) -> None:
    """Detect and embed the people of the test scenes, and embed the queries; continues where it was interrupted.

    Example: psbench predict runs/seqnet --data cuhk_sysu --root /data/CUHK-SYSU --output predictions/seqnet
    """
    require_zoo()
    from psbench.inference import predict_into
    from psbench.predictions_folder import count_people
    from psbench.processes import main_process_first, this_process
    from psbench.zoo.weights import load_weights
    from psbench_data import load

    with main_process_first():
        path, info = _weights_for(weights, data, other_data)
        dataset = load(data, root=root, **parsed_options(option))
        model = load_weights(path)
    process = this_process()
    if workers is None:
        workers = min(4, os.cpu_count() or 1) if process.device.type == "cuda" else 0
    folder = predict_into(
        model,
        dataset,
        output,
        ground_truth_boxes=ground_truth_boxes,
        context=context,
        batch_size=batch_size,
        workers=workers,
        method=info.method,
    )
    if process.is_main_process:
        people, scenes = count_people(folder)
        typer.echo(f"{output}: {people} people in {scenes} scenes")
    # GPUs' connections that are left to the interpreter's end are warned of.
    process.destroy_process_group()


def _weights_for(weights: Path, data: str, other_data: bool) -> tuple[Path, WeightsInfo]:
    """The file of the weights, and what it says of itself, if these are weights for this data."""
    from psbench.zoo.weights import read_info, weights_path
    from psbench_data import InputError

    path = weights_path(weights)
    info = read_info(path)
    if info.dataset != data and not other_data:
        raise InputError(f"{path}: trained on {info.dataset}, not on {data}. Add --other-data where that is intended.")
    return path, info
