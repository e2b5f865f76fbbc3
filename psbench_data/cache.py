"""Parsed annotations kept as Arrow files, so that a dataset is parsed once.

One folder per digest of the annotation files. A file in it is whole or absent: it is written under another
name and then renamed, so a killed process leaves nothing half-written and two processes may build at once.
The cache is a convenience: where it cannot be written, everything works and is parsed again next time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from psbench_data.atomic import new_file
from psbench_data.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
"""Grows when a reader or a table layout changes, so that tables of older versions are not used."""


def cache_folder() -> Path:
    """$PSBENCH_CACHE, else `psbench` in the user's cache folder."""
    if folder := os.environ.get("PSBENCH_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "psbench"


def files_digest(reader: str, files: Iterable[Path]) -> str:
    """SHA-256 over what a cached table depends on: its reader, and the names and contents of annotation files.

    Raises:
        InputError: a file is missing.
    """
    files = list(files)
    if missing := [file for file in files if not file.is_file()]:
        raise InputError(
            f"{file}: this annotation file is not there. Copy it again from the dataset's archive." for file in missing
        )
    sha = hashlib.sha256(f"format {FORMAT} of {reader}\n".encode())
    for file in files:
        with file.open("rb") as stream:
            sha.update(f"{file.name}:{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return sha.hexdigest()


def cached_table(key: str, name: str, build: Callable[[], pa.Table]) -> pa.Table:
    """The table `name` under the digest `key`, memory-mapped; built and stored if it is not there yet."""
    import pyarrow as pa

    path = cache_folder() / key[:2] / key / f"{name}.arrow"
    with contextlib.suppress(OSError, pa.ArrowInvalid):
        return _open(path)
    table = build()
    try:
        _write(table, path)
        return _open(path)
    except OSError as error:
        warnings.warn(
            f"{path.parent}: the cache cannot be written ({error}), so annotations are parsed again each time. "
            "Set PSBENCH_CACHE to a writable folder.",
            stacklevel=2,
        )
        return table


def _open(path: Path) -> pa.Table:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def _write(table: pa.Table, path: Path) -> None:
    import pyarrow as pa

    with (
        new_file(path) as partial,
        pa.OSFile(str(partial), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table.combine_chunks())
