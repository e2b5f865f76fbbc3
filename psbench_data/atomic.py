"""Files and folders that appear under their name whole or not at all.

A killed process leaves at most a hidden `.name.xxxxxxxx` beside it, which nothing takes for the result.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psbench_data.errors import InputError
from psbench_data.names import given_path


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it becomes `path` when the block ends without an exception.

    Raises:
        InputError: `path` exists and is not an empty folder, or cannot be made; if that is only found out when the
            work is done, the temporary folder stays and the message names it.
    """
    given, path = path, given_path(path).resolve()
    partial = _beside(path)
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(
                f"{given}: there is something here already. Give another folder, or remove this one first."
            )
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{given}: this folder cannot be made ({error}). Give one in a writable place.") from error
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    try:
        if path.exists():
            path.rmdir()
        partial.replace(path)
    except OSError as error:
        raise InputError(
            f"{given}: cannot be made now ({error}). The finished work is in {partial}: move it."
        ) from error


def place_faults(path: Path | None) -> list[str]:
    """Why a file cannot be written at `path`, as far as that can be told before; nothing for None."""
    if path is None:
        return []
    if path.is_dir():
        return [f"{path}: is a folder, expected the name of a file to write."]
    inside = next((parent for parent in path.resolve().parents if parent.exists()), None)
    if inside is not None and not inside.is_dir():
        return [f"{path}: cannot be written, as {inside} is a file. Give another name."]
    return []


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield the name of a temporary file beside `path`; it replaces `path` when the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
