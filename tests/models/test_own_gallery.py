"""A kept gallery of one's own pictures: brought up to date, continued, and refused where it does not fit."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from psbench import InputError
from psbench.inference.gallery import index_pictures
from psbench.inference.gallery_search import search_pictures
from psbench.own_gallery import read_gallery
from psbench.shards import sha256_of
from psbench_data import PersonSearchDataset
from tests.models.launching import ROOT, TORCHRUN, launch
from tests.models.looks import Looks
from tests.models.own import pictures, tree

BOX = (4, 24, 40, 80)


@pytest.fixture
def folder(world: PersonSearchDataset, tmp_path: Path) -> Path:
    return pictures(world, tmp_path / "photos")


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psbench.inference.work.PIECE_ROWS", 4)


def _index(folder: Path, output: Path, **options: bool) -> Looks:
    model = Looks()
    index_pictures(model, folder, output, progress=False, **options)
    return model


def test_an_index_that_is_brought_up_to_date_is_that_of_a_first_run(folder: Path, tmp_path: Path) -> None:
    index, away = tmp_path / "index", tmp_path / "away"
    late = [folder / "01.jpg", folder / "at the sea/03.jpg"]
    away.mkdir()
    for path in late:
        path.rename(away / path.name)
    extra = folder / "extra.jpg"
    Image.new("RGB", (96, 64), "teal").save(extra)
    assert _index(folder, index).asked["detect"] == 11
    for path in late:
        (away / path.name).rename(path)
    extra.unlink()
    shutil.copy(folder / "02.jpg", folder / "copy of 02.jpg")
    assert _index(folder, index).asked["detect"] == 2
    kept = read_gallery(index)
    assert len(kept.pictures) == 13
    assert len(kept.people.scene_names) == 12
    _index(folder, tmp_path / "anew")
    assert tree(index) == tree(tmp_path / "anew")
    assert {path.name.split("-")[0] for path in index.iterdir()} == {"manifest.json", "pictures", "people"}
    done = index_pictures(Looks(dies_after=0), folder, index, progress=False)
    assert (done.added, done.copied, done.gone) == (0, 0, 0)


def test_a_changed_picture_is_noticed_even_if_its_size_and_time_are_the_same(folder: Path, tmp_path: Path) -> None:
    for name, colour in (("01.bmp", "red"), ("02.bmp", "blue")):
        Image.new("RGB", (64, 64), colour).save(folder / name)
    index, one, other = tmp_path / "index", folder / "01.bmp", folder / "02.bmp"
    _index(folder, index)
    was = one.stat()
    assert was.st_size == other.stat().st_size
    data = other.read_bytes()
    Image.new("RGB", (64, 64), "green").save(other)
    one.write_bytes(data)
    os.utime(one, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert one.stat().st_mtime_ns == was.st_mtime_ns
    before = {p.path: p.sha256 for p in read_gallery(index).pictures}
    # One content is new, the other one was known by another name.
    assert _index(folder, index).asked["detect"] == 1
    after = {p.path: p.sha256 for p in read_gallery(index).pictures}
    assert after["01.bmp"] == before["02.bmp"]
    assert after["02.bmp"] not in before.values()
    assert {name for name in before if before[name] != after[name]} == {"01.bmp", "02.bmp"}
    # The people of the red picture are nowhere any more.
    assert before["01.bmp"] not in read_gallery(index).people.scene_names


_KILLED = """
import os, signal, sys
import psbench.inference.work
from psbench.inference.gallery import index_pictures
from tests.models.launching import ROOT, TORCHRUN, launch
from tests.models.looks import Looks
psbench.inference.work.PIECE_ROWS = 4
class Killed(Looks):
    def detect(self, images, include=None):
        if self.asked["detect"] == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(images, include)
