"""The run folder: what a training leaves on disk, and how a model comes back from it.

run.json            recipe, data, versions, number of steps
metrics.jsonl       the losses, one line a step
model.safetensors   the weights, see `psbench.zoo.weights`; without the identity tables that only training needs
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from psbench.training.recipe import Recipe
from psbench_data import InputError
from psbench_data.validation import file_error

if TYPE_CHECKING:
    from psbench.zoo import ZooModel

RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"


class RunRecord(BaseModel):
    """What run.json holds."""

    model_config = ConfigDict(extra="forbid")

    recipe: dict[str, Any]
    recipe_digest: str
    dataset: str
    fingerprint: str
    synthetic: bool
    num_identities: int
    steps: int
    seconds: float
    hardware: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        folder: where it lies.
        record: the contents of run.json.
    """

    folder: Path
    record: RunRecord

    @property
    def recipe(self) -> Recipe:
        """What was trained."""
        return Recipe.from_dict(self.record.recipe, source=str(self.folder / RUN_FILE))

    @staticmethod
    def load(folder: str | Path) -> Run:
        """Open a run folder.

        Raises:
            InputError: it is not the folder of a finished run.
        """
        path = Path(folder) / RUN_FILE
        if not path.is_file():
            raise InputError(
                f"{path}: not there, so {folder} is not a finished run. Give a folder that `psbench train` made."
            )
        try:
            return Run(Path(folder), RunRecord.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            raise file_error(path, error, "Train again.") from None

    def model(self) -> ZooModel:
        """The trained model, in evaluation mode, on the CPU.

        Raises:
            InputError: the weights are missing, damaged, or not of this run's model and dataset.
        """
        from psbench.zoo.weights import WEIGHTS_FILE, load_weights

        return load_weights(self.folder / WEIGHTS_FILE, model=self.recipe.model, dataset=self.record.dataset)
