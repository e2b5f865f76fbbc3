"""What a model answers, looked at before it is used: one that somebody brings may misunderstand the question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from psbench.zoo.interface import Detections
from psbench_data.errors import InputError

_EXPECTED = "expected objects with boxes (n, 4), scores (n,) and embeddings (n, D), one an image."
_COLUMNS = {"boxes": 2, "scores": 1, "embeddings": 2}
"""Of detections, with their number of dimensions."""


def detected(model: Any, images: list[Tensor], include: list[Tensor] | None = None) -> list[Detections]:
    """What a model detects in images, on the CPU in float32; arguments as of `PersonSearcher.detect`.

    Raises:
        InputError: that are no detections of these images.
    """
    # Not every detector knows of known boxes.
    found = model.detect(images) if include is None else model.detect(images, include=include)
    where = f"{type(model).__name__}.detect"
    _require_one_each(where, found, images, _EXPECTED)
    rows = [_row(one) for one in found]
    faults = [f"{where} gave {_told(row)}, {_EXPECTED}" for row in rows if not _are_columns(row)]
    if faults:
        raise InputError(faults)
    return [Detections(**{name: column.float().cpu() for name, column in row.items()}) for row in rows]


def embedded(model: Any, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
    """How a model embeds boxes of images, (n, D) an image, on the CPU in float32.

    Raises:
        InputError: that are no embeddings of these boxes.
    """
    found, where = model.embed(images, boxes), f"{type(model).__name__}.embed"
    _require_one_each(where, found, images, "expected a tensor (n, D) an image.")
    faults = [
        f"{where} gave {_shape(rows)} for {len(of_image)} boxes, expected ({len(of_image)}, D)."
        for rows, of_image in zip(found, boxes, strict=True)
        if not isinstance(rows, Tensor) or rows.ndim != 2 or len(rows) != len(of_image)
    ]
    if faults:
        raise InputError(faults)
    return [rows.float().cpu() for rows in found]


def require_losses(name: str, losses: Any) -> None:
    """Check what a model called `name` gives in training.

    Raises:
        InputError: that are no losses.
    """
    expected = "expected a dict of losses, each a tensor of one number"
    if not isinstance(losses, Mapping) or not losses:
        raise InputError(f"{name}: forward gave {_shape(losses)}, {expected}.")
    if wrong := [key for key, loss in losses.items() if not isinstance(loss, Tensor) or loss.ndim]:
        raise InputError(f"{name}: forward gave {key} = {_shape(losses[key])}, {expected}." for key in wrong)


def _require_one_each(where: str, found: Any, images: list[Tensor], expected: str) -> None:
    if not isinstance(found, Sequence) or len(found) != len(images):
        number = f"{len(found)} of them" if isinstance(found, Sequence) else _shape(found)
        raise InputError(f"{where} gave {number} for {len(images)} images, {expected}")


def _row(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name, None) for name in _COLUMNS}


def _are_columns(row: dict[str, Any]) -> bool:
    return (
        all(isinstance(column, Tensor) and column.ndim == _COLUMNS[name] for name, column in row.items())
        and len({len(column) for column in row.values()}) == 1
        and row["boxes"].shape[1] == 4
    )


def _told(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_shape(column)}" for name, column in row.items())


def _shape(value: Any) -> str:
    return (
        str(tuple(value.shape)) if isinstance(value, Tensor) else "nothing" if value is None else type(value).__name__
    )
