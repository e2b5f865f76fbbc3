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
        f"{path}: {_place(fault['loc']) or 'the contents'}: {fault['msg'].rstrip('.')}. {remedy}"
        for fault in error.errors()
    )


def value_error(where: str, error: ValidationError) -> InputError:
    """For values that were given: one sentence a value, which it repeats; of several together, what is wrong."""
    return InputError(
        f"{where} {_place(fault['loc'])} is {fault['input']!r}: {fault['msg']}."
        if fault["loc"]
        else f"{where}s: {fault['msg'].removeprefix('Value error, ')}."
        for fault in error.errors()
    )


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(map(str, loc))
