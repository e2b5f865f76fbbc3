"""Docstrings as the API pages need them: "Example:" is code, and names that are explained together each get theirs."""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTIONS = ("Args", "Attributes")
_TOGETHER = re.compile(r"( +)((?:\*{0,2}\w+,\s+)+\*{0,2}\w+): ")


def written_out(text: str) -> str:
    """A docstring in which every name of a section has an explanation of its own.

    "cbgm, preset: as in `evaluate`." becomes a line for each, so that each is known with its type.
    """
    paragraphs = re.sub(r"^Example:$", "Examples:", text, flags=re.MULTILINE).split("\n\n")
    return "\n\n".join(map(_each, paragraphs))


def _each(paragraph: str) -> str:
    head, *lines = paragraph.split("\n")
    if head.rstrip(":") not in _SECTIONS:
        return paragraph
    entries: list[str] = []
    for line in lines:
        if line.startswith("        ") and entries:
            entries[-1] += f"\n{line}"
        else:
            entries.append(line)
    return "\n".join([head, *(each for entry in entries for each in _apart(entry))])


def _apart(entry: str) -> list[str]:
    together = _TOGETHER.match(entry)
    if together is None:
        return [entry]
    words = entry[together.end() :]
    return [f"{together[1]}{name}: {words}" for name in re.split(r",\s+", together[2])]


class WrittenOut(griffe.Extension):
    """Gives mkdocstrings the docstrings that `written_out` makes of the code's."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change one, right after it was read."""
        if obj.docstring:
            obj.docstring.value = written_out(obj.docstring.value)
