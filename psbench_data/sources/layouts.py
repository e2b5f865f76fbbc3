"""What the official dataset trees look like from outside: to recognise a folder and to help with a wrong one."""

import os
from pathlib import Path

from psbench_data.errors import InputError

LAYOUTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cuhk_sysu": ("CUHK-SYSU", ("annotation/Images.mat", "annotation/pool.mat", "annotation/test/train_test")),
    "prw": ("PRW", ("frame_train.mat", "frame_test.mat", "annotations")),
    "lsps": ("LSPS", ("train_frame_coord.txt", "test_frame_coord.txt", "train_frame_id.txt", "test_frame_id.txt")),
    "movienet_cs": ("MovieNet-CS", ("annotation/Images.mat", "annotation/test/train_test")),
    "coco": ("COCO-style data", ("test.json",)),
}
"""Per dataset: its printed name, and the paths without which a tree is not one."""
IMAGE_FOLDERS = {
    "cuhk_sysu": ("Image/SSM", "Image", "image/SSM", "image"),
    "movienet_cs": ("Image", "Image/SSM"),
}
"""Where the images are: the official folder, then those of copies in circulation."""


def image_folder(name: str, root: Path) -> str:
    """The folder of the images, relative to the root: the first that has files, the official one where none has."""
    for folder in IMAGE_FOLDERS[name]:
        if (root / folder).is_dir() and _holds_images(root / folder, nested=name == "movienet_cs"):
            return folder
    return IMAGE_FOLDERS[name][0]


def _holds_images(folder: Path, nested: bool) -> bool:
    with os.scandir(folder) as entries:
        # MovieNet-CS may sort its images into one folder a movie; SSM is none.
        return any(entry.is_file() or (nested and entry.is_dir() and entry.name != "SSM") for entry in entries)


def recognise(root: Path) -> str | None:
    """The name of the dataset whose official tree `root` is, or None."""
    # CUHK-SYSU and MovieNet-CS differ by their pools.
    if any((root / "annotation").glob("pool_*.mat")):
        return "movienet_cs"
    for name, (_, paths) in LAYOUTS.items():
        if name != "movienet_cs" and all((root / path).exists() for path in paths):
            return name
    return None


def require_root(name: str, root: Path) -> None:
    """Check that `root` is a tree of dataset `name`.

    Raises:
        InputError: naming what is missing and, where it can be told, the dataset or folder that was meant.
    """
    title, paths = LAYOUTS[name]
    if not root.is_dir():
        state = "is a file" if root.is_file() else "does not exist"
        raise InputError(f"{root}: this folder {state}. Give the folder that holds {paths[0]} of {title} as root.")
    missing = [path for path in paths if not (root / path).exists()]
    if not missing:
        return
    if (other := recognise(root)) not in (None, name):
        raise InputError(
            f"{root}: this is a tree of {LAYOUTS[other][0]}, not of {title}. Give the folder of {title} as root."
        )
    below = [child for child in sorted(root.iterdir()) if child.is_dir() and recognise(child) == name]
    for candidate in [*root.resolve().parents[:3], *below]:
        if recognise(candidate) == name:
            raise InputError(f"{root}: not the root of {title}, but {candidate} is. Give that folder as root.")
    raise InputError(
        f"{root / path}: expected in a tree of {title}, and not there. "
        "Check that root is the dataset's top folder and that its archive was extracted in full."
        for path in missing
    )
