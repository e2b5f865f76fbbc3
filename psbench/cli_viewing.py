"""The command `psbench view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from psbench.cli_judging import Data, Root
from psbench_data import InputError
from psbench_data.console import DatasetOptions, complain_on_input_error, parsed_options, tell


@complain_on_input_error
def view(
    root: Root,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The page to write, or the folder of pictures.", show_default="view.html"),
    ] = None,
    data: Data = "cuhk_sysu",
    option: DatasetOptions = None,
    split: Annotated[str, typer.Option(help="Of the scenes: train or test.")] = "test",
    scene: Annotated[
        list[str], typer.Option("--scene", help="A scene's name, repeatable; random scenes by default.")
    ] = [],  # noqa: B006
    scenes: Annotated[int, typer.Option(min=0, help="How many random scenes, where none are named.")] = 12,
    protocol: Annotated[
        str | None, typer.Option(help="Also show queries of this protocol with their true matches.")
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="How many random queries.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Of the random scenes and queries.")] = 0,
    picture_format: Annotated[
        Literal["html", "png"], typer.Option("--format", help="One page, or a folder of pictures.")
    ] = "html",
) -> None:
    """Show scenes with their people, and queries with their true matches.

    Example: psbench view --data prw --root /data/PRW --protocol regular --queries 4 -o view.html
    """
    from psbench.reporting.viewing import chosen_queries, chosen_scenes, write_pictures, write_view
    from psbench_data import load
    from psbench_data.atomic import place_faults

    place = output or Path("view.html" if picture_format == "html" else "view")
    if picture_format == "html" and (faults := place_faults(place)):
        raise InputError(faults)
    loaded = load(data, root=root, **parsed_options(option))
    views = chosen_scenes(loaded.split(split), scene, scenes, seed)
    asked = chosen_queries(loaded.protocol(protocol), queries, seed) if protocol else []
    if not views and not asked:
        raise InputError("--scenes 0 and no --protocol: there is nothing to show. Give one of them.")
    if picture_format == "png":
        write_pictures(views, asked, place, progress=True)
    else:
        write_view(
            views,
            asked,
            place,
            title=f"{loaded.title}, {split} scenes",
            data=f"{loaded.title}: {loaded.origin}",
            protocol=protocol,
            synthetic=loaded.synthetic,
            progress=True,
        )
    tell(str(place))
