"""Parsed annotations kept as Arrow files, so that a dataset is parsed once.

One folder per digest of the annotation files. A file in it is whole or absent: it is written under another
name and then renamed, so a killed process leaves nothing half-written and two processes may build at once. A table that
is not as it was written is built again: pyarrow trusts the offsets in a file, and reads wherever damaged ones lead to.
The cache is a convenience: where there is none or it cannot be written, everything works and is parsed again next time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
import warnings
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from psbench_data.atomic import new_file
from psbench_data.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 5
"""Grows when a reader or a table layout changes, so that tables of older versions are not used."""

_SETTLED_NS = 2_000_000_000
_START = 64  # bytes before a table; Arrow aligns what follows to as many


def cache_folder() -> Path:
    """$PSBENCH_CACHE, else `psbench` in the user's cache folder.

    Raises:
        OSError: the user has none, as some accounts in containers.
    """
    if folder := os.environ.get("PSBENCH_CACHE"):
        return Path(folder)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "psbench"
    except RuntimeError as error:
        raise OSError("this account has no home folder") from error


def files_digest(reader: str, files: Iterable[Path]) -> str:
    """SHA-256 over what a cached table depends on: its reader, and the names and contents of annotation files.

    Contents are read once: the digest is remembered under the files' sizes and times of change, so that opening a
    dataset again costs one `stat` a file.

    Args:
        reader: which reader, with the settings that its tables depend on.
        files: the annotation files; a folder stands for the files in it.

    Raises:
        InputError: a file is missing.
    """
    found: list[tuple[Path, list[tuple[str, os.stat_result]]]] = []
    missing = []
    for file in files:
        try:
            found.append((file, _stats(file)))
        except FileNotFoundError:
            missing.append(f"{file}: this annotation file is not there. Copy it again from the dataset's archive.")
    if missing:
        raise InputError(missing)
    # ctime too: it also moves when somebody copies a file over another one and keeps its times.
    state = [
        (str(file.absolute()), name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino)
        for file, stats in found
        for name, s in stats
    ]
    known_as = hashlib.sha256(repr((FORMAT, reader, state)).encode()).hexdigest()
    memo = Path("digests", known_as[:2], known_as)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if re.fullmatch("[0-9a-f]{64}", digest := (cache_folder() / memo).read_text("ascii")):
            return digest
    sha = hashlib.sha256(f"format {FORMAT} of {reader}\n".encode())
    for file, stats in found:
        for name, _ in stats:
            with (file / name).open("rb") as stream:
                sha.update(f"{file.name}/{name}:{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    newest = max((max(s.st_mtime_ns, s.st_ctime_ns) for _, stats in found for _, s in stats), default=0)
    # A file written just now could be written once more within the clock's resolution.
    if time.time_ns() - newest > _SETTLED_NS:
        with contextlib.suppress(OSError), new_file(cache_folder() / memo) as partial:
            partial.write_text(sha.hexdigest(), "ascii")
    return sha.hexdigest()


def _stats(path: Path) -> list[tuple[str, os.stat_result]]:
    """Of a file, under no name; of the files of a folder, by name."""
    if not path.is_dir():
        return [("", path.stat())]
    with os.scandir(path) as entries:
        return sorted((entry.name, entry.stat()) for entry in entries if entry.is_file())


def cached_table(key: str, name: str, build: Callable[[], pa.Table]) -> pa.Table:
    """The table `name` under the digest `key`, memory-mapped; built and stored if it is not there yet."""
    import pyarrow as pa

    path = Path(key[:2], key, f"{name}.arrow")
    with contextlib.suppress(OSError, pa.ArrowInvalid):
        return _open(cache_folder(), path)
    table = build()
    try:
        _write(table, cache_folder(), path)
        return _open(cache_folder(), path)
    except OSError as error:
        # Of this line, so that Python shows it once and not for every table.
        warnings.warn(
            f"the cache cannot be written ({error.strerror or error}), so annotations are parsed again each time. "
            "Set PSBENCH_CACHE to a writable folder.",
            stacklevel=1,
        )
        return table


def _open(folder: Path, path: Path) -> pa.Table:
    import pyarrow as pa

    with pa.memory_map(str(folder / path)) as source:
        content = memoryview(source.read_buffer())
        if content[:_START] != _start(path, content[_START:]):
            raise pa.ArrowInvalid("not as it was written")
        return pa.ipc.open_file(source).read_all()


def _write(table: pa.Table, folder: Path, path: Path) -> None:
    import pyarrow as pa

    with new_file(folder / path) as partial:
        with pa.OSFile(str(partial), "wb") as sink:
            sink.write(bytes(_START))
            with pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table.combine_chunks())
        with pa.memory_map(str(partial), "r+") as file:
            start = _start(path, memoryview(file.read_buffer())[_START:])
            file.seek(0)
            file.write(start)


def _start(path: Path, content: memoryview) -> bytes:
    """What a file begins with: a checksum of where it belongs and of all that follows."""
    return f"psbench {zlib.crc32(content, zlib.crc32(path.as_posix().encode())):08x}\n".encode().ljust(_START)
