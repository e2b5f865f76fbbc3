"""One's own data as COCO-style JSON: detection annotations with a `person_id`. docs/own_data.md shows an example.

<root>/test.json, train.json     images and annotations; the training set may be left out
<root>/<file_name>               the images
<root>/protocols/<name>.parquet  galleries, where `psbench-data export` wrote them; drawn from a seed otherwise
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psbench_data.cache import cached_table, files_digest
from psbench_data.errors import InputError
from psbench_data.faults import Collected
from psbench_data.galleries import by_rule, chosen_queries, drawn
from psbench_data.protocol import Rest
from psbench_data.protocol_files import protocol_version, read_protocol
from psbench_data.scenes import Scenes
from psbench_data.sources.coco_document import PERSON_ID
from psbench_data.sources.coco_file import CocoFile, read_coco
from psbench_data.sources.layouts import TITLES, name_the_test_set
from psbench_data.sources.source import Source, Split

if TYPE_CHECKING:
    import pyarrow as pa

_RULES: dict[str, Rest] = {"regular": "all", "multi-view": "other-cameras", "same-camera": "same-camera"}
_SIZES = (50, 100, 500, 1000, 2000, 4000, 10000)
"""The gallery sizes that are listed; any other can be asked for."""


class Coco(Source):
    """The reader of one's own data.

    Args:
        root: the folder of the JSON files.
        train: the training set's file, relative to root; it may be missing.
        test: the test set's file, relative to root.
        images: the folder that file names are relative to; root if not given.
        person_id: the key of an annotation that says who it is: `track_id`, or `attributes.id` for one within another.
        seed: of the queries and galleries, where the data has none of its own.
    """

    name = "coco"

    def __init__(
        self,
        root: Path,
        *,
        train: str = "train.json",
        test: str = "test.json",
        images: str | Path | None = None,
        person_id: str = PERSON_ID,
        seed: int = 0,
    ) -> None:
        _require_options({"train": train, "test": test, "images": "" if images is None else images}, person_id, seed)
        self._train, self._test = root / train, root / test
        self._images = root / (images or "")
        self._person_id, self._seed = person_id, seed
        self._parsed: dict[Path, CocoFile] = {}
        super().__init__(root)

    def require_root(self) -> None:
        """Check that the file of the test set is there; raises InputError."""
        if not self._test.is_file():
            remedy = name_the_test_set(self.root) or (
                "Give the folder that holds it as root, or its name as the option test."
            )
            raise InputError(f"{self._test}: the test set's COCO JSON is not there. {remedy}")

    @property
    def image_root(self) -> Path:
        """The folder that file names are relative to."""
        return self._images

    @property
    def restricted(self) -> bool:
        """Own data is its owner's; an export of a restricted dataset stays restricted."""
        return self._facts["restricted"]

    @property
    def terms_name(self) -> str:
        """An export of a restricted dataset has that one's terms."""
        exported_from = self._facts["dataset"]
        return exported_from if self.restricted and exported_from in TITLES else self.name

    def protocols(self) -> dict[str, int]:
        """Those that were exported with the data; without any, by rule and of the usual sizes."""
        if files := self._exported:
            return {path.stem: protocol_version(path) for path in files}
        return dict.fromkeys(self._facts["protocols"], 1)

    def protocol_version(self, name: str) -> int | None:
        """Of the exported ones; without any, of the rules and of `gallery-<any size>`."""
        if self._exported:
            return self.protocols().get(name)
        return 1 if name in _RULES or re.fullmatch(r"gallery-[1-9]\d{0,8}", name, re.ASCII) else None

    def scene_files(self) -> list[Path]:
        """The JSON files that are there."""
        return list(self._files().values())[::-1]

    def protocol_files(self, name: str) -> list[Path]:
        """The exported galleries, if there are any."""
        return [path for path in self._exported if path.stem == name]

    @property
    def options(self) -> dict[str, int]:
        """The seed, where it is not the usual one; files and their names are told by the fingerprint."""
        return {"seed": self._seed} if self._seed else {}

    @property
    def settings(self) -> str:
        """The files' names, as the train split may be another file, or none; and who is who in them."""
        named = "" if self._person_id == PERSON_ID else f" people by {self._person_id}"
        return f"{self._test.name} {self._train.name} seed {self._seed}{named}"

    def scenes(self) -> dict[str, Split]:
        """Both splits, in the files' order."""
        splits = {"train": CocoFile().split()}
        with Collected() as faults:
            for split, path in self._files().items():
                with faults.step():
                    splits[split] = self._read(path).split()
                    if split == "test" and not self._read(path).names:
                        raise InputError(f"{path}: images: holds no image. List the pictures to search in.")
        self._remark_what_is_missing()
        return splits

    def usable_scenes(self) -> dict[str, Split]:
        """Of files that have faults the rows without any."""
        splits = {}
        for split, path in self._files().items():
            with suppress(InputError):
                splits[split] = self._parse(path).split()
        return splits

    def protocol(self, name: str, test: Scenes) -> pa.Table:
        """Exported galleries as they are; else the data's own queries, or chosen ones, with galleries made here."""
        if files := self.protocol_files(name):
            return read_protocol(files[0], test)
        data = self._read(self._test)
        queries = data.queries() or chosen_queries(test, self._seed)
        if not len(queries.scenes):
            if data.nobody:
                raise InputError("{}: annotations: {}. {}".format(self._test, *data.nobody))
            raise InputError(
                f"{self._test}: no person is in two scenes, so there is nothing to search for. Give all annotations of "
                f"one person the same {self._person_id}, or name the key that has it with the option person_id."
            )
        if name.startswith("gallery-"):
            size = int(name.removeprefix("gallery-"))
            if size >= len(test):
                raise InputError(
                    f"{self._test}: a gallery of {size} scenes needs {size + 1} test scenes, and there are "
                    f"{len(test)}. Ask for a smaller one."
                )
            return drawn(test, queries, size, self._seed)
        if _RULES[name] != "all" and (test.camera_ids < 0).any():
            raise InputError(f"{self._test}: {name} needs to know cameras. Give every image a camera_id.")
        return by_rule(test, queries, _RULES[name])

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What else is asked of the test set's file; kept beside its scenes, as a large one takes minutes to parse."""

        def build() -> pa.Table:
            import pyarrow as pa

            data = self._read(self._test)
            rules = [name for name, rule in _RULES.items() if rule == "all" or data.has_cameras]
            names = [*rules, *(f"gallery-{size}" for size in _SIZES if size < len(data.names))]
            facts = {
                "protocols": names if data.has_queries else [],
                "dataset": data.dataset,
                "restricted": data.restricted,
            }
            return pa.table({"facts": [json.dumps(facts)]})

        key = files_digest(f"{self.name} {self.settings} facts", [self._test])
        return json.loads(cached_table(key, "facts", build).column("facts")[0].as_py())

    @cached_property
    def _exported(self) -> list[Path]:
        # Once: where they went meanwhile, nothing else must stand in for them.
        return sorted((self.root / "protocols").glob("[!.]*.parquet"), key=_by_number)

    def _files(self) -> dict[str, Path]:
        """The files that are there, by split; train may be left out."""
        return {"train": self._train, "test": self._test} if self._train.is_file() else {"test": self._test}

    def _read(self, path: Path) -> CocoFile:
        return self._parse(path).require_sound()

    def _parse(self, path: Path) -> CocoFile:
        if path not in self._parsed:
            self._parsed[path] = read_coco(path, self.remark, self._person_id)
        return self._parsed[path]

    def _remark_what_is_missing(self) -> None:
        """Note people who cannot be learned, and cameras of which only some are known."""
        # Of the test set it is an error of every protocol.
        if self._train.is_file() and (nobody := self._read(self._train).nobody):
            self.remark(self._train, "annotations", *nobody)
        cameras = self._read(self._test).camera_ids
        if 0 < (unknown := cameras.count(None)) < len(cameras) and not self._exported:
            names = " and ".join(name for name, rule in _RULES.items() if rule != "all")
            what = f"{unknown:,} of {len(cameras):,} have no camera_id, so {names} are left out"
            self.remark(self._test, "images", what, "Give every image a camera_id.")


def _require_options(names: dict[str, object], person_id: object, seed: object) -> None:
    faults = [
        f"coco: {option} is {value!r}, expected the name of a file or folder."
        for option, value in names.items()
        if not isinstance(value, str | Path)
    ]
    if not isinstance(person_id, str) or not all(person_id.split(".")):
        faults.append(f"coco: person_id is {person_id!r}, expected a key of the annotations, such as track_id.")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**64:
        faults.append(f"coco: seed is {seed!r}, expected a whole number from 0 to 2**64 - 1.")
    if faults:
        raise InputError(faults)


def _by_number(path: Path) -> tuple[str, int, str]:
    """gallery-50 before gallery-100."""
    words, number = re.fullmatch(r"(.*?)(\d{0,9})", path.stem, re.ASCII | re.DOTALL).groups()  # type: ignore[union-attr]
    return words, int(number or 0), path.stem
