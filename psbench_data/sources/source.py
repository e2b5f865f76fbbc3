"""What every reader offers: the seam between an official on-disk format and the dataset that users hold."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from psbench_data.faults import told_as_input_error
from psbench_data.sources.layouts import require_root

if TYPE_CHECKING:
    import pyarrow as pa

    from psbench_data.scenes import Scenes


@dataclass(frozen=True)
class Split:
    """The scenes of one split, as a reader parsed them.

    Attributes:
        table: made by `scenes_table`.
        identities: the dataset's own labels: `identities[person_id]` is the raw id.
    """

    table: pa.Table
    identities: list[str]


@dataclass(frozen=True)
class Remark:
    """Something in the files that is odd and does not keep them from being used. `psbench-data doctor` shows it.

    Attributes:
        file: where it is.
        where: the row or line, or "".
        what: what is there, and what was expected.
        remedy: what a user can do, or what psbench does about it.
    """

    file: Path
    where: str
    what: str
    remedy: str


class Source(ABC):
    """The reader of one tree in one official format. It only parses.

    Attributes:
        name: the dataset's name.
        versions: of its protocols, by patterns of their names; empty where each tree has versions of its own.
        root: the tree.
        remarks: what was odd in the files parsed so far.
    """

    name: str
    versions: ClassVar[Mapping[str, int]] = {}

    def __init__(self, root: Path) -> None:
        """Look at the tree from outside.

        Raises:
            InputError: root is missing, or is not a tree of this dataset.
        """
        self.root = root
        self.remarks: list[Remark] = []
        with told_as_input_error(root):
            self.require_root()

    def require_root(self) -> None:
        """Check that root is a tree of this dataset; raises InputError."""
        require_root(self.name, self.root)

    @property
    def image_root(self) -> Path:
        """The folder that the scenes' paths are relative to."""
        return self.root

    @property
    def restricted(self) -> bool:
        """Whether the data's terms forbid passing it on: those of all four official datasets do."""
        return True

    @property
    def terms_name(self) -> str:
        """The name under which `psbench_data.terms` has the terms of the data."""
        return self.name

    @property
    def options(self) -> dict[str, int]:
        """Those that tell what was opened apart from other openings of the tree, as `load` takes them."""
        return {}

    @property
    def settings(self) -> str:
        """What the tables depend on besides the annotation files: options, and where the images are."""
        return ""

    @abstractmethod
    def protocols(self) -> dict[str, int]:
        """The names of the protocols that the tree has the files for, with their versions."""

    @classmethod
    def versioned(cls, names: Iterable[str]) -> dict[str, int]:
        """Of some names those that a protocol can have, with its version, which is the same in every tree."""
        found = {name: [v for p, v in cls.versions.items() if re.fullmatch(p, name, re.ASCII)] for name in names}
        return {name: versions[0] for name, versions in found.items() if versions}

    def protocol_version(self, name: str) -> int | None:
        """The version of a protocol, None if there is none of this name."""
        return self.protocols().get(name)

    @abstractmethod
    def scene_files(self) -> list[Path]:
        """The files that the scenes are parsed from."""

    @abstractmethod
    def protocol_files(self, name: str) -> list[Path]:
        """The further files that a protocol is parsed from."""

    @abstractmethod
    def scenes(self) -> dict[str, Split]:
        """Parse the splits `train` and `test`.

        Raises:
            InputError: listing every fault.
        """

    def usable_scenes(self) -> dict[str, Split]:
        """What can be looked at of splits that have faults; empty where faults leave nothing to look at."""
        return {}

    @abstractmethod
    def protocol(self, name: str, test: Scenes) -> pa.Table:
        """Parse a protocol: its table, made by `psbench_data.galleries`.

        Raises:
            InputError: listing every fault.
        """

    def remark(self, file: Path, where: str, what: str, remedy: str) -> None:
        """Note something odd."""
        self.remarks.append(Remark(file, where, what, remedy))
