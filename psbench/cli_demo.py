"""The command `psbench demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from psbench.doctor import require_zoo
from psbench_data.console import complain_on_input_error, tell


@complain_on_input_error
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of everything that is made.")] = Path(
        "demo"
    ),
) -> None:
    """Draw people, train SeqNet, predict, evaluate, and write a table, curves and a page: minutes on two CPU cores.

    What is there already is not made again, so that an interrupted demo goes on where it was.

    Example: psbench demo --output demo
    """
    require_zoo()
    from psbench.reproduction.whole_path import walk

    for line in walk(output):
        tell(line)
