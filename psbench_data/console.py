"""What the command lines share: options of datasets, and how they report input that cannot be right."""

from __future__ import annotations

import errno
import functools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from psbench_data.atomic import FULL
from psbench_data.errors import InputError, listed
from psbench_data.names import harmless

DatasetOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option", "-O", help="An option of the dataset, as in -O train_subset=30 (movienet_cs). May be repeated."
    ),
]
"""Of a command that opens a dataset; `parsed_options` makes them arguments of `load`."""
P = ParamSpec("P")
R = TypeVar("R")


def tell(words: object, *, err: bool = False, nl: bool = True) -> None:
    """Print, as `typer.echo` does: what names from outside may hold cannot control the terminal."""
    typer.echo(harmless(str(words)), err=err, nl=nl)


def version_option(program: str) -> Any:
    """`--version` of a command, which psbench and psbench-data share: they are one package."""

    def show(asked: bool) -> None:
        if asked:
            from importlib.metadata import version

            tell(f"{program} {version('psbench')}")
            raise typer.Exit

    return typer.Option("--version", callback=show, is_eager=True, help="Print the version and end.")


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
            tell(f"stopped: {say()}" if say else "stopped", err=True)
        raise SystemExit(130) from None


_START_AGAIN = "Then give the same command again."
_ROOM = f"Make room there, or give a place on another disk. {_START_AGAIN}"
_OPEN = f"Give a place, or make it one, that your account may use. {_START_AGAIN}"
_REMEDIES = {
    **dict.fromkeys(FULL, _ROOM),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _OPEN),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY), "Give another name."),
    errno.ENOENT: f"It may have been removed meanwhile: put it back. {_START_AGAIN}",
}


def refusal(error: OSError) -> str:
    """What the file system refused, as a message: the file, the system's reason, and what to do."""
    if error.errno == errno.ENOENT and error.filename is None:
        # Of `tempfile`, which has tried them all.
        return f"{error.strerror}. Make room in one of these, or name another folder in TMPDIR. {_START_AGAIN}"
    # Files are named where they are written; what is not is printed.
    name = error.filename or ("standard output" if error.errno in FULL else "a file")
    remedy = _REMEDIES.get(error.errno or 0, f"Look after that file or its disk. {_START_AGAIN}")
    return f"{name}: {error.strerror or error}. {remedy}"


def _complaining(command: Callable[P, R], text: Callable[[InputError], str]) -> Callable[P, R]:
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with telling_when_stopped():
                return command(*args, **kwargs)
        except InputError as error:
            tell(f"error: {text(error)}", err=True)
        except OSError as error:
            tell(f"error: {refusal(error)}", err=True)
        raise typer.Exit(1) from None

    return wrapped
