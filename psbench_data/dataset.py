"""PersonSearchDataset: a dataset on disk, whatever its format."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from psbench_data.cache import cached_table, files_digest
from psbench_data.errors import InputError, near_names
from psbench_data.faults import told_as_input_error
from psbench_data.protocol import Protocol
from psbench_data.scenes import UNLABELED, Scenes
from psbench_data.sources.layouts import TITLES
from psbench_data.sources.source import Source, Split

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import pyarrow as pa

SYNTHETIC_MARKER = "synthetic.json"
"""The file by which a tree written by `psbench-data synthesize` says that it is one."""


class PersonSearchDataset:
    """Scenes, queries and galleries of one dataset. Made by `psbench_data.load`.

    Attributes:
        name: the dataset's name, for example `cuhk_sysu`.
        root: its folder.
        fingerprint: SHA-256 of the fingerprints of both splits, see `Scenes.fingerprint`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name
        self.root = source.root
        self._digest = files_digest(f"{source.name} {source.settings}", source.scene_files())
        self._splits = self._open_scenes()
        self._synthetic = (self.root / SYNTHETIC_MARKER).is_file()
        self._protocols: tuple[str, ...] | None = None
        # It stays what it is now, whatever becomes of its files. What is wrong with these need not be known yet.
        with suppress(InputError, OSError):
            self._protocols = self._listed_protocols()
        prints = [scenes.fingerprint for scenes in self._splits.values()]
        self.fingerprint = hashlib.sha256("/".join([self.name, *prints]).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"PersonSearchDataset({self.name} at {self.root}: {self.origin})"

    @property
    def options(self) -> dict[str, int]:
        """Those that it was opened with and that tell it apart from other openings: {"train_subset": 10}."""
        return self._source.options

    @property
    def title(self) -> str:
        """The name as printed, for example CUHK-SYSU."""
        return TITLES[self.name]

    @property
    def protocols(self) -> tuple[str, ...]:
        """The names that `protocol` takes: those whose files are there. (`coco` also takes other gallery sizes.)"""
        if self._protocols is None:
            with told_as_input_error(self.root):
                self._protocols = self._listed_protocols()
        return self._protocols

    def _listed_protocols(self) -> tuple[str, ...]:
        names = tuple(self._source.protocols())
        if not names:
            # Where the files of queries have gone meanwhile, this says so.
            self._source.scene_files()
        return names

    def require_protocols(self) -> tuple[str, ...]:
        """The names of the protocols, of which there must be one.

        Raises:
            InputError: there is none, as in data of one's own in which nobody is in two scenes.
        """
        if not (names := self.protocols):
            raise InputError(
                f"{self.root}: no protocol, as there is nobody to search for. Run `psbench-data doctor {self.root}`: "
                "it says what is missing."
            )
        return names

    @property
    def synthetic(self) -> bool:
        """Whether the tree was written by `psbench-data synthesize`: numbers on it say nothing about the real data."""
        return self._synthetic

    @property
    def restricted(self) -> bool:
        """Whether the data's terms forbid passing it on, see `psbench-data terms`."""
        return self._source.restricted and not self.synthetic

    @property
    def terms_name(self) -> str:
        """The name under which `psbench_data.terms` has the terms of the data; drawn people are free in any format."""
        return "synthetic" if self.synthetic else self._source.terms_name

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
        test = self.split("test")
        with told_as_input_error(self.root):
            version = self._source.protocol_version(name)
            if version is None and name in self.protocols:
                raise InputError(f"{self.root}: the file of the protocol {name!r} was there, and is gone. Put it back.")
            if version is None:
                known = near_names(name, self.protocols)
                raise InputError(f"{self.root}: {self.name} has no protocol {name!r} here. {known}")
            key = files_digest(f"{self._digest} {name} v{version}", self._source.protocol_files(name))
            table = cached_table(key, name, lambda: self._source.protocol(name, test))
        return Protocol(
            name,
            table,
            test,
            dataset=self.name,
            synthetic=self.synthetic,
            version=version,
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

    def to_hf(self, split: str, *, images: bool = True, embed_images: bool = False) -> datasets.Dataset:
        """A split as a Hugging Face dataset in the object-detection layout, see `psbench_data.exporting.hf.to_hf`."""
        from psbench_data.exporting.hf import to_hf

        return to_hf(self, split, images=images, embed_images=embed_images)

    def protocol_summary(self) -> pd.DataFrame:
        """Per protocol: its version, queries, scenes searched a query, true boxes, and queries without any."""
        import pandas as pd

        rows = {}
        for protocol in map(self.protocol, self.protocols):
            least, most = protocol.gallery_sizes.min(), protocol.gallery_sizes.max()
            rows[protocol.name] = {
                "version": protocol.version,
                "queries": len(protocol.queries),
                "scenes searched": f"{least}" if least == most else f"{least}-{most}",
                "true boxes": len(protocol.truth_boxes),
                "without match": len(protocol.unanswerable),
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    def _open_scenes(self) -> dict[str, Scenes]:
        parsed: dict[str, Split] = {}

        def build(split: str) -> pa.Table:
            if not parsed:
                parsed.update(self._source.scenes())
            table, identities = parsed[split].table, parsed[split].identities
            fingerprint = Scenes(table, self._source.image_root).fingerprint
            return table.replace_schema_metadata({"identities": json.dumps(identities), "fingerprint": fingerprint})

        tables = {split: cached_table(self._digest, split, partial(build, split)) for split in ("train", "test")}
        return {
            split: Scenes(table, self._source.image_root, json.loads(table.schema.metadata[b"identities"]))
            for split, table in tables.items()
        }
