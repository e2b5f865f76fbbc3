"""MATLAB 5 annotation files: one way to read them, one kind of error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from psbench_data.errors import InputError


def read_variable(path: Path, variable: str) -> np.ndarray:
    """The variable of a MATLAB 5 file, as `scipy.io.loadmat` gives it, flattened to one dimension.

    Raises:
        InputError: the file is damaged, of another kind, or holds another variable.
    """
    from scipy.io import loadmat

    again = "Copy the file again from the dataset's archive (a download may have been cut off)."
    try:
        content = loadmat(path)
    except NotImplementedError:
        raise InputError(
            f"{path}: this is a MATLAB 7.3 (HDF5) file, while the official file is MATLAB 5. "
            "Use the original, or save it in MATLAB with the option -v7."
        ) from None
    # loadmat meets a damaged file with whatever the first impossible byte leads to (TypeError, IndexError,
    # zlib.error, MemoryError, ...), so nothing narrower would do.
    except Exception as error:
        size = path.stat().st_size if path.is_file() else 0
        raise InputError(
            f"{path}: not a readable MATLAB 5 file ({size:,} bytes; {type(error).__name__}: {error}). {again}"
        ) from error
    if variable not in content:
        found = ", ".join(sorted(k for k in content if not k.startswith("__"))) or "nothing"
        raise InputError(f"{path}: expected the variable {variable!r}, found {found}. {again}")
    return np.ravel(content[variable])


def struct(value: Any) -> np.void:
    """The struct inside nested 1 x 1 cells and struct arrays; it raises where there is none."""
    while isinstance(value, np.ndarray):
        if value.size != 1:
            raise TypeError(f"expected one struct, found {value.size}")
        value = value.reshape(-1)[0]
    if not isinstance(value, np.void):
        raise TypeError(f"expected a struct, found {type(value).__name__}")
    return value


def text(value: Any) -> str:
    """The string inside nested one-element cells; it raises where there is none."""
    while isinstance(value, np.ndarray):
        value = value.item()
    if not isinstance(value, str):
        raise TypeError(f"expected a string, found {type(value).__name__}")
    return value
