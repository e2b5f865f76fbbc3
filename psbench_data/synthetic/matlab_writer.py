"""MATLAB 5 files nested and typed as the datasets' authors saved theirs; equal content gives equal bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

_TITLE = b"MATLAB 5.0 MAT-file, written by psbench-data synthesize"

BOX = ("idlocate", "ishard")
ENTRY = ("imname", "idlocate", "ishard")


def save(path: Path, variable: str, value: np.ndarray) -> None:
    """Write a file of one variable."""
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, {variable: value}, do_compression=True)
    content = stream.getbuffer()
    # The header's free text holds the time of writing; without it, equal worlds are equal bytes.
    content[:116] = _TITLE.ljust(116)
    path.write_bytes(content)


def structs(fields: Sequence[str], rows: Sequence[tuple]) -> np.ndarray:
    """A 1 x n struct array."""
    array = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for i, row in enumerate(rows):
        array[0, i] = row
    return array


def cells(rows: Sequence[Sequence]) -> np.ndarray:
    """A cell array of n rows of equal length."""
    array = np.empty((len(rows), len(rows[0]) if rows else 1), dtype=object)
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            array[i, j] = value
    return array


def column(values: Iterable) -> np.ndarray:
    """An n x 1 cell array."""
    return cells([(value,) for value in values])


def number(value: int) -> np.ndarray:
    """A 1 x 1 array of the least integer type that holds the value."""
    return np.array([[value]], np.min_scalar_type(value))


def xywh(box: np.ndarray) -> np.ndarray:
    """(1, 4) x y w h of a box xyxy: uint8 where the four values fit, else uint16."""
    values = np.concatenate([box[:2], box[2:] - box[:2]])
    return values[None].astype(np.uint8 if values.max() <= 255 else np.uint16)


def annotated_images(names: Sequence[str], boxes: Sequence[np.ndarray]) -> np.ndarray:
    """The variable of Images.mat: every scene's boxes, (n, 4) xyxy, without identities."""
    easy = number(0)
    return structs(
        ("imname", "nAppear", "box"),
        [
            (name, number(len(people)), structs(BOX, [(xywh(box), easy) for box in people]))
            for name, people in zip(names, boxes, strict=True)
        ],
    )
