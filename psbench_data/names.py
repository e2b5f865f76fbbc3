"""File names from outside: those of annotation files lead out of no folder, those of users may begin with `~`."""

from __future__ import annotations

import re
from pathlib import Path

from psbench_data.errors import InputError

# Backslash and colon lead elsewhere on Windows; control characters and lone surrogates are no file's name.
_NEVER = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\:]")


def safe_name(name: str, where: str) -> str:
    """The name, if it is relative and stays inside its folder; sub-folders are divided by `/`.

    Args:
        name: the name as the file gives it.
        where: the folder, for the message.

    Raises:
        ValueError: the name is empty, absolute, contains `..`, or no portable file has such a name.
    """
    if _NEVER.search(name) or not {"", ".."}.isdisjoint(name.split("/")):
        raise ValueError(f"{name!r} is not the name of a file inside {where}")
    return name


def given_path(path: str | Path) -> Path:
    """A path as a user gives it, `~` for a home.

    Raises:
        InputError: nobody has this home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: there is no such home folder. Give the path in full.") from error
