"""Looks at every image: is it there, does it decode, is it of the size that the annotation says."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from psbench_data.images import opened_image
from psbench_data.integrity.attempting import is_dir, unreadable
from psbench_data.integrity.findings import Finding, Severity, relative
from psbench_data.integrity.survey import FolderListing, list_folder
from psbench_data.scenes import Scenes
from psbench_data.sources.image_list_files import IMAGE_SUFFIXES

Depth = Literal["decode", "headers", "skip"]
"""How closely images are looked at: every pixel, only type and size, or not at all."""

_THREADS = 16
_NO_BYTES = "the file has zero bytes, or is a link that leads nowhere"
_RELATIVE = "Correct file_name, which is relative to FOLDER, or name its folder as an option (-O images=DIR)."


@dataclass
class Images:
    """What is known of the images.

    Attributes:
        sizes: by split, (S, 2) int: height and width of each scene's image, 0 where it cannot be opened.
        findings: what is wrong with them.
    """

    sizes: dict[str, np.ndarray] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def look_at_images(
    name: str,
    root: Path,
    image_root: Path,
    folders: Sequence[Path],
    splits: Mapping[str, Scenes],
    depth: Depth,
    progress: bool,
) -> Images:
    """Look at the images of all scenes, and at others in the same folders.

    Args:
        name: the dataset.
        root: the tree.
        image_root: the folder that scenes' paths are relative to.
        folders: where the images should be.
        splits: the scenes; without any, whatever is in the folders is looked at.
        depth: how closely.
        progress: whether to show a progress bar.
    """
    images = Images()
    if depth == "skip":
        return images
    listing = _listed(image_root, folders, splits, images.findings, root)
    expected = {path: split for split, scenes in splits.items() for path in scenes.paths}
    missing = [path for path in expected if path not in listing]
    if len(missing) == len(expected) and (expected or (folders and not listing)):
        images.findings.append(_none_there(name, root, folders or [image_root], len(expected)))
    else:
        nearly = {path.lower(): path for path in listing} if missing else {}
        images.findings += [
            _missing(name, relative(image_root / path, root), expected[path], nearly.get(path.lower()))
            for path in missing
        ]
    images.findings += [
        Finding("error", "empty-image", relative(image_root / path, root), "", _NO_BYTES, _again(name))
        for path, size in listing.items()
        if not size
    ]
    filled = [path for path, size in listing.items() if size]
    opened = _open_all(image_root, filled, depth, progress)
    images.findings += [
        _damaged(name, image_root / path, listing[path], error, root) for path, (_, _, error) in opened.items() if error
    ]
    if expected:
        others = [relative(image_root / path, root) for path in sorted(listing.keys() - expected.keys())]
        images.findings += _unlisted(name, others)
    for split, scenes in splits.items():
        sizes = np.array([opened.get(path, (0, 0, None))[:2] for path in scenes.paths], np.int64).reshape(-1, 2)
        images.sizes[split] = sizes
        images.findings += _size_differences(name, scenes, sizes, image_root, root)
    return images


def header_sizes(scenes: Scenes, which: np.ndarray, *, progress: bool = False) -> np.ndarray:
    """(n, 2) int64: height and width, pixels, that the image files of some scenes say; 0 where none can be opened.

    Args:
        scenes: of one split.
        which: (n,) indices.
        progress: whether to show a progress bar.
    """
    paths = [scenes.paths[i] for i in which]
    opened = _open_all(scenes.root, paths, "headers", progress)
    return np.array([opened[path][:2] for path in paths], np.int64).reshape(-1, 2)


def _listed(
    image_root: Path, folders: Sequence[Path], splits: Mapping[str, Scenes], findings: list[Finding], root: Path
) -> dict[str, int]:
    """Bytes of every image in the folders, and in those that scenes name, by path relative to the image root."""
    named = {(image_root / path).parent for scenes in splits.values() for path in scenes.paths}
    suffixes = {Path(path).suffix.lower() for scenes in splits.values() for path in scenes.paths}.union(IMAGE_SUFFIXES)
    found: dict[str, int] = {}
    listings: list[tuple[Path, FolderListing]] = []
    for folder in [*folders, *sorted(named.difference(folders))]:
        if is_dir(folder):
            depth = {} if folder in folders else {"depth": 1}
            listings.append((folder, list_folder(folder, tuple(suffixes), **depth)))
    for folder, listing in listings:
        prefix = relative(folder, image_root)
        for name, size in listing.sizes.items():
            found[name if prefix == "." else f"{prefix}/{name}"] = size
        findings += [unreadable(error.filename or folder, error, root) for error in listing.failed]
    return found


def _open_all(
    image_root: Path, paths: list[str], depth: Depth, progress: bool
) -> dict[str, tuple[int, int, Exception | None]]:
    """Height, width and what is wrong, for each image."""
    from tqdm import tqdm

    def look(path: str) -> tuple[int, int, Exception | None]:
        return _open(image_root / path, depth)

    # Pillow decodes outside Python's lock.
    pool = ThreadPoolExecutor(min(_THREADS, 2 * (os.cpu_count() or 1)))
    try:
        bar = tqdm(pool.map(look, paths), "images", len(paths), unit="image", disable=not progress)
        return dict(zip(paths, bar, strict=True))
    finally:
        # An interrupted look at 160,000 images should not go on behind the prompt.
        pool.shutdown(cancel_futures=True)


def _open(path: Path, depth: Depth) -> tuple[int, int, Exception | None]:
    width = height = 0
    try:
        with opened_image(path, headers_only=depth != "decode") as image:
            width, height = image.size
            if depth == "decode":
                image.load()
    # Pillow meets damaged files with OSError, SyntaxError, ValueError, struct.error, ...
    except Exception as error:
        return height, width, error
    return height, width, None


def _again(name: str) -> str:
    return "Replace it by a fresh copy" + ("." if name == "coco" else " from the archive of images.")


def _unlisted(name: str, paths: list[str]) -> list[Finding]:
    """That images belong to no scene. In a folder of one's own there may be any number, which is told once."""
    if name == "coco":
        what = f"no scene uses {len(paths):,} of the images here, such as {paths[0]}" if paths else ""
        remedy = "Nothing to do, if they are no scenes; otherwise list them in images."
        return [Finding("info", "unlisted-image", ".", "", what, remedy)] if paths else []
    # The reference reader of LSPS searches every frame of the folder, psbench those with a line.
    severity: Severity = "warning" if name == "lsps" else "info"
    remedy = "Nothing to do, if you did not expect it to be used; otherwise the annotations are of another release."
    return [Finding(severity, "unlisted-image", path, "", "no scene uses it", remedy) for path in paths]


