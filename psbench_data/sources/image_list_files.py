"""Where CUHK-SYSU and MovieNet-CS, which are built alike, have their lists and images."""

from __future__ import annotations

import os
import re
from pathlib import Path

LISTS = "annotation/test/train_test"
"""The folder of the lists of people."""
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
IMAGE_FOLDERS = {
    "cuhk_sysu": ("Image/SSM", "Image", "image/SSM", "image"),
    "movienet_cs": ("Image", "Image/SSM"),
}
"""Where the images are: the official folder, then those of copies in circulation."""


def numbered_lists(root: Path, stem: str) -> dict[int, Path]:
    """The files `<stem><number>.mat` among the lists, by number, ascending. A link that leads nowhere is none."""
    folder = root / LISTS
    # Not glob, which takes a folder that may not be read for an empty one.
    files = folder.iterdir() if folder.is_dir() else []
    matches = (re.fullmatch(rf"{stem}(\d{{1,9}})\.mat", path.name, re.ASCII) for path in files)
    found = {int(match[1]): folder / match[0] for match in matches if match}
    return {number: found[number] for number in sorted(found) if found[number].is_file()}


def image_folder(name: str, root: Path) -> str:
    """The folder of the images, relative to the root: the first that has some, the official one where none has."""
    for folder in IMAGE_FOLDERS[name]:
        if (root / folder).is_dir() and _holds_images(root / folder, nested=name == "movienet_cs"):
            return folder
    return IMAGE_FOLDERS[name][0]


def _holds_images(folder: Path, nested: bool) -> bool:
    with os.scandir(folder) as entries:
        # MovieNet-CS may sort its images into one folder a movie; SSM is none.
        return any(
            (entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file())
            or (nested and entry.name != "SSM" and entry.is_dir())
            for entry in entries
            if not entry.name.startswith(".")
        )
