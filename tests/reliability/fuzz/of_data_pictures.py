"""Pictures: of a dataset's scenes and one's own, as they are decoded for people and for models."""

from __future__ import annotations

import struct
import zlib
from functools import cache, partial
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from psbench.own_pictures import OwnScenes, decoded, examine, find_pictures
from psbench.zoo.images import image_tensor
from psbench_data import Scene
from tests.reliability.fuzz.grammar import png_changed
from tests.reliability.fuzz.mutating import damaged_bytes
from tests.reliability.fuzz.target import Target

_MODES = {
    "JPEG": ("RGB", "L", "CMYK"),
    "PNG": ("RGB", "L", "P", "RGBA", "I;16", "1"),
    "GIF": ("P",),
    "BMP": ("RGB", "P"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("RGB", "L", "I;16"),
}
_SIDES = (0, 1, 64, 255, 9_000, 9_459, 9_461, 13_377, 13_380, 60_000, 65_500, 65_535, 2**31 - 1, 2**32 - 1)
_LARGE = ((9_000, 9_000), (9_400, 9_400), (80_000, 1_000), (13_000, 13_000))
_CHANNELS = {0: 1, 2: 3, 3: 1, 6: 4}
"""Of the kinds of PNG: grey, colours, a palette, and colours that one can look through."""
_MEMORY = 1536
"""MiB: the largest picture that is taken has 89 million pixels of 4 bytes each, and is there up to four times while it
is turned, made RGB and handed on."""


def _make(formats: tuple[str, ...], folder: Path) -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8))
    for form in formats:
        for mode in _MODES[form]:
            name = folder / f"{mode.replace(';', '')}.{form.lower()}"
            grey = Image.fromarray(rng.integers(0, 2**16, (24, 32)).astype(np.uint16))
            (grey if mode == "I;16" else picture.convert(mode)).save(name, form, **_written(form))


def _written(form: str) -> dict[str, object]:
    exif = Image.Exif()
    exif[0x0112] = 6
    return {"exif": exif.tobytes()} if form in ("JPEG", "PNG", "WEBP") else {}


def _read(folder: Path) -> int:
    """Each picture that is there, as a scene's and as one's own; what is refused is refused by all alike."""
    looked = 0
    for path in sorted(path for path in folder.iterdir()):
        scene = Scene(path.name, path, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None)
        scene.image_size()
        looked += image_tensor(scene).shape[1] + scene.image().width
    return looked


def _read_own(folder: Path) -> int:
    paths, _ = find_pictures(folder)
    scenes = OwnScenes.of(folder, paths, paths)
    looked = sum(examine(folder, path).size + decoded(folder / path).width for path in paths)
    return looked + sum(image_tensor(scene).shape[2] + len(scene.image_size() or ()) for scene in scenes)


def damaged_picture(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """A picture that says another size, a part of a PNG changed under a right checksum, or a huge one that is whole."""
    name = random.choice(list(files))
    content = files[name]
    chance = random.random()
    if chance < 0.002:
        return {name: _huge(random.choice(_LARGE), random.choice(list(_CHANNELS)))}
    if content.startswith(b"\x89PNG") and chance < 0.6:
        return {name: png_changed(random, content)}
    return {name: _sized(random, content)}


def _sized(random: Random, content: bytes) -> bytes:
    width, height = random.choices(_SIDES, k=2)
    if random.random() < 0.3:
        width = height = random.choice(_SIDES)
    if content.startswith(b"\x89PNG"):
        header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
        return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
    at, code = _size_place(content)
    if at < 0 or at + struct.calcsize(code) > len(content):
        return damaged_bytes(random, content, [content])
    largest = 1 << 8 * struct.calcsize(code) // 2
    field = struct.pack(code, height % largest, width % largest)
    return content[:at] + field + content[at + len(field) :]


def _size_place(content: bytes) -> tuple[int, str]:
    """Where a file says its size, and how; -1 where that is not known."""
    if content.startswith(b"\xff\xd8"):
        frames = [at for marker in (b"\xff\xc0", b"\xff\xc2") if (at := content.find(marker)) >= 0]
        return (frames[0] + 5, ">HH") if frames else (-1, ">HH")
    if content.startswith(b"GIF8"):
        return 6, "<HH"
    if content.startswith(b"BM"):
        return 18, "<II"
    if content[12:16] == b"VP8 ":
        return 26, "<HH"
    return -1, "<HH"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def _huge(size: tuple[int, int], kind: int) -> bytes:
    """A PNG of a few kilobytes that is all there, black, of so many pixels."""
    width, height = size
    deflate = zlib.compressobj(1)
    row = bytes(1 + width * _CHANNELS[kind])
    data = b"".join(deflate.compress(row) for _ in range(height)) + deflate.flush()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))]
    parts += [(b"PLTE", bytes(768))] if kind == 3 else []
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in [*parts, (b"IDAT", data), (b"IEND", b"")])


TARGETS = (
    Target("pictures of scenes (JPEG)", partial(_make, ("JPEG",)), ("*",), _read, damaged_picture, memory=_MEMORY),
    Target("pictures of scenes (PNG)", partial(_make, ("PNG",)), ("*",), _read, damaged_picture, memory=_MEMORY),
    Target(
        "one's own pictures (JPEG, PNG, GIF, BMP, WEBP, TIFF)",
        partial(_make, tuple(_MODES)),
        ("*",),
        _read_own,
        damaged_picture,
        memory=_MEMORY,
    ),
)
