"""Pictures as tensors: the same numbers as Pillow's, whatever decodes them, and made ahead in their order."""

import io
import threading
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from psbench.inference.ahead import made_ahead
from psbench.inference.pictures import Pictures, over_pictures
from psbench.own_pictures import OwnScenes
from psbench.zoo.images import image_tensor, picture_tensor
from psbench_data import InputError, PersonSearchDataset, Scenes
from psbench_data.scenes import scenes_table


def _picture(mode: str = "RGB", size: tuple[int, int] = (83, 61)) -> Image.Image:
    rng = np.random.default_rng(0)
    return (
        Image.fromarray(rng.integers(0, 255, (12, 9, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC).convert(mode)
    )


def _scenes(root: Path, *names: str) -> Scenes:
    nothing = [np.zeros((0, 4), np.float32)] * len(names)
    return Scenes(scenes_table(names, names, nothing, [np.zeros(0, np.int64)] * len(names)), root)


@pytest.mark.parametrize(
    ("name", "mode", "how"),
    [
        ("a.jpg", "RGB", {"quality": 75}),
        ("a.jpg", "RGB", {"quality": 95, "subsampling": 0}),
        ("a.jpg", "RGB", {"quality": 30, "subsampling": 1}),
        ("a.jpg", "RGB", {"progressive": True}),
        ("a.jpg", "L", {}),
        ("a.jpg", "CMYK", {}),
        ("a.png", "RGB", {}),
        ("png.jpg", "P", {"format": "PNG"}),
        ("a.bmp", "RGB", {}),
    ],
)
def test_every_file_is_decoded_as_by_pillow(name: str, mode: str, how: dict[str, object], tmp_path: Path) -> None:
    for size in [(83, 61), (1, 1), (64, 48), (17, 200)]:
        _picture(mode, size).save(tmp_path / name, **how)
        [scene] = _scenes(tmp_path, name)
        found = image_tensor(scene)
        assert found.dtype == torch.uint8
        assert torch.equal(found, picture_tensor(scene.image()))


def test_a_turned_picture_of_ones_own_stays_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    _picture().save(tmp_path / "a.jpg", exif=exif)
    [own] = OwnScenes.of(tmp_path, ["a.jpg"], ["a"])
    assert image_tensor(own).shape == (3, 83, 61)
    [scene] = _scenes(tmp_path, "a.jpg")
    assert image_tensor(scene).shape == (3, 61, 83)  # a dataset's boxes are in the file's own pixels


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text"])
def test_what_does_not_decode_is_told_as_ever(damage: str, tmp_path: Path) -> None:
    stored = io.BytesIO()
    _picture().save(stored, "JPEG")
    content = {"empty": b"", "cut": stored.getvalue()[: len(stored.getvalue()) // 2], "text": b"no picture"}
    if damage != "missing":
        (tmp_path / "a.jpg").write_bytes(content[damage])
    [scene] = _scenes(tmp_path, "a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg: the image of scene 'a\.jpg' (is not there|does not decode)"):
        image_tensor(scene)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order_is_kept_and_only_so_much_is_made(workers: int) -> None:
    taken = count()

    def items() -> Iterator[int]:
        yield from taken

    made = made_ahead(lambda i: i * i, items(), workers=workers, waiting=5)
    assert list(islice(made, 20)) == [i * i for i in range(20)]
    assert next(taken) <= 20 + 5 + 1
    made.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_threads_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=20)
    assert list(made_ahead(lambda i: (meeting.wait(), i)[1], range(6), workers=3, waiting=6)) == list(range(6))


def test_what_is_raised_comes_in_its_turn() -> None:
    made = made_ahead(lambda i: 1 // (i - 2), range(5), workers=2, waiting=4)
    assert [next(made), next(made)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(made)


def test_a_batch_that_memory_does_not_suffice_for_is_halved(world: PersonSearchDataset) -> None:
    scenes, sizes, results = world.split("test"), list[int](), list[list[int]]()

    def run(pictures: Pictures) -> list[int]:
        sizes.append(len(pictures.rows))
        if len(pictures.rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [round(float((255 * image.double()).sum())) for image in pictures.images]

    pieces = [list(range(13)), list(range(13, 20))]
    over_pictures(scenes, pieces, run, lambda _, found: results.append(found), batch_size=8, workers=2)
    assert results == [[int(image_tensor(scenes[i]).sum()) for i in piece] for piece in pieces]
    # What did not fit is tried once: eight, four, and from there on at most two.
    assert sizes[:3] == [8, 4, 2]
    assert max(sizes[2:]) == 2


def test_an_image_that_memory_does_not_suffice_for_is_told(world: PersonSearchDataset) -> None:
    def run(pictures: Pictures) -> list[int]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(InputError, match=r"the memory of cpu does not suffice for one image of \d+x\d+ pixels"):
        over_pictures(world.split("test"), [[0, 1, 2]], run, lambda _, found: None, batch_size=2)
