"""Boxes against their images: which lie outside, run over the border or have no area."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from psbench_data.integrity.findings import Finding, Severity, relative
from psbench_data.scenes import Scenes

_TOLERANCE = 1
"""Pixels. Boxes of MATLAB count from 1, so that the last one of an image ends one pixel beyond its border."""


def check_boxes(
    name: str, splits: Mapping[str, Scenes], image_sizes: Mapping[str, np.ndarray], root: Path
) -> list[Finding]:
    """Look at the boxes of all scenes.

    Args:
        name: the dataset.
        splits: its splits.
        image_sizes: by split, (S, 2) height and width of the images as far as they were opened (0 otherwise); where
            they were not, the size that the annotation says is taken.
        root: the tree.
    """
    findings = []
    for split, scenes in splits.items():
        opened = image_sizes.get(split, np.zeros((len(scenes), 2), np.int64))
        findings += _check(name, split, scenes, np.where(opened > 0, opened, scenes.sizes), root)
    return findings


def _check(name: str, split: str, scenes: Scenes, sizes: np.ndarray, root: Path) -> list[Finding]:
    scene_of = np.repeat(np.arange(len(scenes)), np.diff(scenes.offsets))
    height, width = sizes[scene_of].T
    known = height > 0
    x1, y1, x2, y2 = scenes.boxes.T
    flat = (x2 <= x1) | (y2 <= y1)
    outside = known & ~flat & ((x2 <= 0) | (y2 <= 0) | (x1 >= width) | (y1 >= height))
    over = np.maximum.reduce([-x1, -y1, x2 - width, y2 - height])
    sticks_out = known & ~flat & ~outside & (over > _TOLERANCE)
    # Those of PRW are in the authors' files: 96 boxes of test frames run over the right or lower border.
    border: Severity = "info" if name == "prw" else "warning"

    outside_remedy, border_remedy = (_OWN_BOX, _OWN_CLIPPED) if name == "coco" else (_OTHER_RELEASE, _CLIPPED)

    def finding(row: int, severity: Severity, topic: str, what: str, remedy: str) -> Finding:
        scene = int(scene_of[row])
        file = relative(scenes.root / scenes.paths[scene], root)
        box = " ".join(f"{value:g}" for value in scenes.boxes[row])
        where = f"box {row - int(scenes.offsets[scene])}"
        return Finding(severity, topic, file, where, f"x1 y1 x2 y2 = {box} in a {split} scene {what}", remedy)

    def extent(row: int) -> str:
        return f"of {width[row]} x {height[row]} pixels (width x height)"

    return [
        *(
            finding(row, "error", "box-without-area", "has no area", "Correct the annotation.")
            for row in np.flatnonzero(flat).tolist()
        ),
        *(
            finding(row, "warning", "box-outside", f"{extent(row)} lies outside of it", outside_remedy)
            for row in np.flatnonzero(outside).tolist()
        ),
        *(
            finding(row, border, "box-over-border", f"{extent(row)} sticks out by {over[row]:g}", border_remedy)
            for row in np.flatnonzero(sticks_out).tolist()
        ),
    ]


_OTHER_RELEASE = "Check that image and annotation are of one release, and that the image is not resized or cropped."
_CLIPPED = "Models clip it to the image; if it is far over, check that image and annotation are of one release."
_OWN_BOX = "Check bbox, which is x, y, width, height in pixels, and that the image is not resized or cropped."
_OWN_CLIPPED = "Models clip it to the image; if it is far over, check bbox, which is x, y, width, height in pixels."
