"""Names from outside lead nowhere: readers refuse those that would, writers make others, links are not passed on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

import psbench_data
from psbench import InputError, Predictions
from psbench.leaderboard import validate
from psbench.leaderboard.checking import check
from psbench.leaderboard.entry import board_of, file_name_of, slug
from psbench.own_gallery import OwnGallery, read_gallery, write_gallery
from psbench.own_pictures import PictureFile
from psbench.reporting.pages import file_stem
from psbench.reporting.viewing import chosen_scenes, write_pictures
from psbench_data import Scenes
from psbench_data.atomic import new_file
from psbench_data.dataset import SYNTHETIC_MARKER
from psbench_data.exporting.coco import export_coco
from psbench_data.exporting.hf import export_hf
from psbench_data.exporting.parquet import export_parquet
from psbench_data.names import is_device, safe_name
from psbench_data.scenes import scenes_table
from tests.conftest import EVALUATION
from tests.data.own_data import own_document, write_own_data
from tests.leaderboard.making import pairwise, tree
from tests.trust.attacks import INSIDE, OUTSIDE, WORDS

SECRET = "root:x:0:0:secret"


@pytest.mark.parametrize("name", OUTSIDE, ids=ascii)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a file inside here"):
        safe_name(name, "here")


@pytest.mark.parametrize("name", INSIDE)
def test_names_that_only_look_alike_are_kept(name: str) -> None:
    assert safe_name(name, "here") == name


@pytest.mark.parametrize("name", OUTSIDE, ids=ascii)
def test_own_data_cannot_name_files_elsewhere(name: str, tmp_path: Path) -> None:
    document = own_document()
    document["images"][3]["file_name"] = name
    (tmp_path / "test.json").write_text(json.dumps(document))
    with pytest.raises(InputError) as refused:
        psbench_data.load("coco", root=tmp_path)
    # A lone half of a character is no text at all.
    assert "images 3: file_name" in str(refused.value) or name == "\ud800.jpg"


def _in_list(file: str, variable: str, put: Callable[[np.ndarray, np.ndarray], None]) -> Callable[[Path, str], None]:
    """What puts a name into a variable of a MATLAB file."""

    def change(root: Path, name: str) -> None:
        found = loadmat(root / file)[variable]
        put(found, np.array([name]))
        savemat(root / file, {variable: found})

    return change


def _put_in_image(images: np.ndarray, name: np.ndarray) -> None:
    images[0, 2]["imname"] = name


def _put_in_cell(cells: np.ndarray, name: np.ndarray) -> None:
    cells.flat[0] = name


def _put_in_line(root: Path, name: str) -> None:
    lines = (EVALUATION / "lsps/test_frame_coord.txt").read_text().splitlines()
    (root / "test_frame_coord.txt").write_text("\n".join([f"{name}\t1\t2\t3\t4", *lines[1:]]))


READERS: dict[str, Callable[[Path, str], None]] = {
    "cuhk_sysu": _in_list("annotation/Images.mat", "Img", _put_in_image),
    "movienet_cs": _in_list("annotation/Images.mat", "Img", _put_in_image),
    "prw": _in_list("frame_test.mat", "img_index_test", _put_in_cell),
    "lsps": _put_in_line,
}
"""What puts a name where the dataset's annotation has that of an image."""


@pytest.mark.parametrize("dataset", READERS)
def test_official_lists_cannot_name_files_elsewhere(dataset: str, tmp_path: Path) -> None:
    root = shutil.copytree(EVALUATION / dataset, tmp_path / "tree", ignore=shutil.ignore_patterns("*.jpg"))
    for place in ("../{}", "/etc/{}", "..\\{}", "nul/{}", "a\x1b{}"):
        READERS[dataset](root, place.format("f_005000_8_2.jpg"))
        with pytest.raises(InputError) as refused:
            psbench_data.load(dataset, root=root)
        assert str(root) in str(refused.value), place
        expected = "expected a frame name" if dataset == "prw" else "is not the name of a file inside"
        assert expected in str(refused.value), place


# What is written under names from outside.


def test_an_entrys_file_is_one_on_every_system(tmp_path: Path) -> None:
    for name in (*OUTSIDE, *INSIDE, *WORDS, "x" * 300, "con", "Nul", "com1", "aux."):
        file = file_name_of(name)
        assert safe_name(file, "here") == file, name
        assert "/" not in file
        assert len(file) < 80
        assert not is_device(file)
        assert PureWindowsPath(file).name == file
        assert not is_device(board_of("prw", {"x": slug(name)}, synthetic=False))


def test_pictures_of_scenes_are_written_into_their_folder(tmp_path: Path) -> None:
    names = [*OUTSIDE[:-1], *INSIDE, "x" * 300]
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    nobody = [np.zeros((0, 4))] * len(names)
    table = scenes_table(names, ["a.png"] * len(names), nobody, [np.zeros(0)] * len(names))
    folder = write_pictures(chosen_scenes(Scenes(table, tmp_path), names, 0, 0), [], tmp_path / "below/pictures")
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 1 + len(names)
    assert files[0] == "a.png"
    assert all(path.startswith("below/pictures/scene-") for path in files[1:])
    assert len(list(folder.iterdir())) == len(names)
    for name in (*OUTSIDE, *INSIDE, *WORDS):
        assert safe_name(f"01-{file_stem(name)}.png", "here")


