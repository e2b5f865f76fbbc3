"""The drawn people that the demo measures on, in every dataset's own format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from psbench_data import InputError
from psbench_data.synthetic.formats import default_spec, write
from psbench_data.synthetic.spec import WorldSpec
from psbench_data.synthetic.tree import holds

_CHANGES: dict[str, dict[str, Any]] = {
    "cuhk_sysu": {"gallery_entries": (50, 100, 150, 200, 250, 300)},
    "prw": {"test_scenes": 300, "test_identities": 24},
    "movienet_cs": {
        "train_scenes": 200,
        "test_scenes": 240,
        "train_identities": 50,
        "test_identities": 48,
        "gallery_entries": (80, 120, 160),
    },
}
"""What differs from the usual drawn people: CUHK-SYSU has a gallery of every name; PRW has fewer queries, of which
a person has as many as cameras; MovieNet-CS, for which thirty networks are trained, is smaller."""


def demo_world(name: str) -> WorldSpec:
    """What is drawn in the format of a dataset."""
    return default_spec(name, **_CHANGES.get(name, {}))


def draw_demo(name: str, root: Path, *, progress: bool) -> None:
    """Draw people in the format of a dataset, unless that has been done.

    Args:
        name: of the dataset.
        root: the dataset's folder.
        progress: whether to show a progress bar.

    Raises:
        InputError: there is something else in the folder.
    """
    world = demo_world(name)
    if not root.exists():
        write(name, world, root, progress=progress)
    elif not holds(name, world, root):
        raise InputError(f"{root}: not the people that this version draws. Remove this folder, or choose another.")
