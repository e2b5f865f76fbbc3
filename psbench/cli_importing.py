"""The command `psbench import-detections`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psbench.cli_judging import Data, Root
from psbench_data.console import DatasetOptions, complain_on_input_error, parsed_options, tell

if TYPE_CHECKING:
    from psbench import Predictions
    from psbench_data import Scenes


@complain_on_input_error
def import_detections(
    form: Annotated[
        str,
        typer.Argument(
            help="seqnet or glcnet (their eval_cache.pth), or npz (docs/predictions.md).",
            show_default=False,
        ),
    ],
    file: Annotated[Path, typer.Argument(help="What that code dumped.", show_default=False)],
    root: Root,
    output: Annotated[Path, typer.Option("--output", "-o", help="The predictions folder to make.", show_default=False)],
    data: Data = "cuhk_sysu",
    option: DatasetOptions = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="Whose queries they are, and whose scenes; the dataset's first by default."),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(help="A text file with the scenes' names, one a line, where the dump has none."),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="What the predictions are called; the folder's name by default.")
    ] = None,
) -> None:
    """Make a predictions folder out of detections and embeddings that other code dumped, without running any of it.

    Example: psbench import-detections seqnet eval_cache.pth --data prw --root /data/PRW -o predictions/seqnet
    """
    from psbench.importing import import_detections as read
    from psbench.importing import read_names
    from psbench_data import load

    dataset = load(data, root=root, **parsed_options(option))
    predictions = read(
        form,
        file,
        dataset,
        protocol=protocol,
        names=None if names is None else read_names(names),
        method=output.name if method is None else method,
    )
    predictions.save(output)
    tell(f"{output}: {_summary(predictions, dataset.split('test'))}")


def _summary(predictions: Predictions, test: Scenes) -> str:
    """What was imported, and what shows at a glance that scenes got the wrong names."""
    from psbench import evaluate_detection

    context = " with context" if predictions.context is not None else ""
    counts = (
        f"{len(predictions.boxes)} people in {len(predictions.scene_names)} scenes, "
        f"{len(predictions.query_embeddings)} queries{context}"
    )
    if len(predictions.scene_names) < len(test):
        return f"{counts}\n{len(test) - len(predictions.scene_names)} of the {len(test)} test scenes are not in it"
    found = evaluate_detection(predictions, test)
    return (
        f"{counts}\ndetection: recall {100 * found.recall:.2f}, AP {100 * found.ap:.2f} "
        "(the log of the code that found them says the same, or scenes got the wrong names)"
    )
