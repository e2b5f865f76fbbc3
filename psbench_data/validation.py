"""What pydantic finds, as the sentences of an InputError."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from psbench_data.errors import InputError

if TYPE_CHECKING:
    from pydantic import ValidationError


def file_error(path: Path | str, error: ValidationError, remedy: str) -> InputError:
    """For a file, or a line of it, that does not hold what it should: one sentence a field, ending with what to do."""
    return InputError(
        f"{path}: {_place(fault['loc'])}: unknown field. Remove it."
        if fault["type"] == "extra_forbidden"
        else f"{path}: {_place(fault['loc']) or 'the contents'}: {_said(fault['msg']).rstrip('.')}. {remedy}"
        for fault in error.errors()
    )


def value_error(where: str, error: ValidationError) -> InputError:
    """For values that were given: one sentence a value, which it repeats; of several together, what is wrong."""
    return InputError(
        f"{where} {_place(fault['loc'])} is {fault['input']!r}: {fault['msg']}."
        if fault["loc"]
        else f"{where}s: {_said(fault['msg'])}."
        for fault in error.errors()
    )


def _place(loc: tuple[int | str, ...]) -> str:
    # Names come from the file, and control characters have no business in a terminal.
    parts = map(str, loc)
    return ".".join(part if part.isprintable() else ascii(part) for part in parts)


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")
