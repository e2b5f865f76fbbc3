"""What became of mutants, as mutmut keeps it: beside each file of which it made some."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

CODES = {"survived": 0, "killed": 1, "no tests": 33, "timeout": 36}
"""mutmut's words, and by which exit code it knows each; all others are of crashes."""
ALIVE = ("survived", "no tests")


class Meta:
    """The mutants of a file.

    Attributes:
        path: where mutmut keeps this.
        codes: by name, the exit code of the tests; None before they were run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content = json.loads(path.read_text("utf-8"))
        self.codes: dict[str, int | None] = self._content["exit_code_by_key"]

    def status(self, name: str) -> str:
        """mutmut's word, or "not run", or "crashed"."""
        code = self.codes[name]
        return "not run" if code is None else {code: word for word, code in CODES.items()}.get(code, "crashed")

    def keep(self, name: str, code: int) -> None:
        """Write down how a mutant's tests ended."""
        self.codes[name] = code
        self.path.write_text(json.dumps(self._content, indent=4), "utf-8")


@dataclass(frozen=True)
class Mutant:
    """One change of one function.

    Attributes:
        name: mutmut's.
        file: relative to the root of the tree.
        status: what became of it, see `Meta.status`.
        folder: of the tree that mutmut works in.
    """

    name: str
    file: Path
    status: str
    folder: Path

    @property
    def function(self) -> str:
        """For example `psbench.evaluation.ranks.rank` or `psbench.evaluation.cbgm.Revisions.none`."""
        module, _, mangled = self.name.partition("__mutmut_")[0].rpartition(".")
        return f"{module}.{mangled.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"

    @cached_property
    def lines(self) -> tuple[str, str]:
        """What stands in the function, and what in its place, without the lines that stay."""
        from mutmut.mutation.diff_apply import get_diff_for_mutant

        with contextlib.chdir(self.folder):
            changed = get_diff_for_mutant(self.name, path=self.file).splitlines()[2:]
        before, after = (" ".join(line[1:].strip() for line in changed if line.startswith(sign)) for sign in "-+")
        return before, after


def read(folder: Path, files: Sequence[Path]) -> Iterator[Mutant]:
    """The mutants of some files.

    Args:
        folder: of the tree that mutmut works in.
        files: relative to it.
    """
    for file in files:
        path = folder / "mutants" / f"{file}.meta"
        if path.exists():
            meta = Meta(path)
            yield from (Mutant(name, file, meta.status(name), folder) for name in meta.codes)
