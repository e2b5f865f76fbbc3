"""One's own pictures: which there are below a folder, how they are read, and as scenes that nobody annotated."""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from psbench_data import InputError, Scene, Scenes
from psbench_data.images import opened_image
from psbench_data.scenes import scenes_table

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"]
)
"""Of files that are taken for pictures, in small or capital letters."""
_BEYOND = 2
"""Pixels that a box may reach beyond its picture."""
_TURNED = (5, 6, 7, 8)
"""The values of a camera's word on how it was held that exchange width and height."""


class OwnPicture(Scene):
    """A picture as its owner sees it: turned as the camera says."""

    def image(self) -> Image:
        """See `Scene`, and `decoded`."""
        return decoded(self.path)

    def image_size(self) -> tuple[int, int] | None:
        """See `Scene`."""
        try:
            with warnings.catch_warnings(), opened_image(self.path, headers_only=True) as image:
                # Decoding says what there is to say.
                warnings.simplefilter("ignore")
                turned = image.getexif().get(0x0112) in _TURNED
                return image.size[::-1] if turned else image.size
        except Exception:
            return None


class OwnScenes(Scenes):
    """Pictures as scenes without people; what a scene is called need not be its file's name."""

    scene_type = OwnPicture

    @classmethod
    def of(cls, root: Path, paths: Sequence[str], names: Sequence[str]) -> OwnScenes:
        """Some pictures.

        Args:
            root: a folder.
            paths: of its pictures, relative to it.
            names: what the scenes are called, each different.
        """
        nobody = [np.zeros((0, 4), np.float32)] * len(paths)
        return cls(scenes_table(names, paths, nobody, [np.zeros(0, np.int64)] * len(paths)), root)


@dataclass(frozen=True)
class PictureFile:
    """A picture of a folder, as it was when it was read.

    Attributes:
        path: relative to the folder, with `/`.
        sha256: of its bytes.
        size: bytes.
        mtime_ns, ctime_ns: when contents and anything about the file were last changed; a file for which these and the
            size are the same is taken for the same.
    """

    path: str
    sha256: str
    size: int
    mtime_ns: int
    ctime_ns: int


def by_contents(pictures: Iterable[PictureFile]) -> list[list[PictureFile]]:
    """Each picture with its copies; pictures in the order of their first ones."""
    together: dict[str, list[PictureFile]] = {}
    for picture in pictures:
        together.setdefault(picture.sha256, []).append(picture)
    return list(together.values())


def box_faults(box: Sequence[float], size: tuple[int, int] | None) -> list[str]:
    """Why a box cannot be that of a person in a picture.

    Args:
        box: xyxy, pixels of the picture as it is seen. It may reach 2 pixels beyond: people round, and draw by hand.
        size: of the picture as it is seen, width and height, pixels; None where that is not known.
    """
    sides = (("left", box[0], "right", box[2]), ("top", box[1], "bottom", box[3]))
    faults = [f"{end} ({b:g}) is not beyond {start} ({a:g})" for start, a, end, b in sides if not a < b]
    if size and not faults:
        inside = np.clip(box, 0, size * 2)
        if np.abs(inside - box).max() > _BEYOND or not (inside[2:] > inside[:2]).all():
            faults = [f"reaches beyond the picture, which is {size[0]} x {size[1]} pixels as you see it"]
    return [f"box {','.join(f'{side:g}' for side in box)}: {fault}." for fault in faults]


def decoded(path: Path) -> Image:
    """A picture in RGB, turned as the camera says; of several in one file, the first.

    Raises:
        InputError: it is not there, is not one, is damaged, or has more pixels than Pillow takes for harmless.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            # Pillow speaks of oddities that can be read all the same.
            warnings.simplefilter("ignore")
            with opened_image(path) as image:
                return _eight_bits(ImageOps.exif_transpose(image)).convert("RGB")
    except FileNotFoundError:
        raise InputError(f"{printable(path)}: there is no such file. Give one that is there.") from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{printable(path)}: too many pixels ({error}). Give a smaller copy.") from None
    # Pillow meets damaged files with OSError, SyntaxError, TypeError, struct.error, ...
    except Exception as error:
        why = printable(str(error))
        raise InputError(
            f"{printable(path)}: not a picture that can be read ({why}). Give a JPEG or PNG file."
        ) from error


def find_pictures(folder: Path) -> tuple[list[str], int]:
    """The pictures below a folder, by the endings of their names; hidden files and folders are left alone.

    Returns:
        Their paths relative to the folder, with `/`, in order, and how many links there are. No link is followed: it
        may lead anywhere.

    Raises:
        InputError: there is no such folder, it holds no pictures, or parts of it cannot be listed.
    """
    if not folder.is_dir():
        raise InputError(f"{printable(folder)}: there is no such folder. Give one with pictures.")
    faults: list[str] = []
    paths, links = [], 0
    for path in _below(folder, faults):
        if path.is_symlink():
            links += path.suffix.lower() in ENDINGS or path.is_dir()
        elif path.suffix.lower() in ENDINGS and not path.is_dir():
            faults += _name_faults(path)
            paths.append(path.relative_to(folder).as_posix())
    if faults:
        raise InputError(faults)
    if not paths:
        raise InputError(f"{printable(folder)}: holds no pictures ({', '.join(sorted(ENDINGS))}). Give another folder.")
    return sorted(paths), links


def examine(folder: Path, path: str) -> PictureFile:
    """What tells a picture from others, once it is sure that it can be read.

    Raises:
        InputError: it cannot.
    """
    file = folder / path
    try:
        # Before it is read: a change in the meantime is then noticed the next time.
        known = file.lstat()
        if not stat.S_ISREG(known.st_mode):
            raise InputError(f"{printable(file)}: not a file, whatever it is called. Remove it.")
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{printable(file)}: cannot be read ({error.strerror}). Make it readable.") from None
    decoded(file)
    return PictureFile(path, digest, known.st_size, known.st_mtime_ns, known.st_ctime_ns)


def unchanged(folder: Path, file: PictureFile) -> bool:
    """Whether a picture is there as it was, as far as can be told without reading it."""
    try:
        now = (folder / file.path).lstat()
    except OSError:
        return False
    found = (now.st_size, now.st_mtime_ns, now.st_ctime_ns)
    return stat.S_ISREG(now.st_mode) and found == (file.size, file.mtime_ns, file.ctime_ns)


def printable(name: Path | str) -> str:
    """A name for a terminal: control characters, and what is not text, are spelt out."""
    text = str(name)
    return text if text.isprintable() else ascii(text)[1:-1]


def _eight_bits(image: Image) -> Image:
    """Grey of 16 bits made 8: Pillow's own conversion would make nearly all of it white."""
    from PIL import Image as Images

    if not image.mode.startswith("I"):
        return image
    return Images.fromarray((np.asarray(image).clip(0, 2**16 - 1) >> 8).astype(np.uint8))


def _below(folder: Path, faults: list[str]) -> Iterator[Path]:
    def note(error: OSError) -> None:
        faults.append(f"{printable(error.filename)}: cannot be listed ({error.strerror}). Make it readable.")

    for parent, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in [*folders, *names]:
            if not name.startswith("."):
                yield Path(parent, name)


def _name_faults(path: Path) -> list[str]:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return [f"{printable(path)}: this name is not UTF-8 text. Rename the file or its folder."]
    return []
