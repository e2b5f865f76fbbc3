"""Image files that would take all memory or time, or a program outside, are refused wherever images are read."""

from __future__ import annotations

import io
import os
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner

from psbench import InputError
from psbench.cli import app
from psbench.inference.gallery import index_pictures
from psbench.inference.gallery_search import search_pictures
from psbench.own_pictures import decoded
from psbench.zoo.images import image_tensor
from psbench_data import Scene, doctor, load
from psbench_data.exporting.parquet import export_parquet
from tests.data.own_data import own_document, write_own_data
from tests.models.looks import Looks

MOST = 400 * 2**20
"""Bytes that refusing a file may take at most, pyarrow's and torch's own included; decoded, each would be gigabytes."""


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, *more: bytes) -> bytes:
    """One bit a pixel, all of them nought; rows that are not there are found missing only in the end."""
    rows = zlib.compress(b"\0" * (1 + -(-width // 8)) * min(height, 20_000), 9)
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _saved(form: str, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, form, **options)
    return stream.getvalue()


def _jpeg_of(width: int, height: int) -> bytes:
    """A JPEG file that says to be so large."""
    content = bytearray(_saved("JPEG"))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def _many_scans() -> bytes:
    """A progressive JPEG file whose last scan comes again and again."""
    content = _saved("JPEG", (1024, 1024), progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * 3000 + b"\xff\xd9"


def _webp_of(width: int, height: int) -> bytes:
    content = bytearray(_saved("WEBP"))
    at = content.index(b"\x9d\x01\x2a")
    content[at + 3 : at + 7] = struct.pack("<HH", width, height)
    return bytes(content)


def _gif_of(width: int, height: int) -> bytes:
    content = bytearray(_saved("GIF"))
    content[6:10] = struct.pack("<HH", width, height)
    return bytes(content)


def _bmp_of(width: int, height: int) -> bytes:
    content = bytearray(_saved("BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


BOMBS: dict[str, Callable[[], bytes]] = {
    "png of 60,000 x 60,000": lambda: _png(60_000, 60_000),
    # Of these, Pillow itself only warns.
    "png of 13,000 x 13,000": lambda: _png(13_000, 13_000),
    "png with an endless text": lambda: _png(64, 48, _chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 2**25, 9))),
    "png with an endless profile": lambda: _png(64, 48, _chunk(b"iCCP", b"a\0\0" + zlib.compress(b"x" * 2**25, 9))),
    "jpeg of 65,500 x 65,500": lambda: _jpeg_of(65_500, 65_500),
    "jpeg of 13,000 x 13,000": lambda: _jpeg_of(13_000, 13_000),
    "jpeg of thousands of scans": _many_scans,
    "webp of 16,383 x 16,383": lambda: _webp_of(16_383, 16_383),
    "gif of 65,500 x 65,500": lambda: _gif_of(65_500, 65_500),
    "bmp of 65,500 x 65,500": lambda: _bmp_of(65_500, 65_500),
    "eps": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n",
    "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
    "html": lambda: b"<script>alert(1)</script>",
    "pdf": lambda: b"%PDF-1.4\n",
}


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of them, called as if they were JPEG files."""
    folder = tmp_path_factory.mktemp("bombs")
    for i, make in enumerate(BOMBS.values()):
        content = make()
        assert len(content) < 2**20
        (folder / f"{i}.jpg").write_bytes(content)
    return folder


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Programs that Pillow would hand files to, and that must not be started."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("gs", "gswin32c", "magick", "convert", "djpeg"):
        (folder / name).write_text(f"#!/bin/sh\ntouch '{folder}/started'\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    # Pillow looks once whether there is one, and remembers.
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", str(folder / "gs"))
    yield
    assert not (folder / "started").exists()


@pytest.fixture
def memory() -> Iterator[None]:
    """Whether a test takes more memory than refusing may; looked at every few milliseconds."""
    process, done, most = psutil.Process(), threading.Event(), [0]
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.005):
            most[0] = max(most[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield
    done.set()
    watcher.join()
    assert most[0] - before < MOST


def _scene(path: Path) -> Scene:
    return Scene("a.jpg", path, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None)


READERS: dict[str, Callable[[Path], object]] = {
    "scene": lambda path: _scene(path).image(),
    "tensor": lambda path: image_tensor(_scene(path)),
    "own picture": decoded,
}


@pytest.mark.usefixtures("outside", "memory")
@pytest.mark.parametrize("reader", READERS)
def test_each_is_refused_with_its_name(reader: str, bombs: Path) -> None:
    for i, bomb in enumerate(BOMBS):
        with pytest.raises(InputError) as refused:
            READERS[reader](bombs / f"{i}.jpg")
        assert str(bombs / f"{i}.jpg") in str(refused.value), bomb
        assert len(refused.value.faults) == 1


@pytest.mark.usefixtures("outside", "memory")
def test_sizes_are_read_without_decoding(bombs: Path) -> None:
    for i in range(len(BOMBS)):
        size = _scene(bombs / f"{i}.jpg").image_size()
        assert size is None or min(size) > 0


@pytest.mark.usefixtures("outside", "memory")
def test_doctor_names_all_of_them(bombs: Path, tmp_path: Path) -> None:
    root = _own_data(bombs, tmp_path)
    for depth in ("decode", "headers"):
        report = doctor(root, "coco", images=depth)
        damaged = {finding.file for finding in report.findings if finding.topic == "damaged-image"}
        if depth == "decode":
            assert damaged == {f"day/{i}.jpg" for i in range(len(BOMBS))}
            assert not report.ok


@pytest.mark.usefixtures("outside", "memory")
def test_they_are_not_passed_on(bombs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        export_parquet(load("coco", root=_own_data(bombs, tmp_path)), tmp_path / "out", embed_images=True)
    assert len(refused.value.faults) == len(BOMBS)


@pytest.mark.usefixtures("outside", "memory")
def test_view_index_and_search_name_them(bombs: Path, tmp_path: Path) -> None:
    root = _own_data(bombs, tmp_path)
    given = ["view", "--root", str(root), "--data", "coco", "--scenes", "20", "-o", str(tmp_path / "v.html")]
    found = CliRunner().invoke(app, given)
    assert found.exit_code == 1
    assert "error: " in found.output
    assert "does not decode" in found.output
    with pytest.raises(InputError) as refused:
        index_pictures(Looks(), bombs, tmp_path / "index", progress=False)
    assert len(refused.value.faults) == len(BOMBS)
    with pytest.raises(InputError, match=r"0\.jpg"):
        search_pictures(Looks(), bombs / "0.jpg", [1, 1, 9, 9], bombs, progress=False)


def _own_data(bombs: Path, folder: Path) -> Path:
    """Data of which some pictures are such files."""
    root = write_own_data(folder / "data", own_document())
    for path in bombs.iterdir():
        (root / "day" / path.name).write_bytes(path.read_bytes())
    return root


def test_pictures_of_another_kind_than_their_ending_are_read(tmp_path: Path) -> None:
    for form in ("PNG", "WEBP", "BMP", "TIFF", "GIF", "JPEG"):
        (tmp_path / "a.jpg").write_bytes(_saved(form))
        assert _scene(tmp_path / "a.jpg").image().size == (64, 48)


def test_progressive_files_are_read_as_before(tmp_path: Path) -> None:
    for size in ((64, 48), (1024, 768)):
        (tmp_path / "a.jpg").write_bytes(_saved("JPEG", size, progressive=True))
        with Image.open(tmp_path / "a.jpg") as image:
            np.testing.assert_array_equal(
                np.asarray(image.convert("RGB")), np.asarray(_scene(tmp_path / "a.jpg").image())
            )


def test_no_room_is_made_for_what_a_chunk_only_says_it_has(tmp_path: Path) -> None:
    content = _png(64, 48)
    at = content.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(content[:at] + struct.pack(">I", 2**31 - 1) + content[at + 4 :])
    tracemalloc.start()
    try:
        assert decoded(tmp_path / "a.png").size == (64, 48)
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()


def test_files_larger_than_any_picture_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.write(_saved("PNG"))
        file.truncate(2**30 + 1)
    with pytest.raises(InputError, match="1,073,741,825 bytes, expected at most 1,073,741,824"):
        decoded(tmp_path / "a.png")