def _damaged(name: str, path: Path, size: int, error: Exception, root: Path) -> Finding:
    if isinstance(error, PermissionError):
        return unreadable(path, error, root)
    # Some messages repeat the path, which is told beside it.
    why = str(error).replace(f" {str(path)!r}", "") or type(error).__name__
    what = f"does not decode ({size:,} bytes; {why})"
    return Finding("error", "damaged-image", relative(path, root), "", what, _again(name))


def _none_there(name: str, root: Path, folders: Sequence[Path], scenes: int) -> Finding:
    where = ", ".join(relative(folder, root) for folder in folders)
    archives = sorted(path.name for path in root.iterdir() if path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz"))
    them = f"the {scenes:,} images" if scenes else "the images"
    what = f"none of {them} is there: training and prediction need them, judging predictions does not"
    hint = f" ({', '.join(archives)}?)" if archives else ""
    remedy = f"Extract the archive of images{hint} so that they lie there."
    if name == "coco":
        remedy = _RELATIVE
    return Finding("error", "missing-image", where, "", what, remedy)


def _missing(name: str, path: str, split: str, nearly: str | None) -> Finding:
    remedy = _RELATIVE if name == "coco" else "Extract the archive of images again, all its parts."
    if nearly is not None:
        remedy = f"There is {nearly}: names must have the letters' case of the annotation."
    return Finding("error", "missing-image", path, "", f"not there; it is a {split} scene", remedy)


def _size_differences(name: str, scenes: Scenes, sizes: np.ndarray, image_root: Path, root: Path) -> list[Finding]:
    said = scenes.sizes
    remedy = "Boxes are in pixels of the original image: use the images as the authors ship them, not resized."
    if name == "coco":
        remedy = "Correct width and height; boxes are in pixels of the image, so correct them, too, if it was resized."
    differing = np.flatnonzero((said[:, 0] > 0) & (sizes[:, 0] > 0) & (said != sizes).any(axis=1))
    return [
        Finding(
            "warning",
            "image-size",
            relative(image_root / scenes.paths[i], root),
            "",
            f"{sizes[i, 0]} x {sizes[i, 1]} (height x width), and {said[i, 0]} x {said[i, 1]} by the annotation",
            remedy,
        )
        for i in differing
    ]
