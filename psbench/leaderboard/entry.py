"""An entry: what was measured of a method's predictions on one dataset, never typed, and told apart from what was.

A file of JSON in one form alone, so that a changed byte is a changed entry:

leaderboards/entries/prw/my-method.json          of PRW
leaderboards/entries/prw-synthetic/seqnet.json   of drawn people in PRW's format
leaderboards/entries/movienet_cs-train_subset-10/seqnet.json
                                                 of a dataset opened with an option
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from psbench.leaderboard.card import Card, Line, Named
from psbench_data import InputError
from psbench_data.atomic import new_file
from psbench_data.names import is_device
from psbench_data.validation import file_error

_CHECKED = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
_REMEDY = "Entries are made by `psbench submit`, and never by hand."
_MOST_BYTES = 2**24


def _date(text: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        raise ValueError("expected YYYY-MM-DD")
    return datetime.date.fromisoformat(text).isoformat()


Date = Annotated[str, AfterValidator(_date)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Interval = tuple[Share, Share] | None
"""Of 95 %; None with fewer than two identities."""


class Result(BaseModel):
    """Of one run under one protocol: shares in [0, 1], at full precision.

    Attributes:
        version, digest: of the protocol.
        gallery_size: the most scenes that are searched for a query.
        queries, skipped: all, and of these how many have nobody to be found.
        map, top1, top5, top10: None where every query is skipped.
        map_interval, top1_interval: see `Interval`.
    """

    model_config = _CHECKED

    version: Annotated[int, Field(ge=1)]
    digest: Sha256
    gallery_size: Count
    queries: Count
    skipped: Count
    map: Share | None
    top1: Share | None
    top5: Share | None
    top10: Share | None
    map_interval: Interval
    top1_interval: Interval


class Detection(BaseModel):
    """Of one run over all test scenes."""

    model_config = _CHECKED

    recall: Share
    ap: Share


class Run(BaseModel):
    """What was measured of one predictions folder.

    Attributes:
        seed: of the training, as the card says.
        kind: of the predictions.
        manifest: SHA-256 of manifest.json, which holds those of all other files.
        results: by protocol.
        detection: None of pairwise predictions.
        review: what a maintainer has to look at before the entry is taken, in words.
    """

    model_config = _CHECKED

    seed: Count
    kind: Literal["detections", "pairwise"]
    manifest: Sha256
    results: dict[Named, Result]
    detection: Detection | None
    review: tuple[Line, ...] = ()


class Entry(BaseModel):
    """A method on one dataset.

    Attributes:
        schema_version: 1.
        dataset: a name of `psbench_data.available()`.
        options: that it was opened with, for example {"train_subset": 10}.
        synthetic: whether it was drawn by psbench.
        fingerprint: of its annotations.
        card: see there.
        runs: one a seed.
        psbench: the version that measured them.
        date: of the submission, YYYY-MM-DD.
        digest: SHA-256 of all the rest in its one form; empty until `sealed`.
    """

    model_config = _CHECKED

    schema_version: Literal[1] = 1
    dataset: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
    options: dict[Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")], Annotated[int, Field(ge=0, lt=2**63)]] = {}
    synthetic: bool
    fingerprint: Sha256
    card: Card
    runs: Annotated[tuple[Run, ...], Field(min_length=1)]
    psbench: Named
    date: Date
    digest: Sha256 | Literal[""] = ""

    @property
    def board(self) -> str:
        """The folder that it belongs into."""
        return board_of(self.dataset, self.options, synthetic=self.synthetic)

    @property
    def file_name(self) -> str:
        """Made of the method's name."""
        return file_name_of(self.card.method.name)

    def sealed(self) -> Entry:
        """The same with its digest."""
        return self.model_copy(update={"digest": self._digest()})

    def to_bytes(self) -> bytes:
        """Its one form."""
        return _form(self.model_dump(mode="json"))

    def write(self, path: Path) -> None:
        """Write it, whole or not at all; it is sealed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path) as partial:
            partial.write_bytes(self.to_bytes())

    def _digest(self) -> str:
        return hashlib.sha256(_form(self.model_dump(mode="json") | {"digest": ""})).hexdigest()

    @classmethod
    def load(cls, path: str | Path) -> Entry:
        """Read an entry that nobody has changed.

        Raises:
            InputError: it cannot be read, is no entry, or not as `psbench submit` wrote it; listing what is wrong.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                raw = file.read(_MOST_BYTES)
            entry = cls.model_validate_json(raw)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}. Give the file of an entry.") from None
        except ValidationError as error:
            raise file_error(path, error, _REMEDY) from None
        if entry.digest != entry._digest() or entry.to_bytes() != raw:
            raise InputError(
                f"{path}: changed since it was written: its digest says {entry.digest[:12] or 'nothing'}, its contents "
                f"are {entry._digest()[:12]}. {_REMEDY}"
            )
        return entry


def board_of(dataset: str, options: Mapping[str, Any], *, synthetic: bool) -> str:
    """The name of a dataset's folder of entries."""
    parts = [dataset, *(f"{name}-{value}" for name, value in sorted(options.items()))]
    return slug("-".join([*parts, "synthetic"] if synthetic else parts), keep="_")


def file_name_of(method: str) -> str:
    """Of the entry of a method, by its name."""
    name = slug(method)
    return f"{name}-method.json" if is_device(name) else f"{name}.json"


def slug(name: str, *, keep: str = "") -> str:
    """A name as a file's: a-z, 0-9 and single dashes; "method" if nothing is left."""
    return re.sub(rf"[^a-z0-9{keep}]+", "-", name.lower().replace("+", "-plus")).strip("-")[:60].rstrip("-") or "method"


def _form(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
