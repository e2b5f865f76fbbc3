"""A method's card: what stands beside its numbers, written by whoever submits them, in TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from psbench_data import InputError
from psbench_data.validation import file_error

_CHECKED = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
MOST_BYTES = 65_536
"""Of a card's file."""

Family = Literal[
    "two_step", "one_step_two_stage", "one_step_one_stage", "one_step_transformer", "query_conditioned", "other"
]
"""How a method goes about it: a detector and a re-ID network apart; both in one, with RoIs, without, or with
queries of a transformer; looking at a scene with the query in mind."""
Supervision = Literal["full", "weak", "domain_adaptation"]
"""Of training: boxes and identities; boxes alone; none in this domain. Each has rankings of its own."""


def _plain(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"expected a single line of printable characters, found {ascii(text)[:60]}")
    return text


def _address(text: str) -> str:
    if text and not text.startswith(("https://", "http://")):
        raise ValueError("expected an address that begins with https://, or nothing")
    if any(character in " \"'<>\\^`{|}" for character in text):
        raise ValueError("expected an address without blanks, quotes, brackets and braces")
    return text


LONGEST_LINE = 200
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_LINE), AfterValidator(_plain)]
"""One line of text; may be empty."""
Named = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), AfterValidator(_plain)]
Address = Annotated[Line, AfterValidator(_address)]
"""https://..., or empty."""


class Method(BaseModel):
    """What was submitted.

    Attributes:
        name: as the board shows it.
        family, supervision: see there.
        paper, code: addresses.
        venue: where it was published, for example "CVPR 2020"; empty if nowhere yet.
        backbone: for example "ResNet-50".
        training_data: of the last training, for example "CUHK-SYSU train".
        extra_data: what else was learnt from, ImageNet weights among it.
        input_size: that images are resized to, for example "900x1500".
        notes: what readers should know.
    """

    model_config = _CHECKED

    name: Named
    family: Family
    supervision: Supervision
    paper: Address = ""
    code: Address = ""
    venue: Line = ""
    backbone: Named
    training_data: Named
    extra_data: Line = ""
    input_size: Named
    notes: Line = ""


class Rules(BaseModel):
    """How the predictions are evaluated, as far as that is the method's to choose.

    Attributes:
        det_threshold: detections with lower scores are left out; 0.5 if not given. Not of pairwise predictions.
        cbgm_k1, cbgm_k2: of context bipartite graph matching; both or neither.
        keep: proposals of a query that are kept over its gallery, of pairwise predictions; all if not given.
        protocols: of pairwise predictions, those whose galleries were searched; all of the dataset if not given. Other
            predictions serve them all.
    """

    model_config = _CHECKED

    det_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    cbgm_k1: Annotated[int, Field(ge=1, le=10_000)] | None = None
    cbgm_k2: Annotated[int, Field(ge=1, le=10_000)] | None = None
    keep: Annotated[int, Field(ge=1, lt=2**53)] | None = None
    protocols: Annotated[tuple[Named, ...], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _both_or_neither(self) -> Rules:
        if (self.cbgm_k1 is None) != (self.cbgm_k2 is None):
            raise ValueError("cbgm_k1 and cbgm_k2 belong together: give both or neither")
        return self


class Submitter(BaseModel):
    """Who submits, as the board shows it; an address where they can be reached, or nothing."""

    model_config = _CHECKED

    name: Named
    address: Address = ""


class Training(BaseModel):
    """What made the weights.

    Attributes:
        hardware: for example "1 x NVIDIA V100".
        seeds: one a predictions folder, in their order.
        predictions: where others can fetch the predictions, to recompute the numbers.
    """

    model_config = _CHECKED

    hardware: Line = ""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], Field(min_length=1, max_length=100)]
    predictions: Address = ""


class Card(BaseModel):
    """See the module."""

    model_config = _CHECKED

    method: Method
    training: Training
    rules: Rules = Rules()
    submitter: Submitter

    @classmethod
    def load(cls, path: str | Path) -> Card:
        """Read a card.

        Raises:
            InputError: it cannot be read, or listing everything that is wrong with it.
        """
        path, remedy = Path(path), "`psbench card new` writes a card that explains each line."
        try:
            with path.open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
            values = tomllib.loads(raw.decode()) if len(raw) <= MOST_BYTES else None
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}. {remedy}") from None
        # Among them what the parser says of text that is not UTF-8, and of numbers of thousands of digits.
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: not a TOML file ({error}). {remedy}") from None
        if values is None:
            raise InputError(f"{path}: longer than {MOST_BYTES} bytes, which no card is. {remedy}")
        faults = [f"{path}: {left}" for left in _left(values)]
        try:
            card = cls.model_validate(values)
        except ValidationError as error:
            raise InputError([*faults, *file_error(path, error, remedy).faults]) from None
        if faults:
            raise InputError(faults)
        return card


def _left(values: Mapping[str, Any]) -> Iterator[str]:
    """What of a card is the template's, although it says who or what the method is."""
    for section, lines in tomllib.loads(TEMPLATE).items():
        given = values.get(section)
        for name, placeholder in lines.items():
            if str(placeholder).startswith("My ") and isinstance(given, dict) and given.get(name) == placeholder:
                yield f"{section}.{name}: still the template's {placeholder!r}. Fill it in."


TEMPLATE = """# A method's card. Replace what is in quotation marks; lines that begin with # explain.
# What begins with "My" must be filled in.

[method]
# As the board shows it.
name = "My method"
# two_step, one_step_two_stage, one_step_one_stage, one_step_transformer, query_conditioned, or other.
family = "one_step_two_stage"
# full (boxes and identities), weak (boxes alone) or domain_adaptation: each has rankings of its own.
supervision = "full"
# Addresses that begin with https://, or "".
paper = ""
code = ""
# For example "CVPR 2020".
venue = ""
# For example "ResNet-50".
backbone = "My backbone"
# Of the last training, for example "CUHK-SYSU train".
training_data = "My training data"
# What else was learnt from, for example "ImageNet-1k (weights of the backbone)"; or "".
extra_data = "My further data"
# Height x width that images are resized to, for example "900x1500".
input_size = "My input size"
notes = ""

[training]
# For example "1 x NVIDIA V100"; or "".
hardware = "My hardware"
# One for each predictions folder, in their order; with several the board shows mean and standard deviation.
seeds = [1]
# Where others can fetch the predictions, to recompute the numbers; or "".
predictions = ""

[rules]
# Detections with lower scores are left out; 0.5 without this line.
# det_threshold = 0.5
# Context bipartite graph matching: both lines, or none.
# cbgm_k1 = 10
# cbgm_k2 = 3
# Of pairwise predictions: proposals of each query that are kept over its whole gallery; all without this line.
# keep = 100
# Of pairwise predictions: the protocols whose galleries were searched; all of the dataset without this line.
# protocols = ["gallery-100"]

[submitter]
name = "My name, or my group's"
# Where you can be reached, https://..., or "".
address = ""
"""
"""What `psbench card new` writes; a card once the lines that begin with "My" are filled in."""
