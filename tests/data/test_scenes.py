"""Scenes, their images, and folders that appear whole."""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

import psbench_data
from psbench_data import InputError, PersonSearchDataset
from psbench_data.atomic import new_file, new_folder


def test_scene_by_position_name_and_slice(world: PersonSearchDataset) -> None:
    scenes = world.split("test")
    name = scenes.names[7]
    assert scenes[7].name == scenes[name].name == scenes[-len(scenes) + 7].name == scenes[7:8][0].name == name
    np.testing.assert_array_equal(scenes[7].boxes, scenes.boxes[scenes.offsets[7] : scenes.offsets[8]])
    assert scenes[7].camera_id is None
    with pytest.raises(IndexError):
        scenes[len(scenes)]
    with pytest.raises(KeyError):
        scenes["nobody.jpg"]


def test_image_decodes_to_rgb(world: PersonSearchDataset) -> None:
    image = world.split("train")[0].image()
    assert (image.mode, image.size) == ("RGB", (128, 96))


def test_missing_and_broken_images_are_named(world_root: Path, tmp_path: Path) -> None:
    dataset = psbench_data.load("cuhk_sysu", root=shutil.copytree(world_root, tmp_path / "copy"))
    first, second, third = dataset.split("test")[:3]
    first.path.unlink()
    second.path.unlink()
    third.path.write_bytes(third.path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"is not there\. Extract"):
        first.image()
    with pytest.raises(InputError, match="does not decode"):
        third.image()
    third.path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"does not decode \(cannot identify image file\)\. Replace"):
        third.image()
    with pytest.raises(InputError) as error:
        dataset.split("test").require_images()
    assert [str(first.path) in error.value.faults[0], str(second.path) in error.value.faults[1]] == [True, True]


def test_folders_appear_through_links_and_work_survives_a_lost_race(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "volume")
    with new_folder(tmp_path / "link") as folder:
        (folder / "result").write_text("work")
    assert (tmp_path / "link" / "result").read_text() == "work"

    def two_at_once() -> None:
        with new_folder(tmp_path / "race") as first, new_folder(tmp_path / "race") as second:
            (first / "result").write_text("first")
            (second / "result").write_text("second")

    with pytest.raises(InputError, match="The finished work is in") as error:
        two_at_once()
    assert (tmp_path / "race" / "result").read_text() == "second"
    kept = [path for path in tmp_path.glob("race.*") if str(path) in str(error.value)]
    assert [(path / "result").read_text() for path in kept] == ["first"]


def _left(path: Path, hours: float) -> Path:
    """As a killed process leaves it, so long ago."""
    when = time.time() - hours * 3600
    for part in [*path.rglob("*"), path]:
        os.utime(part, (when, when))
    return path


def _folder_with(path: Path) -> Path:
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "part").write_text("half")
    return path


def _file(path: Path) -> Path:
    path.write_text("half")
    return path


@pytest.mark.parametrize(
    ("write", "made", "form"), [(new_folder, _folder_with, ".out.{}"), (new_file, _file, ".out.{}.json")]
)
def test_what_killed_processes_left_is_swept_out_after_a_day(
    tmp_path: Path,
    write: Callable[[Path], AbstractContextManager[Path]],
    made: Callable[[Path], Path],
    form: str,
) -> None:
    name = form.format("")[1:].replace("..", ".").rstrip(".")
    gone = [_left(made(tmp_path / form.format(digits)), 25) for digits in ("01234567", "89abcdef")]
    kept = [_left(made(tmp_path / form.format("01234568")), 23)]
    others = [".out.0123456", ".out.012345678", ".out.0123456g", "out.01234567", ".other.01234567", ".oxut.01234567"]
    kept += [_left(made(tmp_path / form.replace(".out.{}", other)), 25) for other in others]
    if write is new_folder:
        fresh = _left(made(tmp_path / form.format("11234567")), 25)
        os.utime(fresh / "deep" / "part")
        kept.append(fresh)
    with write(tmp_path / name) as partial:
        made(partial)
    assert [path for path in gone if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []


def test_links_are_swept_out_and_what_they_lead_to_is_kept(tmp_path: Path) -> None:
    target = _left(_folder_with(tmp_path / "volume"), 25)
    link = tmp_path / ".out.01234567"
    link.symlink_to(target)
    os.utime(link, (0, 0), follow_symlinks=False)
    with new_folder(tmp_path / "out") as partial:
        _file(partial / "result")
    assert not link.is_symlink()
    assert (target / "deep" / "part").read_text() == "half"
