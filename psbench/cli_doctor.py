"""The command `psbench doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from psbench.doctor import diagnose
from psbench_data.console import complain_on_input_error, tell


@complain_on_input_error
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say whether this installation can work: versions, devices, folders; and what to do where something is broken.

    Exit status 0 if nothing is broken, 1 if something is.

    Example: psbench doctor
    """
    found = diagnose()
    tell(found.to_json() if as_json else found.text())
    raise typer.Exit(0 if found.healthy else 1)
