"""Plain-text annotation files: lines of fields, and the lists of image sizes that some releases carry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from psbench_data.errors import InputError
from psbench_data.faults import COPY_AGAIN, RowFaults

_SIDE = re.compile(r"0*[1-9]\d{0,6}", re.ASCII)
"""Of an image: from 1 pixel to ten million less one."""


def utf8_text(path: Path, remedy: str = COPY_AGAIN) -> str:
    """The content of a file, with or without a byte order mark; CRLF, CR and LF are all LF.

    Raises:
        InputError: the file cannot be read as UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}). {remedy}") from error
    except UnicodeDecodeError as error:
        what = f"byte {error.start} ({error.object[error.start]:#04x}) is not"
        raise InputError(f"{path}: expected UTF-8 text, and {what}. {remedy}") from error


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The number (from 1) and text of every line that is not blank, whether lines end in CRLF, CR or LF.

    Raises:
        InputError: the file cannot be read as UTF-8.
    """
    # Not splitlines: it would also break at form feeds and other characters within a line.
    for number, line in enumerate(utf8_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line


def image_sizes(paths: Iterable[Path]) -> dict[str, tuple[int, int]]:
    """Height and width, pixels, by image name, from those of the files `train_shape.txt`, `test_shape.txt` that exist.

    A line is `name TAB height TAB width`. Authors of later methods (APNet, PCNet) ship these lists with CUHK-SYSU and
    PRW; LSPS has them itself.

    Raises:
        InputError: listing every line that is otherwise.
    """
    sizes: dict[str, tuple[int, int]] = {}
    for path in paths:
        if not path.is_file():
            continue
        with RowFaults(path) as faults:
            for number, line in lines(path):
                with faults.row(f"line {number}"):
                    fields = line.split()
                    if len(fields) != 3 or not all(_SIDE.fullmatch(field) for field in fields[1:]):
                        raise ValueError(f"expected name, height and width in pixels, found {line.strip()!r:.120}")
                    sizes[fields[0]] = (int(fields[1]), int(fields[2]))
    return sizes
