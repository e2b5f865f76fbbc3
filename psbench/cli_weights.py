"""The command `psbench import-weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psbench.cli_training import parsed_changes
from psbench.doctor import require_zoo
from psbench_data.console import complain_on_input_error, tell


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
    tell(f"{output}: {info.model} of {data}, {info.num_identities} identities")
