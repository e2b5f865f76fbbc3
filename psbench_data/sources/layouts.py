"""What the official dataset trees look like from outside: to recognise a folder and to help with a wrong one."""

from pathlib import Path

from psbench_data.errors import InputError

LAYOUTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cuhk_sysu": ("CUHK-SYSU", ("annotation/Images.mat", "annotation/pool.mat", "annotation/test/train_test")),
    "prw": ("PRW", ("frame_train.mat", "frame_test.mat", "query_info.txt", "annotations")),
    "lsps": ("LSPS", ("train_frame_coord.txt", "test_frame_coord.txt", "query_info.txt")),
    "movienet_cs": ("MovieNet-CS", ("annotation/Images.mat", "annotation/pool_2000.mat")),
}
"""Per dataset: its printed name, and the paths that together make it recognisable."""


def recognise(root: Path) -> str | None:
    """The name of the dataset whose official tree `root` is, or None."""
    for name, (_, paths) in LAYOUTS.items():
        if all((root / path).exists() for path in paths):
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
    if (other := recognise(root)) is not None:
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
