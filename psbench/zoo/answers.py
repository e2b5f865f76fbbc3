"""What a model answers, looked at before it is used: one that somebody brings may misunderstand the question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from psbench.zoo.interface import Detections
from psbench_data.errors import InputError

_COLUMNS = {"boxes": ("(n, 4)", 2), "scores": ("(n,)", 1), "embeddings": ("(n, D)", 2)}
"""Of detections, with their shape and its number of dimensions."""
_FOUND = ("boxes", "scores")
"""What another network can embed."""
_PIXELS = 0.01
"""By which a box may move that was resized with its image and back."""


def detected(model: Any, images: list[Tensor], include: list[Tensor] | None = None) -> list[Detections]:
    """What a model detects in images, on the CPU in float32; arguments as of `PersonSearcher.detect`.

    Raises:
        InputError: that are no detections of these images, or do not begin with the known boxes.
    """
    rows = _asked(model, images, include, tuple(_COLUMNS))
    return [Detections(**{name: column.float().cpu() for name, column in row.items()}) for row in rows]


def found_boxes(
    model: Any, images: list[Tensor], include: list[Tensor] | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """The boxes (n, 4) and scores (n,) of each image alone, as the model gives them; arguments as of `detected`.

    Raises:
        InputError: as `detected`.
    """
    rows = _asked(model, images, include, _FOUND)
    return [row["boxes"] for row in rows], [row["scores"] for row in rows]


def embedded(model: Any, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
    """How a model embeds boxes of images, (n, D) an image, on the CPU in float32.

    Raises:
        InputError: that are no embeddings of these boxes.
    """
    return [rows.float().cpu() for rows in embeddings_of(model, images, boxes)]


def embeddings_of(model: Any, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
    """The same as the model gives them.

    Raises:
        InputError: as `embedded`.
    """
    found, where = model.embed(images, boxes), f"{type(model).__name__}.embed"
    _require_one_each(where, found, images, "a list with one tensor (n, D) an image")
    _refuse(
        f"{where} gave {_told(rows)} for {_number(of_image, 'box', 'boxes')}, expected a torch tensor "
        f"({len(of_image)}, D)."
        for rows, of_image in zip(found, boxes, strict=True)
        if not isinstance(rows, Tensor) or rows.ndim != 2 or len(rows) != len(of_image)
    )
    return list(found)


def require_comparable(model: str, by_embed: int, by_detect: int) -> None:
    """Check that the embeddings of queries are as long as those of what is found.

    Raises:
        InputError: naming the model's class, `model`, and both lengths.
    """
    if by_embed != by_detect:
        raise InputError(
            f"{model}.embed gives embeddings of {by_embed} numbers, {model}.detect of {by_detect}. They are compared "
            "by their dot product, so both must be the same."
        )


def require_losses(name: str, losses: Any) -> None:
    """Check what a model called `name` gives in training.

    Raises:
        InputError: that are no losses.
    """
    if not isinstance(losses, Mapping) or not losses:
        what = "an empty dict" if isinstance(losses, Mapping) else _told(losses)
        raise InputError(f'{name}: forward gave {what}, not a dict of scalar losses. Return them as {{"loss": loss}}.')
    _refuse(
        f"{name}: forward gave {_told(loss)} as {key}, not a scalar loss, which is a tensor of one number and no shape."
        for key, loss in losses.items()
        if not isinstance(loss, Tensor) or loss.ndim
    )


def _asked(
    model: Any, images: list[Tensor], include: list[Tensor] | None, names: Sequence[str]
) -> list[dict[str, Tensor]]:
    """The columns of these names of each image, as the model gives them."""
    # Not every detector knows of known boxes.
    found = model.detect(images) if include is None else model.detect(images, include=include)
    where = f"{type(model).__name__}.detect"
    example = f"psbench.zoo.Detections({', '.join(f'{name}=...' for name in names)})"
    _require_one_each(where, found, images, f"a list with one {example} an image")
    _refuse(_fault(where, one, names, example) for one in found)
    rows = [{name: getattr(one, name) for name in names} for one in found]
    if include is not None and not all(map(_begins_with, rows, include)):
        raise InputError(
            f"{where}: the first boxes are not those of include. Give them first, unchanged, with score 1."
        )
    return rows


def _fault(where: str, one: Any, names: Sequence[str], example: str) -> str:
    """Why something is no detections of an image; empty where it is."""
    columns: dict[str, Any] = {name: getattr(one, name, None) for name in names}
    if lacking := [name for name, column in columns.items() if column is None]:
        without = f" without {' and '.join(lacking)}" if len(lacking) < len(names) else ""
        return f"{where}: got {_told(one)}{without}; expected {example}, or another object with these attributes."
    if not all(isinstance(column, Tensor) for column in columns.values()):
        got = ", ".join(f"{name}: {_told(column)}" for name, column in columns.items())
        return f"{where}: expected torch tensors, got {got}."
    fit = (
        all(column.ndim == _COLUMNS[name][1] for name, column in columns.items())
        and len({len(column) for column in columns.values()}) == 1
        and columns["boxes"].shape[1] == 4
    )
    got = ", ".join(f"{name} {tuple(column.shape)}" for name, column in columns.items())
    return "" if fit else f"{where} gave {got}, expected {', '.join(f'{n} {_COLUMNS[n][0]}' for n in names)}."


def _begins_with(row: Mapping[str, Tensor], known: Tensor) -> bool:
    boxes, scores = row["boxes"][: len(known)].cpu(), row["scores"][: len(known)].float()
    # A model in half precision has its boxes in that.
    known = known.cpu().to(boxes.dtype)
    return (
        len(boxes) == len(known)
        and torch.allclose(boxes.float(), known.float(), atol=_PIXELS)
        and torch.allclose(scores, torch.ones_like(scores))
    )


def _require_one_each(where: str, found: Any, images: list[Tensor], expected: str) -> None:
    if not isinstance(found, Sequence) or len(found) != len(images):
        got = f"{_told(found)} of {len(found)}" if isinstance(found, Sequence) else _told(found)
        raise InputError(f"{where} gave {got} for {_number(images, 'image', 'images')}, expected {expected}.")


def _refuse(faults: Iterable[str]) -> None:
    """Each once, whatever the number of images that have it."""
    if told := list(dict.fromkeys(filter(None, faults))):
        raise InputError(told)


def _number(of: Sequence[Any] | Tensor, one: str, many: str) -> str:
    return f"{len(of)} {one if len(of) == 1 else many}"


def _told(value: Any) -> str:
    """What something is, in words: a tensor by its shape, anything else by its type."""
    if value is None:
        return "nothing"
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}" if value.ndim else "a tensor"
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
