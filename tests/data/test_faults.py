"""What a user's copy may suffer: each fault gives one clear message, and none a traceback from inside a library."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

import psbench_data
from psbench_data import InputError
from psbench_data.exporting.layout import image_sizes
from tests.conftest import EVALUATION

Damage = Callable[[Path], None]


def _text(name: str, change: Callable[[str], str]) -> Damage:
    def damage(root: Path) -> None:
        path = root / name
        path.write_bytes(change(path.read_bytes().decode()).encode())

    return damage


def _bytes(name: str, content: bytes) -> Damage:
    def damage(root: Path) -> None:
        (root / name).write_bytes(content)

    return damage


def _half(name: str) -> Damage:
    def damage(root: Path) -> None:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: len(content) // 2])

    return damage


def _mat(name: str, **variables: np.ndarray) -> Damage:
    return lambda root: savemat(root / name, variables)


def _gone(name: str) -> Damage:
    return lambda root: (root / name).unlink()


def _line(number: int, text: str) -> Callable[[str], str]:
    def change(content: str) -> str:
        rows = content.split("\n")
        rows[number - 1] = text
        return "\n".join(rows)

    return change


FRAME = "annotations/c1s1_128775.jpg.mat"
HDF5 = b"MATLAB 7.3 MAT-file".ljust(124) + bytes([0x00, 0x02]) + b"IM\x89HDF\r\n\x1a\n"
PRW: list[tuple[Damage, list[str]]] = [
    (_gone(FRAME), [FRAME, "not there", "Copy"]),
    (_half(FRAME), [FRAME, "not a readable MATLAB 5 file"]),
    (_bytes(FRAME, b""), [FRAME, "0 bytes"]),
    (_bytes(FRAME, HDF5), [FRAME, "7.3", "-v7"]),
    (_mat(FRAME, other=np.zeros((1, 5))), [FRAME, "'box_new' or 'anno_file' or 'anno_previous'", "found other"]),
    (_mat(FRAME, box_new=np.zeros((2, 4))), [FRAME, "n x 5", "2x4"]),
    (_mat(FRAME, box_new=np.array([[1, 2, np.nan, 4, 5]])), [FRAME, "row 0", "in pixels"]),
    (_mat(FRAME, box_new=np.array([[1, 2, 1e300, 4, 5]])), [FRAME, "row 0"]),
    (_mat(FRAME, box_new=np.array(["text"])), [FRAME, "n x 5"]),
    (_mat("frame_test.mat", img_index_test=np.array([["../x"], ["c1s1_1"]], object)), ["row 0", "../x"]),
    (_mat("frame_test.mat", img_index_test=np.array([["c1s1_1"], ["c1s1_1"]], object)), ["row 1", "second time"]),
    (_mat("frame_test.mat", img_index_test=np.zeros((3, 1))), ["expected img_index_test to be cells"]),
    (_mat("frame_test.mat", img_index_test=np.array([["a"], [7]], object)), ["row 1", "expected a string"]),
    (_mat("frame_test.mat", img_index_test=np.empty((0, 1), object)), ["frame_test.mat", "holds no frame"]),
    (_mat("frame_test.mat", img_index_test=np.array([[f"c{'9' * 20}s1_1"]], object)), ["row 0", "frame name like"]),
    (_bytes("frame_test.mat", b"not a mat file"), ["frame_test.mat", "not a readable MATLAB 5 file"]),
    (_gone("query_info.txt"), ["query_info.txt", "not there"]),
    (_bytes("query_info.txt", b""), ["query_info.txt", "holds no query"]),
    (_bytes("query_info.txt", b"479 1 2 3 4 c2s1_\xff101675"), ["query_info.txt", "UTF-8", "0xff"]),
    (_text("query_info.txt", _line(2, "479 1 2 3 4")), ["query_info.txt", "line 2", "expected person, x, y, w, h"]),
    (_text("query_info.txt", _line(3, "x 1 2 3 4 c2s1_101675")), ["line 3", "'x'"]),
    (_text("query_info.txt", _line(3, "479 1 2 0 4 c2s1_101675")), ["line 3", "box with area"]),
    (_text("query_info.txt", _line(3, "479 1 2 nan 4 c2s1_101675")), ["line 3", "in pixels"]),
    (_text("query_info.txt", _line(3, "479 1 2 3 4 ../../c2s1_101675")), ["line 3", "not in frame_test.mat"]),
    (_text("query_info.txt", _line(3, "77 1 2 3 4 c2s1_101675")), ["line 3", "person 77 is in no test frame"]),
    (_text("query_info.txt", _line(3, "479 -50 2 30 40 c2s1_101675")), ["line 3", "box with area", "[0, 2, 0, 42]"]),
    (_text("query_info.txt", _line(3, "479 50.1 2 0.5 40 c2s1_101675")), ["line 3", "with area", "[50, 2, 50, 42]"]),
    (_text("test_shape.txt", _line(1, "c1s1_128775.jpg\t120")), ["test_shape.txt", "line 1", "height and width"]),
    (_text("test_shape.txt", _line(1, f"c1s1_128775.jpg\t{'9' * 12}\t80")), ["test_shape.txt", "line 1", "in pixels"]),
]  # fmt: skip
LSPS: list[tuple[Damage, list[str]]] = [
    (_gone("test_frame_id.txt"), ["test_frame_id.txt", "not there"]),
    (_text("test_frame_id.txt", _line(1, "f_005000_8_2.jpg\t2015")), ["line 1", "1 ids and 3 boxes"]),
    (_text("test_frame_id.txt", _line(1, "")), ["test_frame_id.txt", "frame f_005000_8_2.jpg", "no line of ids"]),
    (_text("test_frame_id.txt", _line(2, "f_005001_3_0.jpg\tx")), ["line 2", "'x'"]),
    (_text("test_frame_id.txt", _line(2, "f_1_1_1.jpg\t1")), ["line 2", "not in test_frame_coord.txt"]),
    (_text("test_frame_id.txt", _line(2, "f_005001_3_0.jpg\t" + "9" * 30)), ["line 2"]),
    (_text("test_frame_coord.txt", _line(2, "f_005001_3_0.jpg\t1\t2\t3\t")), ["line 2", "3 coordinates"]),
    (_text("test_frame_coord.txt", _line(2, "f_005001_3_0.jpg\t1\t2\t3\tinf")), ["line 2", "in pixels"]),
    (_text("test_frame_coord.txt", _line(2, "f_005000_8_2.jpg\t1\t2\t3\t4\t")), ["line 2", "second time"]),
    (_text("test_frame_coord.txt", _line(2, "nocamera.jpg\t1\t2\t3\t4\t")), ["line 2", "camera"]),
    (_text("test_frame_coord.txt", _line(2, "../f_1_1_1.jpg\t1\t2\t3\t4\t")), ["line 2", "'../f_1_1_1.jpg'"]),
    (_text("test_frame_coord.txt", _line(2, f"f_1_{'9' * 20}_1.jpg\t1\t2\t3\t4\t")), ["line 2", "camera"]),
    (_bytes("train_frame_coord.txt", b""), ["train_frame_coord.txt", "holds no frame"]),
    (_text("test_shape.txt", _line(1, f"f_005000_8_2.jpg\t{'9' * 12}\t80")), ["test_shape.txt", "line 1", "in pixels"]),
    (_text("query_info.txt", _line(1, "2000\tf_005010_17_1.jpg\t1\t2")), ["line 1", "expected id, frame"]),
    (_text("query_info.txt", _line(1, "2000\tf_0_1_1.jpg\t1\t2\t3\t4")), ["line 1", "not in test_frame_coord.txt"]),
    (_text("query_info.txt", _line(1, "2000\tf_005010_17_1.jpg\t9\t2\t3\t4")), ["line 1", "box with area"]),
]  # fmt: skip
LISTS = "annotation/test/train_test"


def _movienet_rows(root: Path) -> None:
    path = root / LISTS / "Train_app10.mat"
    table = loadmat(path)["Train"]
    table[1, 2][0, 1] = np.zeros((1, 3))
    table[2, 2][0, 0] = np.array(["/absolute.jpg"])
    table[3, 2][0, 0] = np.array(["unknown.jpg"])
    savemat(path, {"Train": table})


def _movienet_people(change: Callable[[np.ndarray], object]) -> Damage:
    def damage(root: Path) -> None:
        path = root / LISTS / "Train_app10.mat"
        table = loadmat(path)["Train"]
        changed = change(table)
        savemat(path, {"Train": table if changed is None else changed})

    return damage


def _first_twice(table: np.ndarray) -> None:
    table[2] = table[0]


MOVIENET: list[tuple[Damage, list[str]]] = [
    (_gone(f"{LISTS}/Train_app10.mat"), ["Train_app10.mat", "train_subset=10", "30, 50, 70, 100"]),
    (_movienet_rows, ["row 1", "3 values", "row 2", "/absolute.jpg", "row 3", "unknown.jpg", "not in Images.mat"]),
    (_mat(f"{LISTS}/Train_app10.mat", Train=np.zeros((4, 2))), ["Train_app10.mat", "N x 3", "4x2"]),
    (_movienet_people(_first_twice), ["Train_app10.mat", "row 2: person 'p1001' is listed a second time (row 0)"]),
    (_movienet_people(lambda table: table[:0]), ["Train_app10.mat", "holds no person"]),
    (_half(f"{LISTS}/TestG4000.mat"), ["TestG4000.mat", "not a readable MATLAB 5 file"]),
    (_mat("annotation/pool_2000.mat", pool=np.array([["nowhere.jpg"]], object)), ["row 0", "nowhere.jpg"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "damage", "mentions"),
    [
        (name, damage, mentions)
        for name, faults in [("prw", PRW), ("lsps", LSPS), ("movienet_cs", MOVIENET)]
        for damage, mentions in faults
    ],
)
def test_faulty_files_get_one_clear_message(tmp_path: Path, name: str, damage: Damage, mentions: list[str]) -> None:
    root = shutil.copytree(EVALUATION / name, tmp_path / name, ignore=shutil.ignore_patterns("*.jpg"))
    damage(root)
    protocol = "gallery-2000" if name == "movienet_cs" else "regular"
    with pytest.raises(InputError) as error:
        psbench_data.load(name, root=root).protocol(protocol)
    for words in mentions:
        assert words in str(error.value)


def test_faults_of_many_files_are_told_together(tmp_path: Path) -> None:
    root = shutil.copytree(EVALUATION / "prw", tmp_path / "prw", ignore=shutil.ignore_patterns("*.jpg"))
    annotations = sorted((root / "annotations").iterdir())
    for path in annotations[:3]:
        path.write_bytes(b"")
    with pytest.raises(InputError) as error:
        psbench_data.load("prw", root=root)
    assert len(error.value.faults) == 3


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("prw", ["frame_train.mat", FRAME, "test_shape.txt"]),
        ("lsps", ["train_frame_coord.txt", "test_frame_coord.txt", "train_shape.txt"]),
        (
            "movienet_cs",
            [
                "annotation/pool_2000.mat",
                "annotation/pool_4000.mat",
                f"{LISTS}/TestG2000.mat",
                f"{LISTS}/TestG4000.mat",
            ],
        ),
    ],
)
def test_files_that_do_not_depend_on_each_other_are_told_together(tmp_path: Path, name: str, broken: list[str]) -> None:
    root = shutil.copytree(EVALUATION / name, tmp_path / name, ignore=shutil.ignore_patterns("*.jpg"))
    for file in broken:
        (root / file).write_text("no such file\n")
    with pytest.raises(InputError) as error:
        psbench_data.load(name, root=root)
    assert len(error.value.faults) == len(broken)
    for file in broken:
        assert str(root / file) in str(error.value)


@pytest.mark.parametrize("name", ["prw", "lsps"])
def test_a_query_that_is_there_twice_counts_once(tmp_path: Path, name: str) -> None:
    root = shutil.copytree(EVALUATION / name, tmp_path / name, ignore=shutil.ignore_patterns("*.jpg"))
    path = root / "query_info.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *lines]))
    whole = psbench_data.load(name, root=EVALUATION / name).protocol("regular")
    assert psbench_data.load(name, root=root).protocol("regular").digest == whole.digest


def _change_rows(root: Path, size: int, change: Callable[[np.ndarray], None]) -> None:
    path = root / LISTS / f"TestG{size}.mat"
    rows = loadmat(path)[path.stem]
    change(rows)
    savemat(path, {path.stem: rows})


def test_one_person_of_movienet_may_have_several_queries(tmp_path: Path) -> None:
    root = shutil.copytree(EVALUATION / "movienet_cs", tmp_path / "tree", ignore=shutil.ignore_patterns("*.jpg"))
    first = loadmat(root / LISTS / "TestG2000.mat")["TestG2000"][0, 0]["Query"][0, 0]["idname"].item()
    for size in (2000, 4000, 10000):
        _change_rows(root, size, lambda rows: rows[0, 1]["Query"][0, 0].__setitem__("idname", np.array([first])))
    protocol = psbench_data.load("movienet_cs", root=root).protocol("gallery-2000")
    assert [query.person_id for query in protocol.queries[:3]] == [0, 0, 1]
    findings = [f for f in psbench_data.doctor(root, images="skip").findings if "second time" in f.what]
    assert {finding.severity for finding in findings} == {"warning"}
    assert [finding.where for finding in findings] == ["row 1"] * 3


@pytest.mark.parametrize("present", [True, False])
def test_a_gallery_scene_outside_the_pools_of_movienet_is_added(tmp_path: Path, present: bool) -> None:
    root = shutil.copytree(EVALUATION / "movienet_cs", tmp_path / "tree", ignore=shutil.ignore_patterns("*.jpg"))
    test = psbench_data.load("movienet_cs", root=root).split("test").positions
    image = next(i for i in loadmat(root / "annotation/Images.mat")["Img"].ravel() if i["imname"].item() not in test)

    def change(rows: np.ndarray) -> None:
        entry = rows[0, 0]["Gallery"][0, 0 if present else -1]
        entry["imname"] = np.array([image["imname"].item()])
        if present:
            entry["idlocate"] = image["box"].ravel()[0]["idlocate"]

    _change_rows(root, 2000, change)
    dataset = psbench_data.load("movienet_cs", root=root)
    assert dataset.split("test").names == [*test, image["imname"].item()]
    assert len(test) in dataset.protocol("gallery-2000").gallery(0)
    (finding,) = [f for f in psbench_data.doctor(root, images="skip").findings if "is in no pool" in f.what]
    assert (finding.severity, finding.where) == ("warning", "row 0")


def test_what_is_only_odd_is_read_all_the_same(tmp_path: Path) -> None:
    """Line ends, a missing TAB, other names of files and keys, boxes without area, a person without a match."""
    root = shutil.copytree(EVALUATION / "prw", tmp_path / "prw")
    whole = psbench_data.load("prw", root=root)
    queries = (root / "query_info.txt").read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n")
    (root / "query_info.txt").unlink()
    (root / "query_info_2057.txt").write_bytes(queries)
    again = psbench_data.load("prw", root=root)
    assert again.protocol("regular").digest == whole.protocol("regular").digest
    savemat(root / FRAME, {"anno_previous": np.array([[933, 27, 52, 22, 53], [-2, 5, 5, 0, 9], [-2, -9, 5, 4, 9]])})
    assert psbench_data.load("prw", root=root).split("test")["c1s1_128775.jpg"].boxes.tolist() == [
        [27, 52, 49, 105],
        [0, 5, 4, 14],
    ]

    root = shutil.copytree(EVALUATION / "lsps", tmp_path / "lsps")
    whole = psbench_data.load("lsps", root=root)
    path = root / "test_frame_coord.txt"
    path.write_text(path.read_text().replace("\t\n", "\n"))
    assert psbench_data.load("lsps", root=root).fingerprint == whole.fingerprint


def test_movienet_images_may_lie_in_ssm_or_in_one_folder_a_movie(tmp_path: Path) -> None:
    root = shutil.copytree(EVALUATION / "movienet_cs", tmp_path / "movienet_cs")
    assert psbench_data.load("movienet_cs", root=root).split("test")[0].path.is_file()
    (root / "Image").rename(root / "SSM")
    (root / "Image").mkdir()
    (root / "SSM").rename(root / "Image/SSM")
    assert psbench_data.load("movienet_cs", root=root).split("test")[0].path.is_file()
    # What systems leave in folders is no image.
    for stray in (".DS_Store", "._a.jpg", "Thumbs.db"):
        (root / "Image" / stray).touch()
    assert psbench_data.load("movienet_cs", root=root).split("test")[0].path.is_file()


def test_annotations_can_be_read_without_images(tmp_path: Path) -> None:
    for name in ("cuhk_sysu", "prw", "lsps", "movienet_cs"):
        root = shutil.copytree(EVALUATION / name, tmp_path / name, ignore=shutil.ignore_patterns("*.jpg"))
        for folder in ("Image", "frames", "train", "test"):
            shutil.rmtree(root / folder, ignore_errors=True)
        with_images = psbench_data.load(name, root=EVALUATION / name)
        assert psbench_data.load(name, root=root).fingerprint == with_images.fingerprint


def test_options_of_another_type_are_refused() -> None:
    for wrong in ("x/../y", None, "30"):
        with pytest.raises(InputError, match=r"train_subset is .*, expected a whole number"):
            psbench_data.load("movienet_cs", root=EVALUATION / "movienet_cs", train_subset=wrong)


def test_what_the_file_system_refuses_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        psbench_data.load("movienet_cs", root=EVALUATION / "movienet_cs", train_subset=10**300)
    with pytest.raises(InputError, match="cannot be read"):
        psbench_data.load("synthetic", root=tmp_path / ("a" * 300))
    with pytest.raises(InputError, match="no such home folder"):
        psbench_data.load("prw", root="~nosuchuser/prw")


@pytest.mark.parametrize("error", [SyntaxError, TypeError, struct.error, ValueError, EOFError])
def test_damaged_image_is_named_whatever_pillow_makes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        raise error("broken")

    root = shutil.copytree(EVALUATION / "movienet_cs", tmp_path / "movienet_cs")
    scenes = psbench_data.load("movienet_cs", root=root).split("test")
    monkeypatch.setattr("PIL.Image.open", refuse)
    with pytest.raises(InputError, match="does not decode"):
        scenes[0].image()
    assert not image_sizes(scenes).any()
