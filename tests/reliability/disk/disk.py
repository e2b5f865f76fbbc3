"""A small disk of memory that can be filled to the byte's page, made read-only, and freed; mounted by root alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
_AMPLE = 2**30


class Disk:
    """A tmpfs.

    Args:
        folder: where it is mounted; `out` in it is for results and `tmp` for what is temporary.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / "out"
        folder.mkdir(exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """That puts what is temporary on this disk, too."""
        return {"TMPDIR": str(self.folder / "tmp")}

    @contextmanager
    def empty(self) -> Iterator[Disk]:
        """The disk, mounted, with room for everything."""
        _call("mount", "-t", "tmpfs", "-o", f"size={_AMPLE}", "tmpfs", str(self.folder))
        try:
            (self.folder / "tmp").mkdir()
            yield self
        finally:
            _call("umount", "-l", str(self.folder))

    def used(self) -> int:
        """Bytes."""
        now = os.statvfs(self.folder)
        return (now.f_blocks - now.f_bfree) * now.f_frsize

    def inodes(self) -> int:
        """Files and folders."""
        now = os.statvfs(self.folder)
        return now.f_files - now.f_ffree

    def leave(self, room: int) -> None:
        """Fill it but for so many bytes."""
        # Without any use, 0 would be no limit; `out` always holds something.
        self._remount(f"size={max(self.used() + room, PAGE)}")

    def leave_inodes(self, count: int) -> None:
        """Let no more files than so many be made."""
        self._remount(f"nr_inodes={self.inodes() + count}")

    def free(self) -> None:
        """Give it all its room again, and let it be written."""
        self._remount(f"size={_AMPLE},nr_inodes=1000000,rw")

    def write_protect(self) -> None:
        """Let nothing be written."""
        self._remount("ro")

    def _remount(self, options: str) -> None:
        _call("mount", "-o", f"remount,{options}", str(self.folder))


def _call(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
