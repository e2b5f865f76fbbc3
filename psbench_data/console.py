"""What the command lines share: options of datasets, and how they report input that cannot be right."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from psbench_data.errors import InputError, listed

DatasetOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option", "-O", help="An option of the dataset, as in -O train_subset=30 (movienet_cs). May be repeated."
    ),
]
"""Of a command that opens a dataset; `parsed_options` makes them arguments of `load`."""
P = ParamSpec("P")
R = TypeVar("R")


def version_option(program: str) -> Any:
    """`--version` of a command, which psbench and psbench-data share: they are one package."""

    def tell(asked: bool) -> None:
        if asked:
            from importlib.metadata import version

            typer.echo(f"{program} {version('psbench')}")
            raise typer.Exit

    return typer.Option("--version", callback=tell, is_eager=True, help="Print the version and end.")


def complete_dataset(incomplete: str) -> list[str]:
    """The datasets' names that begin so, for the shell."""
    from psbench_data.registry import available

    return [name for name in available() if name.startswith(incomplete)]


def parsed_options(options: list[str] | None) -> dict[str, Any]:
    """`name=value` pairs; whole numbers become such.

    Raises:
        InputError: one is no such pair.
    """
    pairs: dict[str, Any] = {}
    for option in options or []:
        name, equals, value = option.partition("=")
        if not (name and equals):
            raise InputError(f"--option {option}: expected name=value, as in train_subset=30.")
        pairs[name] = int(value) if re.fullmatch(r"-?\d{1,99}", value, re.ASCII) else value
    return pairs


def complain_on_input_error(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command end with one message and exit status 1 where its input or the file system is at fault."""
    return _complaining(command, str)


def list_input_errors(command: Callable[P, R]) -> Callable[P, R]:
    """The same for a command that looks for faults: all of them are listed, however many."""
    return _complaining(command, lambda error: listed(error.faults))


@contextmanager
def telling_when_stopped(say: Callable[[], str] | None = None) -> Iterator[None]:
    """Let what is interrupted (Ctrl-C) end with one line, which says how it goes on, and exit status 130.

    Of processes that were started together, the first one says it.
    """
    try:
        yield
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            typer.echo(f"stopped: {say()}" if say else "stopped", err=True)
        raise SystemExit(130) from None


def _complaining(command: Callable[P, R], text: Callable[[InputError], str]) -> Callable[P, R]:
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with telling_when_stopped():
                return command(*args, **kwargs)
        except InputError as error:
            typer.echo(f"error: {text(error)}", err=True)
        except OSError as error:
            typer.echo(f"error: {error.filename or 'a file'}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None

    return wrapped
