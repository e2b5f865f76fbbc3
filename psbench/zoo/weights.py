"""A model's weights on disk: one safetensors file that says by itself which network, data and preprocessing they need.

The header holds `WeightsInfo`, each value as JSON; the tensors are the model's state, in general without what only
training needs. Nothing in the file is code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from psbench.zoo import ZooModel, available, create, load_official, outlined
from psbench.zoo.plugins import package_of
from psbench.zoo.released import read_released
from psbench_data import InputError
from psbench_data.atomic import new_file
from psbench_data.faults import told_of
from psbench_data.validation import file_error

WEIGHTS_FILE = "model.safetensors"
"""Of a folder that a model is loaded from."""
_TABLE_ROWS = {"cuhk_sysu": (5532,), "prw": (482, 483), "movienet_cs": (3087,)}
"""Of released weights: the identities of each dataset, PRW's counted in two ways."""
_MOST_TABLES = 2**28
"""Bytes that identity tables, which the file need not hold, may always take."""


class WeightsInfo(BaseModel):
    """What a weights file says of itself.

    Attributes:
        model: its name in the zoo.
        options: with which it was made, see the model's options.
        num_identities: K.
        preprocessing: what is done to images, see `ZooModel.preprocessing`.
        method: what predictions made with it are called.
        dataset: that it was trained on, a name of `psbench_data.available()`.
        fingerprint: of that dataset's annotations; None where its authors do not say.
        psbench: the version that wrote the file.
        package: that the model is from, with its version; None for one of psbench's own.
        source_sha256: of the released file that it was made from, if any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    options: dict[str, Any]
    num_identities: int
    preprocessing: dict[str, Any]
    method: str
    dataset: str
    fingerprint: str | None
    psbench: str
    package: str | None = None
    source_sha256: str | None = None


def describe(
    model: ZooModel,
    name: str,
    *,
    num_identities: int,
    dataset: str,
    method: str,
    fingerprint: str | None = None,
    source_sha256: str | None = None,
) -> WeightsInfo:
    """What there is to say of a model called `name` in the zoo; the arguments are as in `WeightsInfo`."""
    options = json.loads(json.dumps(dataclasses.asdict(model.options)))
    return WeightsInfo(
        model=name,
        options=_started(options),
        num_identities=num_identities,
        preprocessing=model.preprocessing(),
        method=method,
        dataset=dataset,
        fingerprint=fingerprint,
        psbench=version("psbench"),
        package=package_of(name),
        source_sha256=source_sha256,
    )


def _started(options: dict[str, Any]) -> dict[str, Any]:
    """The same without weights from elsewhere, which a file could ask for: its own replace them."""
    return options | ({"pretrained": False} if "pretrained" in options else {})


def save_weights(model: ZooModel, path: str | Path, metadata: WeightsInfo, *, keep_tables: bool = False) -> None:
    """Write a model's state; the file appears whole or not at all.

    Args:
        model: any of the zoo.
        path: of the file, .safetensors.
        metadata: see `describe`.
        keep_tables: write also what only training needs: the identity tables, which are large and follow the people of
            the training data.
    """
    left_out = () if keep_tables else model.training_only
    state = {k: v for k, v in model.state_dict().items() if not k.startswith(left_out)}
    header = {key: json.dumps(value) for key, value in metadata.model_dump().items()}
    with new_file(Path(path)) as partial:
        write_tensors(state, partial, header)


def write_tensors(tensors: Mapping[str, Tensor], path: Path, header: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file, the same bytes each time; tensors may be on any device, and share memory."""
    from safetensors.torch import save

    # The format takes each tensor whole, in memory of its own.
    plain = {k: v.detach().to("cpu", memory_format=torch.contiguous_format, copy=True) for k, v in tensors.items()}
    written = memoryview(save(plain, {"format": "pt", **(header or {})}))
    # Its own `save_file` writes files that only their owner can read, and both order the header's words by chance.
    start = 8 + int.from_bytes(written[:8], "little")
    entries = json.loads(bytes(written[8:start]))
    entries["__metadata__"] = dict(sorted(entries["__metadata__"].items()))
    ordered = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    # The tensors are to begin at a multiple of eight bytes.
    ordered += b" " * (-len(ordered) % 8)
    with path.open("wb") as file:
        file.writelines((len(ordered).to_bytes(8, "little"), ordered, written[start:]))


