"""How the command lines report input that cannot be right."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from psbench_data.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")


def complain_on_input_error(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command end with one message and exit status 1 where its input or the file system is at fault."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except InputError as error:
            typer.echo(f"error: {error}", err=True)
        except OSError as error:
            typer.echo(f"error: {error.filename or 'a file'}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None

    return wrapped
