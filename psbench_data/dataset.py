"""PersonSearchDataset: a dataset on disk, whatever its format."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Protocol as Interface

import numpy as np

from psbench_data.cache import cached_table, files_digest
from psbench_data.errors import InputError, near_names
from psbench_data.protocol import Protocol
from psbench_data.scenes import UNLABELED, Scenes
from psbench_data.sources.layouts import LAYOUTS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SYNTHETIC_MARKER = "synthetic.json"
"""The file by which a tree written by `psbench-data synthesize` says that it is one."""


class Source(Interface):
    """What a reader of one official format offers."""

    name: str
    root: Path

    def protocols(self) -> dict[str, int]:
        """The names of the protocols that the tree has the files for, with their versions."""

    def annotation_files(self, protocol: str | None = None) -> list[Path]:
        """The files that the scenes, or a protocol, are parsed from."""

    def scenes(self) -> dict[str, tuple[pa.Table, list[str]]]:
        """Per split: the table of scenes and the raw identity labels."""

    def protocol(self, name: str, test: Scenes) -> pa.Table:
        """The table of a protocol."""


class PersonSearchDataset:
    """Scenes, queries and galleries of one dataset. Made by `psbench_data.load`.

    Attributes:
        name: the dataset's name, for example `cuhk_sysu`.
        root: its folder.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name
        self.root = source.root
        self._splits = self._open_scenes()

    def __repr__(self) -> str:
        return f"PersonSearchDataset({self.name} at {self.root}: {self.origin})"

    @property
    def title(self) -> str:
        """The name as printed, for example CUHK-SYSU."""
        return LAYOUTS[self.name][0]

    @property
    def protocols(self) -> tuple[str, ...]:
        """The names that `protocol` takes: those whose files are there."""
        return tuple(self._source.protocols())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the parsed scenes: names, boxes, identities and cameras of both splits.

        Two copies of a dataset have the same fingerprint wherever they lie and however their files were saved.
        """
        sha = hashlib.sha256(self.name.encode())
        for split, scenes in self._splits.items():
            sha.update(f"\0{split}\0".encode())
            sha.update("\0".join(scenes.names).encode())
            for column in (scenes.camera_ids, scenes.offsets, scenes.boxes, scenes.person_ids):
                sha.update(np.ascontiguousarray(column).tobytes())
        return sha.hexdigest()

    @property
    def synthetic(self) -> bool:
        """Whether the tree was written by `psbench-data synthesize`: numbers on it say nothing about the real data."""
        return (self.root / SYNTHETIC_MARKER).is_file()

    @property
    def origin(self) -> str:
        """What the data is, to stand beside every number measured on it."""
        sizes = f"{len(self.split('train'))} train and {len(self.split('test'))} test scenes"
        return f"synthetic people, {sizes}" if self.synthetic else sizes

    def split(self, name: str) -> Scenes:
        """The scenes of `train` or `test`; `test` is the union of what the protocols need.

        Raises:
            InputError: for another name.
        """
        if name not in self._splits:
            raise InputError(f"{self.name} has no split {name!r}. {near_names(name, self._splits)}")
        return self._splits[name]

    def protocol(self, name: str) -> Protocol:
        """A protocol by its name, see `protocols`.

        Raises:
            InputError: the name is unknown or the protocol's file has faults.
        """
        versions = self._source.protocols()
        if name not in versions:
            raise InputError(f"{self.root}: {self.name} has no protocol {name!r} here. {near_names(name, versions)}")
        key = files_digest(self.name, self._source.annotation_files(name))
        test = self.split("test")
        table = cached_table(key, name, lambda: self._source.protocol(name, test))
        return Protocol(
            name,
            table,
            test,
            dataset=self.name,
            fingerprint=self.fingerprint,
            synthetic=self.synthetic,
            version=versions[name],
        )

    def summary(self) -> pd.DataFrame:
        """Counts per split: scenes, boxes, labelled boxes, identities, boxes per scene."""
        import pandas as pd

        rows = {}
        for split, scenes in self._splits.items():
            labelled = scenes.person_ids != UNLABELED
            rows[split] = {
                "scenes": len(scenes),
                "boxes": len(scenes.boxes),
                "labelled boxes": int(labelled.sum()),
                "identities": len(np.unique(scenes.person_ids[labelled])),
                "boxes per scene": round(len(scenes.boxes) / max(len(scenes), 1), 2),
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    def _open_scenes(self) -> dict[str, Scenes]:
        key = files_digest(self.name, self._source.annotation_files())
        parsed: dict[str, tuple[pa.Table, list[str]]] = {}

        def build(split: str) -> pa.Table:
            if not parsed:
                parsed.update(self._source.scenes())
            table, identities = parsed[split]
            return table.replace_schema_metadata({"identities": json.dumps(identities)})

        splits = {}
        for split in ("train", "test"):
            table = cached_table(key, split, partial(build, split))
            identities = json.loads(table.schema.metadata[b"identities"])
            splits[split] = Scenes(table, self.root, identities)
        return splits
