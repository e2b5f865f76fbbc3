"""File names that come from annotation files: none may lead out of the folder that it belongs to."""

from __future__ import annotations

import re

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
