"""What a training tells of itself while it runs: the log files, a progress bar, and trackers that were asked for."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from accelerate.utils import LoggerType
from tqdm import tqdm

from psbench.training.checkpoints import Position
from psbench.training.run import METRICS_FILE, VALIDATION_FILE, Plan, Validation
from psbench_data.atomic import naming
from psbench_data.errors import InputError, near_names

_LOGS = (METRICS_FILE, VALIDATION_FILE)


class Journal:
    """The log of one training; only the main process writes and shows anything.

    Attributes:
        seconds: of training so far; the time of validations and of interruptions is not counted.
    """

    def __init__(
        self,
        folder: Path,
        accelerator: Accelerator,
        plan: Plan,
        position: Position,
        *,
        epochs: int,
        steps_per_epoch: int,
        progress: bool = True,
    ) -> None:
        """Open the logs; where a training goes on, without the lines that were logged after its checkpoint.

        Args:
            folder: the run's.
            accelerator: with the trackers, if any.
            plan: of the training.
            position: where it stands.
            epochs, steps_per_epoch: its length.
            progress: whether to show a bar.
        """
        self._folder, self._accelerator = folder, accelerator
        self._images, self._epochs, self._per_epoch = plan.batches.images_per_step, epochs, steps_per_epoch
        self.seconds = position.seconds
        main = accelerator.is_main_process
        if main:
            for name in _LOGS:
                _cut(folder / name, position.log_bytes.get(name, 0))
        self._metrics = (folder / METRICS_FILE).open("a", encoding="utf-8", buffering=1) if main else None
        if accelerator.log_with:
            accelerator.init_trackers("psbench", _flat(plan.recipe))
        self._bar = tqdm(
            total=epochs * steps_per_epoch * self._images,
            initial=position.step * self._images,
            unit="image",
            # What does not fit the line is cut off, the single losses first.
            dynamic_ncols=True,
            # In a file, each update is another line.
            mininterval=0.1 if sys.stderr.isatty() else 30,
            disable=not (progress and main),
        )
        self._last = time.perf_counter()

    def start_clock(self) -> None:
        """Time that passed since the last step is not training."""
        self._last = time.perf_counter()

    def step(self, step: int, lr: float, gradient_norm: float, losses: dict[str, float]) -> None:
        """Log a step."""
        now = time.perf_counter()
        taken, self._last = now - self._last, now
        self.seconds += taken
        epoch, loss = step // self._per_epoch, sum(losses.values())
        line = {
            "step": step,
            "epoch": epoch,
            "lr": lr,
            # JSON has no infinity; fp16's gradients do.
            "gradient_norm": gradient_norm if math.isfinite(gradient_norm) else None,
            "loss": loss,
            **losses,
            "images_per_second": round(self._images / taken, 3),
            "seconds": round(self.seconds, 3),
        }
        if self._metrics is not None:
            with naming(self._folder / METRICS_FILE):
                self._metrics.write(json.dumps(line) + "\n")
        self._track(line, step)
        self._bar.set_description(f"epoch {epoch + 1} of {self._epochs}", refresh=False)
        memory = f"{peak_memory(self._accelerator.device) / 2**30:.1f} GiB"
        each = {name.replace("loss_", ""): f"{value:.2g}" for name, value in losses.items()}
        self._bar.set_postfix({"memory": memory, "lr": f"{lr:.2g}", "loss": f"{loss:.3g}"} | each, refresh=False)
        self._bar.update(self._images)

    def validation(self, result: Validation) -> None:
        """Log a validation."""
        if self._accelerator.is_main_process:
            path = self._folder / VALIDATION_FILE
            with naming(path), path.open("a", encoding="utf-8") as file:
                file.write(result.model_dump_json() + "\n")
        measured = result.model_dump(exclude={"epoch", "step", "protocol"})
        self._track({f"{result.protocol}/{name}": value for name, value in measured.items()}, result.step)
        if not self._bar.disable:
            self._bar.write(
                f"after epoch {result.epoch}, {result.protocol}: mAP {result.map:.1%}, top-1 {result.top1:.1%}, "
                f"recall {result.detection_recall:.1%}"
            )

    def log_bytes(self) -> dict[str, int]:
        """How long each log is, written to the disk.

        Raises:
            InputError: somebody removed the log, as happens with its folder: what follows could not be trusted.
        """
        if self._metrics is not None:
            path = self._folder / METRICS_FILE
            with naming(path):
                self._metrics.flush()
                os.fsync(self._metrics.fileno())
            if not os.fstat(self._metrics.fileno()).st_nlink:
                raise InputError(f"{path}: was removed while training wrote it. Train again in a folder that stays.")
        return {name: path.stat().st_size for name in _LOGS if (path := self._folder / name).is_file()}

    def close(self) -> None:
        """End the logs."""
        self._bar.close()
        if self._metrics is not None:
            with naming(self._folder / METRICS_FILE):
                self._metrics.close()
        for tracker in self._accelerator.trackers:
            tracker.finish()

    def _track(self, values: dict[str, Any], step: int) -> None:
        if self._accelerator.trackers:
            self._accelerator.log(values, step=step)


def require_trackers(names: Sequence[str]) -> None:
    """Check that trackers can be used.

    Raises:
        InputError: naming every one that accelerate does not know or that is not installed.
    """
    known = list(LOGGER_TYPE_TO_CLASS)
    absent = {str(tracker) for tracker in LoggerType} - {str(tracker) for tracker in get_available_trackers()}
    faults = [f"there is no tracker {name!r}. {near_names(name, known)}" for name in names if name not in known]
    faults += [
        f"the tracker {name} is not installed. `pip install {name}`, or leave it: {METRICS_FILE} has all values."
        for name in names
        if name in absent
    ]
    if faults:
        raise InputError(faults)


def reset_peak_memory(device: torch.device) -> None:
    """Begin to look for the most anew, which only a GPU's memory allows."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Bytes that were in use at most: of the GPU by this process, or without one of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB.
    return most if sys.platform == "darwin" else most * 1024


def _cut(path: Path, size: int) -> None:
    """Keep so many bytes of a log, or the whole lines of a shorter one."""
    if path.is_file():
        with path.open("r+b") as file:
            # No room is made for more than there is.
            kept = file.read(min(size, path.stat().st_size))
            file.truncate(kept.rfind(b"\n") + 1)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted name, of the kinds that trackers take."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, int | float | str | bool) else json.dumps(value)
    return flat
