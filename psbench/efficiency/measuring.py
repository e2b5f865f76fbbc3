"""`measure`: one procedure for every model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from psbench.efficiency.computing import computing_in
from psbench.efficiency.detecting import Detecting, calibration, counted_rois, resized, score_threshold
from psbench.efficiency.embedding import Embedding
from psbench.efficiency.pictures import drawn_pictures
from psbench.efficiency.result import AtSize, Efficiency, Search
from psbench.efficiency.searching import REID, Searching
from psbench.efficiency.settings import Settings
from psbench.efficiency.speeds import speeds
from psbench.efficiency.subject import Subject, fresh_model
from psbench.hardware import device_name, versions
from psbench.intake import is_whole
from psbench.processes import placed
from psbench.zoo import ZooModel, model_class
from psbench.zoo.cost import Cost, cost
from psbench.zoo.layers.faster_rcnn import ImageSize
from psbench_data import InputError

SIZES: tuple[ImageSize, ...] = ((800, 1333), (900, 1500))
"""Of the papers' speeds; joint models are measured at both."""
_FOLLOW = {"min_size": "sizes", "max_size": "sizes", "score_thresh_test": "people"}
"""Options that the procedure sets, and what they follow from."""


def measure(
    model: str,
    *,
    weights: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    sizes: Sequence[ImageSize] | None = None,
    progress: bool = True,
    **how: Any,
) -> Efficiency:
    """Measure what a model costs and how fast it is; docs/performance.md describes the procedure.

    Args:
        model: its name in the zoo.
        weights: a run's folder or a weights file; fresh weights without.
        options: of the model, that differ from its own or those of the weights.
        sizes: images are resized into each of these heights and widths, pixels; `SIZES` by default, of a pairwise model
            its own; a re-ID network's is an option of it.
        progress: whether to show a progress bar.
        **how: device, precision, data, people, images, warm_up, batches, workers, scenes: see `Settings.of`.

    Raises:
        InputError: the model, an option, the device or a number cannot be, or the weights are not of this model; the
            device's memory does not suffice for one image.
    """
    settings = Settings.of(**how)
    subject = Subject.of(model, weights=weights, options=_checked(options or {}), data=settings.data)
    made = subject.model()
    parameters = [(p.numel(), p.requires_grad) for p in made.parameters()]
    kind = model_class(model).trains_on
    _require_options(model, kind)
    of_sizes, searches, counted = list[AtSize](), list[Search](), cost(made, *SIZES[0])
    with torch.no_grad(), computing_in(settings.precision, settings.device):
        if kind == "crops":
            of_sizes = [_embedding(subject, settings, progress)]
        elif kind == "pairs":
            own = (made.options.min_size, made.options.max_size)
            searches = [_searching(subject, size, settings, progress) for size in _sizes(sizes or [own])]
        else:
            of_sizes = [_detecting(subject, size, settings, progress) for size in _sizes(sizes or SIZES)]
    return Efficiency(
        model=model,
        # As JSON has them, so that what is read again is equal.
        options=json.loads(json.dumps(subject.changes)),
        weights=subject.digest,
        parameters=sum(count for count, _ in parameters),
        trained=sum(count for count, is_trained in parameters if is_trained),
        sizes=tuple(of_sizes),
        searches=tuple(searches),
        device=device_name(settings.device),
        threads=torch.get_num_threads(),
        precision=settings.precision,
        memory_is="allocated" if settings.device.type == "cuda" else "resident growth",
        data=settings.data,
        people=settings.people if kind == "scenes" else None,
        rois=_rois(made) if counted.per("RoI") else None,
        images=settings.images,
        warm_up=settings.warm_up,
        versions=versions(),
        measured=datetime.now(UTC).date(),
    )


def _detecting(subject: Subject, size: ImageSize, settings: Settings, progress: bool) -> AtSize:
    pictures, (height, width) = drawn_pictures(settings.data), size
    changes: dict[str, Any] = {"min_size": height, "max_size": width, "score_thresh_test": 0.0}
    model = subject.model(**changes)
    counted = _counted(model, size, settings)
    inputs = resized(pictures, size, settings.device)
    model = placed(model, settings.device)
    with counted_rois(model, counted) as rois:
        chosen = [inputs[number] for number in calibration(pictures, settings)]
        threshold = score_threshold(model, chosen, settings.people)
    model = placed(subject.model(**changes | {"score_thresh_test": threshold}), settings.device)
    timings, too_large = speeds(
        Detecting(model, inputs), pictures, settings, what=f"{subject.name} {height}x{width}", progress=progress
    )
    return AtSize(
        height=height,
        width=width,
        gmac=counted.gmac,
        score_threshold=threshold,
        rois=sum(rois) / len(chosen) if rois else None,
        timings=timings,
        too_large=too_large,
    )


def _embedding(subject: Subject, settings: Settings, progress: bool) -> AtSize:
    pictures, model = drawn_pictures(settings.data), subject.model()
    counted = cost(model, *SIZES[0])
    embedding = Embedding(placed(model, settings.device), pictures, settings.device)
    timings, too_large = speeds(embedding, pictures, settings, what=subject.name, progress=progress)
    height, width = model.options.size
    return AtSize(
        height=height,
        width=width,
        gmac=counted.per("person"),
        score_threshold=None,
        rois=None,
        timings=timings,
        too_large=too_large,
    )


def _searching(subject: Subject, size: ImageSize, settings: Settings, progress: bool) -> Search:
    height, width = size
    model = subject.model(min_size=height, max_size=width)
    counted = _counted(model, size, settings)
    reid = placed(fresh_model(REID, settings.data), settings.device)
    searching = Searching(
        placed(model, settings.device), reid, drawn_pictures(settings.data), settings, progress=progress
    )
    return searching.measure(counted, height=height, width=width)


def _counted(model: ZooModel, size: ImageSize, settings: Settings) -> Cost:
    return cost(model, *size, rois=_rois(model), people=round(settings.people))


def _rois(model: ZooModel) -> int:
    """The proposals that the model passes on at most."""
    return getattr(model.options, "rpn_post_nms_top_n_test", 1)


def _checked(options: Mapping[str, Any]) -> Mapping[str, Any]:
    if wrong := [name for name in options if name in _FOLLOW]:
        raise InputError(f"{name} cannot be set here, it follows from {_FOLLOW[name]}. Leave it out." for name in wrong)
    return options


def _require_options(model: str, kind: str) -> None:
    """Refuse a model of another package that cannot be told what the procedure sets."""
    known = {field.name for field in dataclasses.fields(model_class(model).options_type)}
    wanted = {"scenes": (*_FOLLOW,), "crops": ("size",), "pairs": ("min_size", "max_size")}[kind]
    if lacking := [name for name in wanted if name not in known]:
        raise InputError(
            f"{model} has no option {', '.join(lacking)}, which the procedure sets (docs/performance.md). Add it to "
            "the model; `psbench cost` needs none."
        )


def _sizes(sizes: Sequence[ImageSize]) -> list[ImageSize]:
    """The short side first, each size once."""
    if wrong := [size for size in sizes if len(size) != 2 or not all(is_whole(n) and n >= 32 for n in size)]:
        raise InputError(f"size {size}: expected a height and a width of at least 32 pixels." for size in wrong)
    return list(dict.fromkeys((min(size), max(size)) for size in sizes))
