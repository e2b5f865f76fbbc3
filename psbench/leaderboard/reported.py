"""What papers report, as `leaderboards/published.csv` holds it: one number pair a row, with where it was read."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from psbench.leaderboard.card import Address, Family, Line, Named, Supervision
from psbench.leaderboard.entry import board_of
from psbench_data import InputError
from psbench_data.validation import file_error

_REMEDY = "Mend the row; `psbench.leaderboard.reported` says what each column holds."
SourceKind = Literal[
    "paper",
    "official_repo",
    "secondary_table",
    "reimplementation",
    "digitised",
    "archive",
    "third_party",
    "issue",
]
"""Where it was read: in the method's own paper or repository; in somebody else's table; of somebody else's run; off
a picture; in an archive of papers; on a third party's page; in an issue."""
WEAK = frozenset(get_args(SourceKind)) - {"paper", "official_repo"}
"""Evidence that is weak: not what the method's own authors printed."""
PostProcessing = Literal["none", "cbgm", "rescoring", "gfn", "acae", "gt_boxes", "unspecified"]
Protocol = Literal[
    "cuhk-gallery",
    "prw-full",
    "prw-full-gtboxes",
    "prw-mini",
    "prw-multiview",
    "lsps-blurred",
    "movienet-n10",
    "movienet-n30",
    "movienet-n50",
    "movienet-n70",
    "movienet-n100",
]
_DATASETS = {"cuhk": "CUHK-SYSU", "prw": "PRW", "lsps": "LSPS", "movienet": "MovieNet-CS"}
_PLACES = {
    "prw-full": ("prw", "regular"),
    "prw-mini": ("prw", "mini"),
    "prw-multiview": ("prw", "multi-view"),
    "lsps-blurred": ("lsps", "regular"),
}


def _nothing_if_empty(value: object) -> object:
    return None if value == "" else value


Percent = Annotated[Decimal, Field(ge=0, le=100, allow_inf_nan=False)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class Reported(BaseModel):
    """A row: what one source says of one method under one protocol.

    Attributes:
        dataset, protocol, gallery_size: `cuhk-gallery` with 50 to 4000 scenes; `prw-full`, the same with annotated
            boxes for detections (`prw-full-gtboxes`), with the 30 queries of QEEPS (`prw-mini`) or scenes of other
            cameras alone (`prw-multiview`); `lsps-blurred`, "full"; `movienet-nN`, trained on at most N appearances.
        method: as printed; `method_key` and `variant` tell methods and their variants apart.
        backbone, family: empty where they were not told.
        supervision: of training; see `Card`.
        post_processing: of the similarities.
        map, top1: percent, exactly as printed; None where not printed.
        venue, year: of publication.
        code: address of the repository.
        source, address: where it was read, in words, and an address where that is certain.
        source_kind: what kind of source this is.
        weak: whether that is weak evidence.
        preferred: the one row of a variant that the boards show; the others are kept as evidence.
        notes: what readers should know.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: Literal["CUHK-SYSU", "PRW", "LSPS", "MovieNet-CS"]
    protocol: Protocol
    gallery_size: Annotated[str, Field(pattern=r"^(full|[1-9][0-9]{0,8})$")]
    method: Named
    method_key: Slug
    variant: Slug
    backbone: Line
    family: Family | Literal[""]
    supervision: Supervision
    post_processing: PostProcessing
    map: Annotated[Percent | None, BeforeValidator(_nothing_if_empty)]
    top1: Annotated[Percent | None, BeforeValidator(_nothing_if_empty)]
    venue: Line
    year: Annotated[Annotated[int, Field(ge=1990, le=2100)] | None, BeforeValidator(_nothing_if_empty)]
    code: Address
    source: Annotated[Line, Field(min_length=1)]
    address: Address
    source_kind: SourceKind
    weak: bool
    preferred: bool
    notes: Line

    @model_validator(mode="after")
    def _fits_together(self) -> Reported:
        if self.map is None and self.top1 is None:
            raise ValueError("expected mAP or top-1, found neither")
        if self.weak != (self.source_kind in WEAK):
            raise ValueError(f"expected weak = {int(not self.weak)}, as the source is of kind {self.source_kind}")
        if self.dataset != (expected := _DATASETS[self.protocol.partition("-")[0]]):
            raise ValueError(f"{self.protocol} is a protocol of {expected}, not of {self.dataset}")
        if self.gallery_size == "full" and self.place is not None and self.place[1].startswith("gallery-"):
            raise ValueError("expected the number of scenes in a gallery, found 'full'")
        return self

    @property
    def place(self) -> tuple[str, str] | None:
        """Board and protocol; None for annotated boxes, which are no search."""
        if self.protocol == "cuhk-gallery":
            return "cuhk_sysu", f"gallery-{self.gallery_size}"
        if self.protocol.startswith("movienet-n"):
            subset = int(self.protocol.removeprefix("movienet-n"))
            return board_of("movienet_cs", {"train_subset": subset}, synthetic=False), f"gallery-{self.gallery_size}"
        return _PLACES.get(self.protocol)

    @property
    def identity(self) -> tuple[str, ...]:
        """What rows share that speak of the same number."""
        return (self.dataset, self.protocol, self.gallery_size, *self.variant_key, self.supervision)

    @property
    def variant_key(self) -> tuple[str, str, str]:
        """Which variant of which method, and what was done with its similarities."""
        return self.method_key, self.variant, self.post_processing

    @property
    def venue_and_year(self) -> str:
        """As in "CVPR 2021"; what of it is told."""
        return f"{self.venue} {self.year or ''}".strip()


COLUMNS = tuple(Reported.model_fields)


def read(path: Path) -> list[Reported]:
    """Read published numbers.

    Args:
        path: of the file; UTF-8, comma separated, with the columns of `Reported`.

    Raises:
        InputError: it cannot be read, or listing everything that is wrong with it by line.
    """
    rows: list[tuple[int, Reported]] = []
    faults: list[str] = []
    for number, values in _lines(path):
        if len(values) != len(COLUMNS):
            found = f"expected {len(COLUMNS)} values, found {len(values)}"
            faults.append(f"{path}, line {number}: {found}. Put a value that holds a comma in quotation marks.")
            continue
        try:
            rows.append((number, Reported.model_validate(dict(zip(COLUMNS, values, strict=True)))))
        except ValidationError as error:
            faults += file_error(f"{path}, line {number}", error, _REMEDY).faults
    if faults := faults + _repeated(path, rows):
        raise InputError(faults)
    return [row for _, row in rows]


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line by line, with its number, without the head."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = csv.reader(stream, strict=True)
            if (head := next(lines, [])) != list(COLUMNS):
                raise InputError(f"{path}, line 1: expected the columns {', '.join(COLUMNS)}; found {', '.join(head)}.")
            for values in lines:
                yield lines.line_num, values
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. Give the file of published numbers.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a table of comma-separated values in UTF-8 ({error}). Save it as one.") from None


def _repeated(path: Path, rows: list[tuple[int, Reported]]) -> list[str]:
    """Rows that say again what another says, and variants of which two rows are preferred."""
    said: dict[tuple[object, ...], int] = {}
    shown: dict[tuple[str, ...], int] = {}
    faults = []
    for number, row in rows:
        first = said.setdefault((row.identity, row.source, row.map, row.top1), number)
        if first != number:
            faults.append(f"{path}, line {number}: repeats line {first}. Remove one of them.")
        if row.preferred and (other := shown.setdefault(row.identity, number)) != number:
            faults.append(f"{path}, line {number}: preferred, as is line {other} of the same variant. Prefer one.")
    return faults
