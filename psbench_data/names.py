"""Names from outside: those of annotation files lead out of no folder, those of users may begin with `~`."""

from __future__ import annotations

import re
from pathlib import Path

from psbench_data.errors import InputError

# Backslash and colon lead elsewhere on Windows; control characters and lone surrogates are no file's name.
_NEVER = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\:]")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[1-9]|lpt[1-9])", re.ASCII | re.IGNORECASE)
# Besides those, what turns the order of letters around, so that a name reads as another one.
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def safe_name(name: str, where: str) -> str:
    """The name, if it is relative and stays inside its folder; sub-folders are divided by `/`.

    Args:
        name: the name as the file gives it.
        where: the folder, for the message.

    Raises:
        ValueError: the name is empty, absolute, contains `..`, or no portable file has such a name.
    """
    parts = name.split("/")
    # Windows leaves out dots and blanks at the end of a name: there, `.. ` is `..`.
    nowhere = any(not part.rstrip(". ") and part != "." for part in parts)
    if nowhere or parts[-1] == "." or _NEVER.search(name) or any(map(is_device, parts)):
        raise ValueError(f"{name!r} is not the name of a file inside {where}")
    return name


def is_device(name: str) -> bool:
    """Whether Windows opens one of its devices by this name, whatever its ending: `con`, `nul.txt`."""
    return bool(_DEVICE.fullmatch(name.partition(".")[0].strip()))


def harmless(text: str) -> str:
    """Text for a terminal or for XML: characters that would control it, or reorder what is read, are spelt out; lines
    stay."""
    return _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text)


def given_path(path: str | Path) -> Path:
    """A path as a user gives it, `~` for a home.

    Raises:
        InputError: nobody has this home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{path}: there is no such home folder. Give the path in full.") from error
