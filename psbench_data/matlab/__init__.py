"""MATLAB 5 annotation files: one way to read them, one kind of error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from psbench_data.errors import InputError
from psbench_data.faults import COPY_AGAIN
from psbench_data.matlab.arrays import decode
from psbench_data.matlab.mat5 import DamageError
from psbench_data.matlab.stream import find_variable, unreadable


def read_list(path: Path, variable: str) -> np.ndarray:
    """The structs, cells or texts of a variable of a MATLAB 5 file, in one dimension.

    Raises:
        InputError: the file is damaged, of another kind, or holds another variable or something else in it.
    """
    return items(path, variable, read_any(path, (variable,)))


def items(path: Path, variable: str, value: np.ndarray) -> np.ndarray:
    """The structs, cells or texts of a variable that was read.

    Raises:
        InputError: it holds something else.
    """
    if value.size and value.dtype.kind not in "OUV":
        shape = "x".join(map(str, value.shape))
        raise InputError(f"{path}: expected {variable} to be cells or structs, found {shape} numbers. {COPY_AGAIN}")
    return np.ravel(value)


def read_any(path: Path, names: Sequence[str]) -> np.ndarray:
    """The first of the variables that a MATLAB 5 file has, as `scipy.io.loadmat` would give it.

    Raises:
        InputError: the file is damaged, of another kind, or has none of them.
    """
    try:
        return decode(find_variable(path, *names).content())
    except (DamageError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error


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