Killed.__module__, Killed.__qualname__ = Looks.__module__, Looks.__qualname__
index_pictures(Killed(), sys.argv[1], sys.argv[2], progress=False)
"""


def test_what_was_killed_is_continued(folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    killed = subprocess.run([sys.executable, "-c", _KILLED, folder, index], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(InputError, match="cannot be read"):
        read_gallery(index)
    # The folder may have changed in the meantime: what was looked at still counts.
    (folder / "05.jpg").unlink()
    Image.new("RGB", (96, 64), "teal").save(folder / "00.png")
    assert 12 - 8 <= _index(folder, index).asked["detect"] <= 12 - 8 + 1
    _index(folder, tmp_path / "anew")
    assert tree(index) == tree(tmp_path / "anew")


def test_an_interrupted_index_is_called_as_an_uninterrupted_one(folder: Path, tmp_path: Path) -> None:
    called = {"method": "looks", "progress": False}
    with pytest.raises(RuntimeError, match="out of memory"):
        index_pictures(Looks(dies_after=9), folder, tmp_path / "index", **called)
    for name in ("index", "anew"):
        index_pictures(Looks(), folder, tmp_path / name, **called)
    assert tree(tmp_path / "index") == tree(tmp_path / "anew")


def test_a_damaged_piece_is_made_again(folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    with pytest.raises(RuntimeError, match="out of memory"):
        index_pictures(Looks(dies_after=9), folder, index, progress=False)
    first, second = sorted(index.glob("new-*/scenes-*.parquet"))
    first.write_bytes(first.read_bytes()[:-50])
    assert second.is_file()
    assert _index(folder, index).asked["detect"] == 12 - 4
    _index(folder, tmp_path / "anew")
    assert tree(index) == tree(tmp_path / "anew")


def test_a_first_index_killed_before_its_manifest_is_finished(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    with monkeypatch.context() as patch:
        patch.setattr("psbench.own_gallery.write_shard", lambda *_: exit("killed"))
        with pytest.raises(SystemExit):
            _index(folder, index)
    assert sorted(path.name.split("-")[0] for path in index.iterdir()) == ["new", "people"]
    assert _index(folder, index).asked["detect"] == 0
    _index(folder, tmp_path / "anew")
    assert tree(index) == tree(tmp_path / "anew")


def test_other_weights_and_other_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    index, other = tmp_path / "index", Looks()
    _index(folder, index)
    before = tree(index)
    with torch.no_grad():
        other.weight[0, 0] = 2
    with pytest.raises(InputError, match="made by other weights"):
        index_pictures(other, folder, index, progress=False)
    with pytest.raises(InputError, match="made by other weights"):
        search_pictures(other, folder / "01.jpg", BOX, index, progress=False)
    with pytest.raises(InputError, match="still there"):
        _index(folder / "at the sea", index)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="something else here already"):
        _index(folder, tmp_path / "mine")
    assert tree(index) == before
    with pytest.raises(RuntimeError):
        index_pictures(Looks(dies_after=9), folder, tmp_path / "begun", progress=False)
    with pytest.raises(InputError, match="the beginning of an index by other weights"):
        index_pictures(other, folder, tmp_path / "begun", progress=False)


def test_pictures_that_moved_are_known_again(folder: Path, tmp_path: Path) -> None:
    index, query = tmp_path / "index", tmp_path / "query.png"
    Image.new("RGB", (64, 96), "red").save(query)
    _index(folder, index)
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"which is not there\. Run `psbench index` again"):
        search_pictures(Looks(), query, BOX, index, progress=False)
    assert _index(moved, index).asked["detect"] == 0
    assert search_pictures(Looks(), query, BOX, index, progress=False).gallery == moved
    (moved / "01.jpg").unlink()
    found = search_pictures(Looks(), query, BOX, index, top=1000, progress=False)
    assert {match.picture for match in found.matches if match.changed} == {"01.jpg"}
    assert "1 picture of these changed or went after the index was made" in found.summary()


def test_a_damaged_or_foreign_index_is_refused(folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    _index(folder, index)

    def spoilt(name: str) -> Path:
        return shutil.copytree(index, tmp_path / name)

    bytes_changed = spoilt("bytes")
    (shard,) = bytes_changed.glob("people-*/scenes-00000.parquet")
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match="SHA-256 is not the one"):
        read_gallery(bytes_changed)
    people_gone = spoilt("gone")
    shutil.rmtree(next(people_gone.glob("people-*")))
    with pytest.raises(InputError, match="is not there as a folder"):
        read_gallery(people_gone)
    swapped = spoilt("swapped")
    (manifest,) = swapped.glob("people-*/manifest.json")
    manifest.write_text(manifest.read_text() + " ")
    with pytest.raises(InputError, match="is not the one in manifest"):
        read_gallery(swapped)
    leads_out = spoilt("leads out")
    (path,) = leads_out.glob("pictures-*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["path"], rows[1]["path"], rows[2]["path"] = "../secret.jpg", "/etc/secret.jpg", rows[3]["path"]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    written = json.loads((leads_out / "manifest.json").read_text())
    written["pictures"]["sha256"] = sha256_of(path)
    (leads_out / "manifest.json").write_text(json.dumps(written))
    with pytest.raises(InputError, match="stays in the gallery's folder") as error:
        read_gallery(leads_out)
    assert len(error.value.faults) == 3
    (leads_out / "manifest.json").write_text(json.dumps(written | {"people": "../people"}))
    with pytest.raises(InputError, match=r"manifest\.json: people: .*should match pattern"):
        read_gallery(leads_out)


def test_processes_share_the_work(folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    done = launch(TORCHRUN, ["-m", "tests.models.launched_gallery"], folder, index, ACCELERATE_USE_CPU="true")
    assert done.returncode == 0, done.stderr
    asked = sorted(int(line) for line in done.stdout.split())
    assert len(asked) == 2
    assert sum(asked) == 12
    assert asked[0] > 0
    _index(folder, tmp_path / "alone")
    assert tree(index) == tree(tmp_path / "alone")
