"""Where a training stands, on disk: what an interrupted one goes on from as if nothing had happened.

checkpoints/step-00004500/
  position.json          the step and everything else that is no tensor
  model.safetensors      the whole state, identity tables included; another training can start from it
  optimizer.safetensors  PARAMETER.momentum_buffer, ...
  average.safetensors    the moving average, if the recipe keeps one
  random.safetensors     the random generators' states, (processes, n) bytes

A checkpoint appears whole or not at all, and nothing in it is code.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Annotated, Any

import torch
from accelerate import PartialState
from accelerate.utils import gather
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from psbench.training.run import CHECKPOINTS, Validation
from psbench.zoo import ZooModel
from psbench.zoo.weights import WEIGHTS_FILE, WeightsInfo, save_weights, write_tensors
from psbench_data import InputError
from psbench_data.atomic import new_file, new_folder
from psbench_data.validation import file_error

_POSITION, _RANDOM = "position.json", "random.safetensors"
_NAME = re.compile(r"step-\d{8,}")
_Count = Annotated[int, Field(ge=0, lt=2**63)]


class Position(BaseModel):
    """What a checkpoint holds besides tensors.

    Attributes:
        step: steps taken.
        seconds: of training until then.
        resumed: how often the training had gone on from a checkpoint.
        log_bytes: of each log file, by name; what follows was logged later.
        peak_memory: bytes, of this process or its GPU.
        best: the validation that best.safetensors was written after.
        last: the last validation.
        scaler: of fp16's gradients, as torch's GradScaler tells it.
    """

    model_config = ConfigDict(extra="forbid")

    step: _Count
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    resumed: int
    log_bytes: dict[str, _Count]
    peak_memory: _Count = 0
    best: Validation | None = None
    last: Validation | None = None
    scaler: dict[str, float | int] | None = None


def save_checkpoint(
    run: Path,
    position: Position,
    *,
    module: ZooModel,
    info: WeightsInfo,
    optimizer: torch.optim.Optimizer,
    average: nn.Module | None,
    state: PartialState,
    keep: int,
) -> None:
    """Write a checkpoint into a run's folder, and remove all but the `keep` newest; every process has to call it."""
    random = {name: gather(value[None].to(state.device)).cpu() for name, value in _random_state(state).items()}
    if not state.is_main_process:
        return
    folder = run / CHECKPOINTS / f"step-{position.step:08d}"
    with new_folder(folder) as partial:
        save_weights(module, partial / WEIGHTS_FILE, info, keep_tables=True)
        for name, tensors in _tensors(module, optimizer, average).items():
            if name != "model":
                write_tensors(tensors, partial / f"{name}.safetensors")
        write_tensors(random, partial / _RANDOM)
        (partial / _POSITION).write_text(position.model_dump_json(indent=1) + "\n", encoding="utf-8")
        for path in partial.iterdir():
            _to_disk(path)
    for old in _checkpoints(run)[:-keep]:
        shutil.rmtree(old)


def save_position(run: Path, position: Position) -> None:
    """Write anew what the newest checkpoint of a run holds besides tensors, if there is one."""
    if there := _checkpoints(run):
        with new_file(there[-1] / _POSITION) as partial:
            partial.write_text(position.model_dump_json(indent=1) + "\n", encoding="utf-8")
            _to_disk(partial)


def newest(run: Path) -> tuple[Path, Position] | None:
    """The newest checkpoint of a run, if there is any.

    Raises:
        InputError: its position.json cannot be read.
    """
    if not (there := _checkpoints(run)):
        return None
    path = there[-1] / _POSITION
    try:
        return there[-1], Position.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise file_error(path, error, _remedy(there[-1])) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}). {_remedy(there[-1])}") from None


def restore(folder: Path, *, module: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None) -> None:
    """Put a checkpoint's tensors where they were.

    Raises:
        InputError: a file cannot be read, or is not of this model.
    """
    wanted = _tensors(module, optimizer, average)
    # An optimiser has no state before its first step, so the checkpoint says what there is.
    stored = {name: _load(folder / f"{name}.safetensors") for name in wanted}
    for name in ("model", "average"):
        for key, tensor in wanted.get(name, {}).items():
            if key not in stored[name] or not _fits(stored[name][key], tensor):
                raise InputError(f"{folder / name}.safetensors: {key} is not as in this model. {_remedy(folder)}")
            tensor.copy_(stored[name][key])
    parameters = dict(module.named_parameters())
    for key, value in stored["optimizer"].items():
        name, _, what = key.rpartition(".")
        if name not in parameters:
            raise InputError(f"{folder / 'optimizer.safetensors'}: the model has no {name!r}. {_remedy(folder)}")
        p = parameters[name]
        # Of what is not of the parameter's shape, there are numbers alone, such as Adam's steps.
        if value.ndim and not _fits(value, p):
            raise InputError(f"{folder / 'optimizer.safetensors'}: {key} is not as in this model. {_remedy(folder)}")
        # In the parameter's order in memory, which may have its channels innermost.
        optimizer.state[p][what] = torch.empty_like(p).copy_(value) if value.shape == p.shape else value.to(p.device)


def restore_random_state(folder: Path, state: PartialState) -> None:
    """Set this process's random generators as they were."""
    stored = _load(folder / _RANDOM)
    for name, value in _random_state(state).items():
        rows = stored.get(name)
        if rows is None or rows.shape != (state.num_processes, len(value)) or rows.dtype != value.dtype:
            raise InputError(f"{folder / _RANDOM}: written on other hardware or by another torch. {_remedy(folder)}")
    try:
        # Copied, as torch reads them in place and a file's rows lie anywhere.
        torch.set_rng_state(stored["cpu"][state.process_index].clone())
        if state.device.type == "cuda":
            torch.cuda.set_rng_state(stored["cuda"][state.process_index].clone(), state.device)
    except RuntimeError as error:
        raise InputError(f"{folder / _RANDOM}: damaged ({error}). {_remedy(folder)}") from None


def _checkpoints(run: Path) -> list[Path]:
    """The oldest first; one that is no longer whole, as a process was killed that removed it, is none."""
    named = (path for path in (run / CHECKPOINTS).glob("step-*") if _NAME.fullmatch(path.name))
    return sorted(path for path in named if (path / _POSITION).is_file())


def _tensors(
    module: nn.Module, optimizer: torch.optim.Optimizer, average: nn.Module | None
) -> dict[str, dict[str, Tensor]]:
    """By the name of the file that holds them."""
    moving = {
        f"{name}.{key}": value
        for name, parameter in module.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }
    averages = {} if average is None else {"average": dict(average.state_dict())}
    return {"model": dict(module.state_dict()), "optimizer": moving} | averages


def _random_state(state: PartialState) -> dict[str, Tensor]:
    """Of this process: (n,) uint8 by device."""
    cuda = {"cuda": torch.cuda.get_rng_state(state.device)} if state.device.type == "cuda" else {}
    return {"cpu": torch.get_rng_state()} | cuda


def _load(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read ({error}). {_remedy(path.parent)}") from None


def _fits(value: Tensor, own: Tensor) -> bool:
    return value.shape == own.shape and not value.is_complex()


def _to_disk(path: Path) -> None:
    """Without this, what is named after a power cut may be empty."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _remedy(folder: Path) -> str:
    return f"Remove {folder} to go on from the checkpoint before it."
