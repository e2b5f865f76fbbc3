"""Images, targets and boxes as they are given to a model: what cannot be right is said before it does harm.

A box without area or an identity beyond the table trains on, as NaN or as an assertion deep in a device's kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from psbench_data import InputError

_SLACK = 1e-3
"""How far a pixel may leave [0, 1] by interpolation."""
_INSIDE = 0.5
"""The share of an annotated box that has to lie in its image. Published boxes run over the border, PRW's by up to nine
pixels, and are trained on as they are; a box that belongs to another size or another corner lies mostly outside."""


def check_inputs(
    images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]] | None = None, *, num_identities: int | None = None
) -> None:
    """Check a batch; the device is waited for once.

    Args:
        images: (3, H, W) floating point in [0, 1] each.
        targets: `boxes` (n, 4) xyxy, pixels of its image, and `person_ids` (n,) int64, -1 or 0..K-1, an image.
        num_identities: K; None accepts any identity.

    Raises:
        InputError: listing every fault, each with the numbers of its image and box, from 0: images or targets of wrong
            shape, type or number, values that are not finite or out of range, boxes without area, or most of which
            lies outside their image.
    """
    faults = [] if len(images) else ["the batch has no image: give at least one."]
    device = images[0].device if len(images) and isinstance(images[0], Tensor) else None
    faults += [fault for i, image in enumerate(images) for fault in _image_form(f"image {i}", image, device)]
    if targets is not None:
        if len(targets) != len(images):
            faults.append(f"{len(targets)} targets for {len(images)} images: expected one an image.")
        faults += [fault for i, target in enumerate(targets) for fault in _target_form(f"image {i}", target, device)]
    # What has the wrong form cannot be looked into; without any, everything is looked at in one go.
    if faults:
        raise InputError(faults)
    # Tensors without values, of which only the cost is counted.
    if device is not None and device.type != "meta":
        _require_values(images, targets, num_identities)


def check_pairs(
    targets: Sequence[dict[str, Tensor]], size: tuple[int, int], device: torch.device, *, num_identities: int
) -> None:
    """Check what the targets of pairs have in addition: whom to search for; the device is waited for once.

    Args:
        targets: `query_patch` (3, h, w), uint8 or floating point in [0, 1], and `query_id` () int64 each.
        size: h and w.
        device: of the images.
        num_identities: K.

    Raises:
        InputError: listing every fault, each with the number of its image, from 0.
    """
    faults = [fault for i, t in enumerate(targets) for fault in _query_form(f"image {i}", t, size, device)]
    if faults:
        raise InputError(faults)
    ids = torch.stack([target["query_id"] for target in targets]).tolist()
    extremes = torch.stack([torch.stack(target["query_patch"].aminmax()).double() for target in targets]).tolist()
    for i, (person, (low, high), target) in enumerate(zip(ids, extremes, targets, strict=True)):
        if not 0 <= person < num_identities:
            faults.append(f"image {i} is searched for person {person}, expected one of 0 to {num_identities - 1}.")
        # Written so that NaN does not pass.
        if target["query_patch"].is_floating_point() and not (low >= -_SLACK and high <= 1 + _SLACK):
            faults.append(f"image {i}: its query_patch has values from {low:.4g} to {high:.4g}, expected [0, 1].")
    if faults:
        raise InputError(faults)


def check_boxes(boxes: Sequence[Tensor], images: Sequence[Tensor] | Tensor) -> None:
    """Check the boxes that are to be embedded; the device is waited for once.

    Args:
        boxes: (n, 4) an image, xyxy, pixels.
        images: they belong to, as a list or as a batch; what is looked at is their number and device.

    Raises:
        InputError: listing every fault, each with the numbers of its image and box, from 0: wrong shape, type or
            number, a coordinate that is not finite, x2 < x1 or y2 < y1.
    """
    faults = []
    device = images[0].device
    if len(boxes) != len(images):
        faults.append(f"boxes of {len(boxes)} images are given for {len(images)} images: expected as many.")
    faults += [fault for i, of_image in enumerate(boxes) for fault in _boxes_form(f"image {i}", of_image, device)]
    if faults:
        raise InputError(faults)
    every = torch.cat(list(boxes)) if boxes else torch.zeros(0, 4, device=device)
    if device.type == "meta" or not len(every):
        return
    finite = every.isfinite().all(dim=1)
    turned = finite & (every[:, 2:] < every[:, :2]).any(dim=1)
    _raise_where(
        {
            "is not finite. Leave it out": ~finite,
            "ends before it begins: expected x1 <= x2 and y1 <= y2 (corners, not width and height)": turned,
        },
        every,
        _numbers(boxes),
    )


def _image_form(what: str, image: Any, device: torch.device | None) -> list[str]:
    if not isinstance(image, Tensor):
        return [f"{what} is a {type(image).__name__}, expected a tensor (3, H, W)."]
    faults = []
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
        faults.append(f"{what} has shape {tuple(image.shape)}, expected (3, H, W), RGB.")
    if not image.is_floating_point():
        faults.append(f"{what} is {_name(image)}, expected floating point in [0, 1]: divide by 255.")
    if image.device != device:
        faults.append(f"{what} is on {image.device}, the first one on {device}: move them to one device.")
    return faults


def _target_form(what: str, target: Any, device: torch.device | None) -> list[str]:
    missing = [key for key in ("boxes", "person_ids") if not isinstance(target, dict) or key not in target]
    if missing:
        return [f"{what}: its target has no {' and no '.join(map(repr, missing))}."]
    boxes, ids = target["boxes"], target["person_ids"]
    faults = _boxes_form(what, boxes, device)
    if not isinstance(ids, Tensor) or ids.ndim != 1 or ids.dtype != torch.int64:
        found = f"{_name(ids)} of shape {tuple(ids.shape)}" if isinstance(ids, Tensor) else type(ids).__name__
        faults.append(f"{what}: person_ids is {found}, expected (n,) int64.")
    elif ids.device != device:
        faults.append(f"{what}: its person_ids are on {ids.device}, the images on {device}: move them to one device.")
    elif not faults and len(ids) != len(boxes):
        faults.append(f"{what} has {len(boxes)} boxes and {len(ids)} person_ids, expected one a box.")
    return faults


def _query_form(what: str, target: Any, size: tuple[int, int], device: torch.device) -> list[str]:
    missing = [key for key in ("query_patch", "query_id") if not isinstance(target, dict) or key not in target]
    if missing:
        return [f"{what}: its target has no {' and no '.join(map(repr, missing))}."]
    patch, person, faults = target["query_patch"], target["query_id"], []
    shape, dtype = tuple(patch.shape), patch.dtype
    if shape != (3, *size) or not (dtype == torch.uint8 or patch.is_floating_point()):
        faults.append(
            f"{what}: its query_patch is {_name(patch)} of shape {shape}, expected {(3, *size)}, uint8 or floating "
            "point: see psbench.zoo.layers.patches.query_patch."
        )
    if person.ndim or person.dtype != torch.int64:
        faults.append(f"{what}: its query_id is {_name(person)} of shape {tuple(person.shape)}, expected () int64.")
    if {patch.device, person.device} != {device}:
        faults.append(f"{what}: its query is not on {device}, as the images are: move them to one device.")
    return faults


def _boxes_form(what: str, boxes: Any, device: torch.device | None) -> list[str]:
    if not isinstance(boxes, Tensor) or boxes.ndim != 2 or boxes.shape[1] != 4:
        found = f"shape {tuple(boxes.shape)}" if isinstance(boxes, Tensor) else f"type {type(boxes).__name__}"
        return [f"{what}: its boxes have {found}, expected (n, 4); (0, 4) where there are none."]
    if boxes.dtype not in (torch.float32, torch.float64):
        return [f"{what}: its boxes are {_name(boxes)}, expected float32."]
    if boxes.device != device:
        return [f"{what}: its boxes are on {boxes.device}, the images on {device}: move them to one device."]
    return []


def _require_values(
    images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]] | None, num_identities: int | None
) -> None:
    extremes = torch.stack([torch.stack(image.aminmax()) for image in images])
    # Written so that NaN does not pass.
    wrong_image = ~((extremes[:, 0] >= -_SLACK) & (extremes[:, 1] <= 1 + _SLACK))
    per_box: dict[str, Tensor] = {}
    boxes, ids = torch.zeros(0, 4), torch.zeros(0)
    if targets:
        boxes, ids = torch.cat([t["boxes"] for t in targets]), torch.cat([t["person_ids"] for t in targets])
        per_box = _box_faults(boxes, images, targets)
        per_box |= {
            "has a person id below -1: -1 is a person without identity": ids < -1,
            f"has a person id beyond num_identities={num_identities}: number the identities from 0 without gaps": (
                torch.zeros_like(ids, dtype=torch.bool) if num_identities is None else ids >= num_identities
            ),
        }
    if not torch.cat([wrong_image, *per_box.values()]).any():
        return
    faults = [
        f"image {i} has values from {low:.4g} to {high:.4g}, expected [0, 1]: divide bytes by 255, and leave the "
        "normalisation to the model."
        for i, (low, high) in enumerate(extremes.tolist())
        if wrong_image[i]
    ]
    try:
        _raise_where(per_box, boxes, _numbers([t["boxes"] for t in targets or []]), ids)
    except InputError as error:
        faults += error.faults
    raise InputError(faults)


def _box_faults(boxes: Tensor, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """What can be wrong with annotated boxes (N, 4), and which of them it is, (N,) bool."""
    ends = [[image.shape[2], image.shape[1]] for image, t in zip(images, targets, strict=True) for _ in t["boxes"]]
    size = torch.tensor(ends, dtype=boxes.dtype).view(-1, 2).to(boxes.device)
    finite = boxes.isfinite().all(dim=1)
    sides = boxes[:, 2:] - boxes[:, :2]
    whole = finite & (sides > 0).all(dim=1)
    inside = (torch.minimum(boxes[:, 2:], size) - boxes[:, :2].clamp(min=0)).clamp(min=0)
    outside = whole & (inside.prod(dim=1) < _INSIDE * sides.prod(dim=1))
    return {
        "is not finite. Leave it out": ~finite,
        "has no area: expected x1 < x2 and y1 < y2 (corners, not width and height)": finite & ~whole,
        "lies mostly outside its image: expected pixels of the image as it is given": outside,
    }


def _raise_where(
    per_box: dict[str, Tensor], boxes: Tensor, numbers: list[tuple[int, int]], ids: Tensor | None = None
) -> None:
    """Raise, image after image, for the boxes that a fault is true of."""
    if not per_box or not torch.stack(list(per_box.values())).any():
        return
    found = sorted((box, what) for what, flags in per_box.items() for box in flags.nonzero().flatten().tolist())
    raise InputError(
        f"image {numbers[box][0]}, box {numbers[box][1]}, "
        f"{[round(value, 2) for value in boxes[box].tolist()]}"
        f"{'' if ids is None else f' of person {int(ids[box])}'}, {what}."
        for box, what in found
    )


def _numbers(boxes: Sequence[Tensor]) -> list[tuple[int, int]]:
    """Of each box: of its image in the batch, and its own in the image."""
    return [(i, n) for i, of_image in enumerate(boxes) for n in range(len(of_image))]


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
