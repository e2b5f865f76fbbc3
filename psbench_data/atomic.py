"""Files and folders that appear under their name whole or not at all.

A killed process leaves at most a hidden `.name.xxxxxxxx` beside it, which nothing takes for the result. Who writes the
same name a day later removes it.
"""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from psbench_data.errors import InputError
from psbench_data.names import given_path

if TYPE_CHECKING:
    from PIL.Image import Image

FULL = frozenset({errno.ENOSPC, errno.EFBIG, *([errno.EDQUOT] if hasattr(errno, "EDQUOT") else [])})
"""What only writing meets: a full disk, a file larger than allowed, a used up share of the disk."""
_ABANDONED = 24 * 60 * 60
"""Seconds without a change after which nobody works on a temporary file or folder any more."""


@contextmanager
def naming(path: Path, partial: Path | None = None) -> Iterator[None]:
    """Let an error of writing that names no file, or one that is below `partial` and will be gone, name `path`.

    Raises:
        OSError: of the same kind.
    """
    try:
        yield
    except OSError as error:
        unnamed = error.filename is None and error.errno in FULL
        # Of two, one was copied or renamed to the other.
        names = [Path(name) for name in (error.filename, error.filename2) if isinstance(name, str | Path)]
        ours = partial is not None and any(name.is_relative_to(partial) for name in names)
        if not unnamed and not ours:
            raise
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it becomes `path` when the block ends without an exception.

    Raises:
        InputError: `path` exists and is not an empty folder, or cannot be made; if that is only found out when the
            work is done, it is kept in a folder that the message names.
        OSError: something in it cannot be written.
    """
    given, path = path, given_path(path).resolve()
    partial = _beside(path)
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(
                f"{given}: there is something here already. Give another folder, or remove this one first."
            )
        partial.mkdir(parents=True)
        _sweep(path)
    except OSError as error:
        raise InputError(
            f"{given}: this folder cannot be made ({error.strerror}). Give one in a writable place."
        ) from error
    try:
        with naming(given, partial):
            yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    try:
        if path.exists():
            path.rmdir()
        partial.replace(path)
    except OSError as error:
        # Under a name that is not swept.
        with suppress(OSError):
            partial = partial.rename(partial.with_name(partial.name.removeprefix(".")))
        raise InputError(
            f"{given}: cannot be made now ({error.strerror}). The finished work is in {partial}: move it."
        ) from error


def place_faults(path: Path | None) -> list[str]:
    """Why a file cannot be written at `path`, as far as that can be told before; nothing for None."""
    if path is None:
        return []
    if path.is_dir():
        return [f"{path}: is a folder, expected the name of a file to write. Give one in it."]
    inside = next((parent for parent in path.resolve().parents if parent.exists()), None)
    if inside is not None and not inside.is_dir():
        return [f"{path}: cannot be written, as {inside} is a file. Give another name."]
    return []


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield the name of a temporary file beside `path`; it replaces `path` when the block ends without an exception.

    Raises:
        OSError: it cannot be written.
    """
    partial = _beside(path)
    with naming(path, partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            partial.replace(path)
            _sweep(path)
        finally:
            # The first error tells more than that there is nothing to remove.
            with suppress(OSError):
                partial.unlink()


def write_image(image: Image, path: Path, form: Literal["JPEG", "PNG"], **options: Any) -> None:
    """Write a picture whole, or fail: where a disk becomes full, Pillow itself leaves half a JPEG and says nothing."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    path.write_bytes(stream.getvalue())


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")


def _sweep(path: Path) -> None:
    """Remove what killed processes left where they wrote `path`, as far as it can be removed."""
    ours = re.compile(rf"\.{re.escape(path.stem)}\.[0-9a-f]{{8}}{re.escape(path.suffix)}")
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name) and time.time() - _changed(entry) > _ABANDONED:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    Path(entry).unlink()


def _changed(entry: os.DirEntry[str]) -> float:
    """When anything in it was last written."""
    inside = Path(entry).rglob("*") if entry.is_dir(follow_symlinks=False) else ()
    return max([entry.stat(follow_symlinks=False).st_mtime, *(path.lstat().st_mtime for path in inside)])