def test_what_is_replaced_is_a_link_itself_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "entry.json").symlink_to(tmp_path / "secret")
    with new_file(tmp_path / "entry.json") as partial:
        partial.write_text("entry")
    assert (tmp_path / "secret").read_text() == SECRET
    assert not (tmp_path / "entry.json").is_symlink()


# What is passed on.


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Data of which a picture, and the mark that people are drawn, are links to other files."""
    root = write_own_data(tmp_path / "data", own_document())
    (tmp_path / "secret.json").write_text(json.dumps({"token": SECRET, "format": "coco", "seed": 3}))
    (root / "day/3.jpg").unlink()
    (root / "day/3.jpg").symlink_to(tmp_path / "secret.json")
    (root / SYNTHETIC_MARKER).symlink_to(tmp_path / "secret.json")
    return root


@pytest.mark.parametrize("form", ["coco", "hf", "parquet"])
def test_exports_hold_no_other_files_that_links_lead_to(form: str, linked: Path, tmp_path: Path) -> None:
    dataset, out = psbench_data.load("coco", root=linked), tmp_path / "out"
    export: Callable[[], None] = {
        "coco": lambda: export_coco(dataset, out, copy_images=True),
        "hf": lambda: export_hf(dataset, out, embed_images=True),
        "parquet": lambda: export_parquet(dataset, out, embed_images=True),
    }[form]
    with pytest.raises(InputError, match=r"3\.jpg.* does not decode"):
        export()
    assert not out.exists()
    # A picture is one, wherever it lies: datasets are put together of links.
    (linked / "day/3.jpg").unlink()
    (linked / "day/3.jpg").symlink_to(linked / "day/4.jpg")
    export()
    files = [path for path in out.rglob("*") if path.is_file()]
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in files)
    assert json.loads((out / SYNTHETIC_MARKER).read_text()) == {"format": "coco", "seed": 3}
    assert not any(path.is_symlink() for path in out.rglob("*"))


def _link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def test_pairwise_shards_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    dataset = psbench_data.load("cuhk_sysu", root=tree(tmp_path / "data"))
    folder = pairwise(dataset, dataset.protocols[:1]).save(tmp_path / "pairs")
    for shard in sorted(folder.glob("*.parquet")):
        away = shutil.move(shard, tmp_path / f"{shard.stem}.away")
        _link(shard, away)
        with pytest.raises(InputError, match="a link, which may lead anywhere"):
            validate(folder)
        shard.unlink()
        shutil.move(away, shard)
    assert validate(folder) == []


@pytest.mark.parametrize("name", OUTSIDE, ids=ascii)
def test_manifests_name_files_of_their_folder_alone(name: str, tmp_path: Path) -> None:
    ones = np.ones((1, 2), np.float32)
    people = Predictions.from_arrays(
        ["a"], counts=[1], boxes=[[0, 0, 1, 1]], scores=[1], embeddings=ones, query_embeddings=ones[:0]
    )
    write_gallery(OwnGallery(tmp_path, "m", "0" * 64, [], people), tmp_path / "index")
    path = tmp_path / "index/manifest.json"
    manifest = json.loads(path.read_text())
    for changed in ({"pictures": manifest["pictures"] | {"file": name}}, {"people": name}):
        path.write_text(json.dumps(manifest | changed))
        with pytest.raises(InputError) as refused:
            read_gallery(tmp_path / "index")
        # Half a character is no text.
        assert next(iter(changed)) in str(refused.value) or name == "\ud800.jpg"


@pytest.mark.parametrize("path", ["../a.jpg", "/etc/a.jpg", "a/../../a.jpg", "", "a\0.jpg"])
def test_a_kept_gallery_names_pictures_of_its_folder_alone(path: str, tmp_path: Path) -> None:
    nobody = np.zeros((0, 2), np.float32)
    people = Predictions.from_arrays(
        ["0" * 64], counts=[0], boxes=nobody.reshape(0, 4), scores=[], embeddings=nobody, query_embeddings=nobody
    )
    pictures = [PictureFile(path, "0" * 64, 1, 1, 1)]
    write_gallery(OwnGallery(tmp_path, "m", "0" * 64, pictures, people), tmp_path / "index")
    with pytest.raises(InputError, match="expected a path that stays in the gallery's folder"):
        read_gallery(tmp_path / "index")


def test_a_kept_gallery_of_windows_is_read_as_windows_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psbench.own_gallery.PurePath", PureWindowsPath)
    for path in ("..\\a.jpg", "C:\\a.jpg", "C:a.jpg", "\\\\host\\share\\a.jpg"):
        test_a_kept_gallery_names_pictures_of_its_folder_alone(path, tmp_path / slug(path))


def test_links_among_entries_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    for place in ("entries/prw/a.json", "entries/a.json"):
        path = tmp_path / "board" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(tmp_path / "secret")
    (tmp_path / "board/entries/cuhk_sysu").symlink_to(tmp_path)
    faults = check(board=tmp_path / "board")
    assert len(faults) == 3
    assert all("a link, expected the file of an entry" in fault for fault in faults)
    assert SECRET not in "".join(faults)
