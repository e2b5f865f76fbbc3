"""The course of a training as its run folder has it: the losses of every step, the validations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from psbench.training.run import METRICS_FILE, VALIDATION_FILE, Validation
from psbench_data import InputError
from psbench_data.validation import file_error

if TYPE_CHECKING:
    import pandas as pd

Line = TypeVar("Line", bound=BaseModel)


class Step(BaseModel):
    """A line of metrics.jsonl; besides these, each of the model's losses by its name.

    Attributes:
        step, epoch: from 0.
        lr: at this step.
        gradient_norm: before clipping; none where it overflowed.
        loss: the sum of the losses.
        images_per_second: of all processes together.
        seconds: since the training's start.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    step: int
    epoch: int
    lr: float
    gradient_norm: float | None
    loss: float
    images_per_second: float
    seconds: float


def read_steps(folder: Path) -> pd.DataFrame:
    """One row a step, the columns those of `Step` and one a loss; no row where nothing was logged.

    Raises:
        InputError: listing every damaged line of metrics.jsonl.
    """
    import pandas as pd

    rows = [line.model_dump() for line in _lines(folder / METRICS_FILE, Step)]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(Step.model_fields))


def read_validations(folder: Path) -> list[Validation]:
    """The validations in order; none where nothing was validated.

    Raises:
        InputError: listing every damaged line of validation.jsonl.
    """
    return _lines(folder / VALIDATION_FILE, Validation)


def _lines(path: Path, kind: type[Line]) -> list[Line]:
    if not path.is_file():
        return []
    lines, faults = [], []
    for number, text in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            lines.append(kind.model_validate_json(text))
        except ValidationError as error:
            faults += file_error(f"{path}, line {number}", error, "Mend the line, or remove it.").faults
    if faults:
        raise InputError(faults)
    return lines
