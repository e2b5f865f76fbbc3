"""What was measured before: a file of lines in JSON, one for each benchmark of each run, that only grows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from psbench_data import InputError
from tests.benchmarks.comparison import Line


def append(path: Path, lines: Sequence[Line]) -> None:
    """Add the lines of a run.

    Raises:
        InputError: the file's last line is not ended, so that these would run into it.
    """
    text = "".join(line.model_dump_json() + "\n" for line in lines)
    if path.exists() and (before := path.read_bytes()) and not before.endswith(b"\n"):
        raise InputError(f"{path}: the last line was cut off. Remove it.")
    with path.open("a", encoding="utf-8") as stream:
        stream.write(text)


def read(path: Path) -> list[Line]:
    """All lines, the oldest first; none where there is no file yet.

    Raises:
        InputError: listing every line that is damaged.
    """
    if not path.exists():
        return []
    lines, faults = [], []
    for number, text in enumerate(path.read_text("utf-8", errors="replace").splitlines(), start=1):
        try:
            lines.append(Line.model_validate_json(text))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            faults.append(f"{path}, line {number}: {place}{': ' * bool(place)}{first['msg']}. Repair or remove it.")
    if faults:
        raise InputError(faults)
    return lines
