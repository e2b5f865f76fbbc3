"""The dataset name `synthetic`: a tree of drawn people, which is drawn when it is first asked for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psbench_data.dataset import SYNTHETIC_MARKER
from psbench_data.errors import InputError, near_names
from psbench_data.synthetic.formats import FORMATS, default_spec, write
from psbench_data.synthetic.spec import WorldSpec


def open_or_draw(root: Path, options: Mapping[str, Any]) -> str:
    """See that `root` holds the drawn people that were asked for.

    Args:
        root: a tree that was written before, or a folder that is not there yet or is empty.
        options: `format` (cuhk_sysu by default), `images` (whether to draw the pictures; True by default), `progress`,
            and fields of `WorldSpec`. A tree that is there must agree with the options that are given.

    Returns:
        The format, which is the name of the dataset to load.

    Raises:
        InputError: an option is unknown, or the folder holds something else.
    """
    world = {field.name for field in dataclasses.fields(WorldSpec)}
    known = {*world, "format", "images", "progress"}
    if unknown := [option for option in options if option not in known]:
        raise InputError(f"synthetic has no option {option!r}. {near_names(option, known)}" for option in unknown)
    marker = root / SYNTHETIC_MARKER
    if not marker.is_file():
        name = options.get("format", "cuhk_sysu")
        spec = default_spec(name, **{option: options[option] for option in options if option in world})
        write(name, spec, root, images=options.get("images", True), progress=options.get("progress", False))
        return name
    try:
        written = json.loads(marker.read_text(encoding="utf-8"))
        if (name := written["format"]) not in FORMATS:
            raise ValueError(f"the format {name!r}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"not what `psbench-data synthesize` writes ({error})"
        raise InputError(f"{marker}: {what}. Draw the tree again.") from error
    asked = {option: options[option] for option in options if option in {*world, "format"}}
    differing = [
        f"{marker}: drawn with {option}={written.get(option)!r}, asked for {value!r}. "
        "Give another folder, or remove this one first."
        for option, value in asked.items()
        if json.loads(json.dumps(value)) != written.get(option)
    ]
    if differing:
        raise InputError(differing)
    return name
