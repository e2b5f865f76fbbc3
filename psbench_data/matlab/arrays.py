"""A MATLAB 5 array decoded on its own, the way `scipy.io.loadmat` gives it.

scipy itself reads far beyond the end of some damaged arrays, which ends the process; here every number is checked
against the bytes that are there.
"""

from __future__ import annotations

import math

import numpy as np

from psbench_data.matlab import mat5
from psbench_data.matlab.mat5 import ArrayHeader, DamageError, Slices

NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
"""The numpy type of each numeric type of element."""
NUMERIC_CLASSES = range(6, 16)

_CODECS = {1: "ascii", 2: "ascii", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}
_DEEPEST = 20


def decode(content: bytes, depth: int = 0) -> np.ndarray:
    """The array whose bytes, without the tag, these are.

    Returns:
        As from loadmat: structs have a field of objects for each of theirs, a cell is an array of objects, a line of
        text has one element. What has no place in annotations (complex numbers, objects, ...) is None in an array.

    Raises:
        DamageError: the bytes are those of no array.
        UnicodeDecodeError: a text is not encoded as it says.
    """
    if not content:
        return np.zeros((1, 0))
    source = Slices(content)
    header = mat5.read_header(source)
    header.require_room(len(content))
    if depth > _DEEPEST or len(header.dims) > _DEEPEST:
        raise DamageError(f"arrays within arrays, {depth} deep, of {len(header.dims)} dimensions")
    if header.kind in (mat5.CELL, mat5.STRUCT):
        children = [decode(source.read(mat5.read_matrix_size(source)), depth + 1) for _ in range(header.children)]
        if source.left:
            raise DamageError("an array holds more than its header says")
        flat = _cells(children) if header.kind == mat5.CELL else _structs(header, children)
        return flat.reshape(header.dims, order="F")
    if header.kind == mat5.CHAR:
        return _text(header, source)
    if header.kind in NUMERIC_CLASSES:
        return _numbers(header, source)
    return np.array(None)


def _cells(children: list[np.ndarray]) -> np.ndarray:
    array = np.empty(len(children), object)
    for i, child in enumerate(children):
        array[i] = child
    return array


def _structs(header: ArrayHeader, children: list[np.ndarray]) -> np.ndarray:
    if len(set(header.fields)) < len(header.fields) or "" in header.fields:
        raise DamageError(f"a struct has the fields {header.fields}")
    array = np.empty(math.prod(header.dims), [(name, object) for name in header.fields])
    for i, name in enumerate(header.fields):
        array[name] = _cells(children[i :: len(header.fields)])
    return array


def _text(header: ArrayHeader, source: Slices) -> np.ndarray:
    kind, data = mat5.read_element(source, source.left)
    if 0 in header.dims:
        return np.zeros(header.dims, "U1")
    if header.dims[0] != 1 or len(header.dims) > 2:
        return np.array(None)
    if kind not in _CODECS:
        raise DamageError(f"a text is of type {kind}")
    text = data.decode(_CODECS[kind])
    if header.dims[1] not in (len(text), len(text.encode("utf-16-le")) // 2):
        raise DamageError(f"a text has {len(text):,} characters where {header.dims[1]:,} were expected")
    return np.array([text])


def _numbers(header: ArrayHeader, source: Slices) -> np.ndarray:
    kind, data = mat5.read_element(source, source.left)
    if kind not in NUMBERS or len(data) != math.prod(header.dims) * np.dtype(NUMBERS[kind]).itemsize:
        raise DamageError(f"{len(data):,} bytes of type {kind} are no {math.prod(header.dims):,} numbers")
    if source.left:
        return np.array(None)  # the imaginary parts
    return np.frombuffer(data, NUMBERS[kind]).reshape(header.dims, order="F")
