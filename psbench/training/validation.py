"""What the model that is being trained reaches on a protocol."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast

from psbench.evaluation import evaluate
from psbench.inference import predict_into
from psbench.predictions import Predictions
from psbench.processes import from_main, main_process_first, this_process
from psbench.training.run import Validation
from psbench.zoo import ZooModel
from psbench_data import InputError, PersonSearchDataset


@dataclasses.dataclass(frozen=True)
class Validator:
    """Measures on a protocol of a dataset, after every so many epochs and after the last.

    Attributes:
        dataset: its test split is predicted.
        protocol: a name of `dataset.protocols`.
        every: epochs; None measures after the last alone.
    """

    dataset: PersonSearchDataset
    protocol: str
    every: int | None

    @staticmethod
    def of(dataset: PersonSearchDataset, protocol: str | None, every: int | None) -> Validator | None:
        """What the arguments of `train` ask for; checked now, so that no slip is found after an epoch.

        Raises:
            InputError: the protocol is unknown, not named, or has nothing to find; `every` is not positive; test images
                are missing.
        """
        if protocol is None:
            if every is not None:
                raise InputError(f"validate_every={every} needs validate_on: one of {', '.join(dataset.protocols)}.")
            return None
        if every is not None and every < 1:
            raise InputError(f"validate_every is {every}, expected a number of epochs from 1.")
        task = dataset.protocol(protocol)
        if len(task.unanswerable) == len(task.queries):
            raise InputError(
                f"validate_on={protocol}: none of its queries has a match, so there is nothing to measure."
            )
        dataset.split("test").require_images()
        return Validator(dataset, protocol, every)

    def is_due(self, epoch: int, epochs: int) -> bool:
        """Whether to measure after so many of all epochs."""
        return epoch == epochs or (self.every is not None and epoch % self.every == 0)

    def measure(self, model: ZooModel, folder: Path, epoch: int, step: int, *, workers: int) -> Validation:
        """Predict in all processes, into a folder for the time being; evaluate in the main one; all have the result."""
        # Batch norm's running statistics have moved in each process by itself since the last step began.
        for buffer in model.buffers():
            buffer.copy_(broadcast(buffer))
        # What an interruption left there was another model's.
        with main_process_first():
            if this_process().is_main_process:
                shutil.rmtree(folder, ignore_errors=True)
        predict_into(model, self.dataset, folder, protocols=[self.protocol], workers=workers, progress=False)
        result: Any = from_main(self._result(folder, epoch, step) if this_process().is_main_process else None)
        return result

    def _result(self, folder: Path, epoch: int, step: int) -> Validation:
        found = evaluate(Predictions.load(folder), self.dataset.protocol(self.protocol))
        shutil.rmtree(folder)
        return Validation(
            epoch=epoch,
            step=step,
            protocol=self.protocol,
            map=found.map,
            top1=found.top(1),
            detection_recall=found.detection.recall,
            detection_ap=found.detection.ap,
        )
