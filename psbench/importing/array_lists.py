"""Files of `torch.save` that hold lists of arrays under names: read without running anything that stands in them.

Such a file is a pickle, which can name any function to be called. torch's restricted reader calls only what it is
given, and here that is not NumPy's own code either, which believes whatever the file says of an array's memory, but
what stands below: it takes bytes as numbers where there are just as many as the shape needs.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from psbench.torch_files import ZIP, require_stored, restricted_load
from psbench_data import InputError

_NUMBERS = ("f2", "f4", "f8", "i4", "i8")
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files of torch.save began before torch 1.6."""
PICKLE_REMEDY = """\
Whoever made it, and so trusts it, can turn it into what is read here (docs/predictions.md has each line's meaning):
    import numpy as np, pickle
    dets, feats, queries = (pickle.load(open(f"{name}.pkl", "rb"), encoding="latin1") for name in (
        "gallery_detections", "gallery_features", "probe_features"))
    np.savez("predictions.npz", counts=[len(d) for d in dets], boxes=np.concatenate(dets)[:, :4],
        scores=np.concatenate(dets)[:, 4], embeddings=np.concatenate(feats), query_embeddings=np.vstack(queries))
and then: psbench import-detections npz predictions.npz ..."""
"""For what person_search (OIM) and its descendants pickle."""


class _Numbers:
    """Stands in for `numpy.dtype`: a plain number, whatever else the file says of it."""

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        if code not in _NUMBERS:
            raise pickle.UnpicklingError(f"an array of {code!r}, expected one of {', '.join(_NUMBERS)}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands in for `numpy.ndarray`."""

    array: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, numbers, by_columns, content = state
        if math.prod(shape) * numbers.dtype.itemsize != len(content):
            raise pickle.UnpicklingError(f"an array of shape {shape} in {len(content)} bytes")
        self.array = np.frombuffer(content, numbers.dtype).reshape(shape, order="F" if by_columns else "C")


def _reconstruct(cls: type, shape: tuple, code: bytes) -> _Array:
    if cls is not _Array:
        raise pickle.UnpicklingError(f"an array of class {cls!r}")
    return _Array()


def _no_bytes() -> bytes:
    return b""


_STAND_INS: list[Callable | tuple[Callable, str]] = [
    (_reconstruct, "numpy.core.multiarray._reconstruct"),  # NumPy 1
    (_reconstruct, "numpy._core.multiarray._reconstruct"),  # NumPy 2
    (_Array, "numpy.ndarray"),
    (_Numbers, "numpy.dtype"),
    # Of an empty array: a pickle of torch's version can call for no bytes in no other way.
    (_no_bytes, "builtins.bytes"),
]


def read_array_lists(path: Path, needed: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, list[np.ndarray]]:
    """The lists of arrays of numbers that a file holds under some names.

    Args:
        path: what `torch.save` wrote.
        needed: names that it must have.
        optional: further ones, left out of the answer where they are not there. Others are not looked at.

    Raises:
        InputError: it cannot be read, or only by running code in it, or holds something else; all that is wrong.
    """
    found = _restricted_load(path)
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds a {type(found).__name__}, expected a dict with {', '.join(needed)}.")
    faults = [f"{path}: has no {name!r}, expected {', '.join(needed)}." for name in needed if name not in found]
    lists: dict[str, list[np.ndarray]] = {}
    for name in (name for name in (*needed, *optional) if name in found):
        items = found[name]
        arrays = [item.array if isinstance(item, _Array) else None for item in items] if type(items) is list else None
        if arrays is None:
            faults.append(f"{path}: {name} is a {type(items).__name__}, expected a list with an array for each image.")
        elif wrong := [i for i, array in enumerate(arrays) if array is None]:
            what = type(items[wrong[0]]).__name__
            faults.append(f"{path}: {name}[{wrong[0]}] is a {what.strip('_')}, expected a NumPy array of numbers.")
        else:
            lists[name] = [array for array in arrays if array is not None]
    if faults:
        raise InputError(faults)
    # A list may name one array a billion times; put together, they would not fit anywhere.
    if sum(array.nbytes for arrays in lists.values() for array in arrays) > path.stat().st_size:
        raise InputError(f"{path}: its arrays claim to be larger than the file. Dump it again.")
    return lists


def _restricted_load(path: Path) -> Any:
    _require_of_torch(path)
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{path}: reading it needs torch, which is not installed. Install psbench with its extra zoo: "
            "pip install 'psbench[zoo]'."
        ) from None
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            return restricted_load(path)
    except Exception as error:
        # Of a file made to deceive, there is no telling which one.
        if unsafe := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise InputError(
                f"{path}: calls for {unsafe[1]} besides arrays of numbers, which could run code out of the file. "
                "Nothing was run, and it is not read.",
                advice=PICKLE_REMEDY,
            ) from None
        raise InputError(f"{path}: damaged, or not a dump ({_first_line(error)}). Dump it again.") from None


def _require_of_torch(path: Path) -> None:
    """Refuse what torch.save does not write: other pickles, and compressed files, which could unfold to any size."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file. Give the dump as it was written.")
    with path.open("rb") as file:
        begin = file.read(len(_LEGACY))
    if begin == _LEGACY:
        return
    if not begin.startswith(ZIP):
        what = "a plain pickle, which can run code" if begin.startswith(b"\x80") else "not a file of torch.save"
        raise InputError(f"{path}: {what}, and is not read.", advice=PICKLE_REMEDY)
    require_stored(path, "a dump", "Give the dump as it was written.")


def _first_line(error: Exception) -> str:
    # torch puts a lecture around what was wrong.
    lines = str(error).split("WeightsUnpickler error: ")[-1].strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