def read_info(path: str | Path) -> WeightsInfo:
    """What a weights file says of itself.

    Raises:
        InputError: it is not there, damaged, not written by `save_weights`, or of a package that is not installed.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: the weights cannot be read ({error}). Train or import them again.") from None
    if "model" not in header:
        raise InputError(
            f"{path}: it does not say which model it belongs to, so psbench did not write it. "
            "Bring a released file in with `psbench import-weights`."
        )
    try:
        info = WeightsInfo(**{key: json.loads(value) for key, value in header.items() if key != "format"})
    except ValidationError as error:
        raise file_error(path, error, "Train or import the weights again.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: its header is damaged ({error}). Train or import the weights again.") from None
    if info.package and info.model not in available():
        raise InputError(f"{path}: these weights are of {info.model}, a model of {info.package}. Install that package.")
    return info.model_copy(update={"options": _started(info.options)})


def load_weights(path: str | Path, *, model: str | None = None, dataset: str | None = None) -> ZooModel:
    """The model that a file of `save_weights` holds, in evaluation mode, on the CPU.

    Args:
        path: of the file.
        model: the name that it must have; any by default.
        dataset: that it must have been trained on; any by default.

    Raises:
        InputError: the file cannot be read, is for another model or dataset than asked, does not hold all that its
            model needs, or asks for a preprocessing that this version does not do.
    """
    from safetensors.torch import load_file

    path, info = Path(path), read_info(path)
    for what, found, asked in (("model", info.model, model), ("dataset", info.dataset, dataset)):
        if asked is not None and found != asked:
            raise InputError(f"{path}: these weights are of the {what} {found}, not of {asked}. Give those of {asked}.")
    # Of other packages' models, nobody knows whether they can be built without memory.
    look = create if package_of(info.model) else outlined
    with told_of(path):
        made = look(info.model, num_identities=info.num_identities, **info.options)
    if made.preprocessing() != info.preprocessing:
        raise InputError(
            f"{path}: these weights need the preprocessing {info.preprocessing}, and this version does "
            f"{made.preprocessing()}. Install {info.package or f'psbench {info.psbench}'}, which wrote them."
        )
    state = load_file(path)
    if wrong := _misfits(made, state):
        raise InputError(
            f"{path}: not the weights of {info.model}: {', '.join(wrong[:5])}. Train or import them again."
        )
    missing = sum(v.numel() * v.element_size() for k, v in made.state_dict().items() if k not in state)
    if missing > (limit := max(_MOST_TABLES, 10 * path.stat().st_size)):
        raise InputError(
            f"{path}: with num_identities {info.num_identities} and its options, {info.model} has tables of "
            f"{missing:,} bytes, expected at most {limit:,}. Train or import the weights again."
        )
    if look is outlined:
        made = create(info.model, num_identities=info.num_identities, **info.options)
    made.load_state_dict(state, strict=False)
    return made.eval()


def _misfits(made: ZooModel, state: Mapping[str, Tensor]) -> list[str]:
    """The weights that a model needs and that are not there, or that are others than it has."""
    expected = made.state_dict()
    wrong = [k for k in expected if k not in state and not k.startswith(made.training_only)]
    return wrong + [k for k, v in state.items() if k not in expected or v.shape != expected[k].shape or v.is_complex()]


def weights_path(given: str | Path) -> Path:
    """The weights file that is meant by a path: itself, or the one in the folder of a run.

    Raises:
        InputError: there is none.
    """
    given = Path(given)
    path = given / WEIGHTS_FILE if given.is_dir() else given
    if not path.is_file():
        raise InputError(
            f"{path}: not there, so {given} is not a finished run. "
            "Give a folder that `psbench train` (to its end) or `psbench import-weights` made, or a weights file."
        )
    return path


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def import_weights(
    name: str,
    source: str | Path,
    path: str | Path,
    *,
    dataset: str,
    keep_tables: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> WeightsInfo:
    """Turn a checkpoint that a model's authors released into a file of `save_weights`.

    Args:
        name: the model's name in the zoo.
        source: the released file, .pth or .safetensors.
        path: of the file to write.
        dataset: that it was trained on.
        keep_tables: as in `save_weights`.
        overrides: options that differ from the paper's, as for `zoo.load_official`.

    Raises:
        InputError: the source cannot be read, holds more than tensors and plain values, or is not of this model.
    """
    source = Path(source)
    state = read_released(source)
    with told_of(source):
        model = load_official(name, state, **(overrides or {}))
    rows = len(model.state_dict()["oim.table"])
    if rows not in _TABLE_ROWS.get(dataset, (rows,)):
        of = next((other for other, usual in _TABLE_ROWS.items() if rows in usual), "another dataset")
        raise InputError(
            f"{source}: its identity table has {rows} rows, as that of {of}, and not the {_TABLE_ROWS[dataset][0]} of "
            f"{dataset}. Name the dataset that it was trained on."
        )
    info = describe(
        model,
        name,
        num_identities=rows,
        dataset=dataset,
        method=f"{name} ({source.name})",
        source_sha256=file_digest(source),
    )
    save_weights(model, path, info, keep_tables=keep_tables)
    return info
