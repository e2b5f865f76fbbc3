"""Changes below a folder as they happen, told by the kernel (Linux's inotify)."""

from __future__ import annotations

import ctypes
import os
import struct
import time
from multiprocessing.connection import wait
from pathlib import Path

_MODIFY, _CLOSE, _FROM, _TO, _CREATE, _DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200
_FOLDER = 0x40000000
_HEADER = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


class Changes:
    """Counts what is created, written, renamed and removed below a folder, and in the folders that are made there."""

    def __init__(self, folder: Path) -> None:
        self.seen = 0
        self._folders: dict[int, Path] = {}
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._watch(folder)

    def __enter__(self) -> Changes:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def wait(self, count: int, *, until: int, patience: float) -> bool:
        """Wait for so many changes; False if another file descriptor is ready, or patience at its end, before."""
        end = time.monotonic() + patience
        while self.seen < count:
            ready = wait([self._fd, until], max(0.0, end - time.monotonic()))
            if self._fd in ready:
                self._read()
            elif until in ready or not ready:
                return False
        return True

    def _read(self) -> None:
        events = os.read(self._fd, 1 << 16)
        while events:
            number, mask, _, length = _HEADER.unpack_from(events)
            name = events[_HEADER.size : _HEADER.size + length].rstrip(b"\0")
            events = events[_HEADER.size + length :]
            self.seen += 1
            if mask & _FOLDER and mask & (_CREATE | _TO):
                self._watch(self._folders[number] / os.fsdecode(name))

    def _watch(self, folder: Path) -> None:
        """A folder and those below it; what was made in it before this is not seen."""
        number = _libc.inotify_add_watch(
            self._fd, os.fsencode(folder), _MODIFY | _CLOSE | _FROM | _TO | _CREATE | _DELETE
        )
        if number < 0:
            # Gone again.
            return
        self._folders[number] = folder
        try:
            below = [path for path in folder.iterdir() if path.is_dir()]
        except OSError:
            return
        for path in below:
            self._watch(path)
