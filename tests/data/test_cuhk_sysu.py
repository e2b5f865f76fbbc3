"""The CUHK-SYSU reader: what is particular to its files, and what a copy of them may suffer."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

import psbench_data
from psbench_data import UNLABELED, InputError, PersonSearchDataset
from tests.conftest import EVALUATION


def test_scene_listed_twice_counts_twice_and_is_searched_once(golden: PersonSearchDataset) -> None:
    protocol = golden.protocol("gallery-50")
    for query in (3, 5):
        rows = protocol.truth_queries == query
        scenes = protocol.truth_scenes[rows].tolist()
        assert len(scenes) == len(set(scenes)) + 1
        assert protocol.truth_searched[rows].sum() == len(set(scenes))
        assert len(protocol.gallery(query)) == len(set(protocol.gallery(query).tolist()))


def _structs(**columns: list) -> np.ndarray:
    array = np.empty((1, len(next(iter(columns.values())))), dtype=[(name, object) for name in columns])
    for name, values in columns.items():
        for i, value in enumerate(values):
            array[0, i][name] = value
    return array


def _places(*places: tuple[str, list[int]]) -> np.ndarray:
    boxes = [np.array([box], np.uint8) if box else np.zeros((1, 0)) for _, box in places]
    names = [np.array([name], object) for name, _ in places]
    return _structs(imname=names, idlocate=boxes, ishard=[np.zeros((1, 1), np.uint8)] * len(places))


def _tree(root: Path, people: dict[str, list[tuple[str, list[int]]]], boxes: dict[str, list[list[int]]]) -> Path:
    """A tree whose test identities are `people` (query first, then gallery) and whose test scenes are `boxes`.

    In the one training scene is one person.
    """
    pool, trained = list(boxes), [1, 2, 3, 4]
    boxes = {**boxes, "train.jpg": [trained]}
    folder = root / "annotation/test/train_test"
    folder.mkdir(parents=True)
    names = [np.array([name], object) for name in boxes]
    of_scenes = [
        _structs(
            idlocate=[np.array([box], np.uint8) for box in of_scene],
            ishard=[np.zeros((1, 1), np.uint8)] * len(of_scene),
        )
        for of_scene in boxes.values()
    ]
    img = _structs(imname=names, nAppear=[len(b) for b in boxes.values()], box=of_scenes)
    savemat(root / "annotation/Images.mat", {"Img": img})
    savemat(root / "annotation/pool.mat", {"pool": np.array([[n] for n in pool], object).reshape(-1, 1)})
    person = _structs(idname=[np.array(["p99"], object)], nAppear=[1], scene=[_places(("train.jpg", trained))])
    train = np.empty((1, 1), object)
    train[0, 0] = person
    savemat(folder / "Train.mat", {"Train": train})
    queries = []
    for person, (query, *_) in people.items():
        entry = _places(query)[0, 0]
        columns = {name: [entry[name]] for name in ("imname", "idlocate", "ishard")}
        queries.append(_structs(**columns, idname=[np.array([person], object)]))
    galleries = [_places(*places[1:]) for places in people.values()]
    savemat(folder / "TestG50.mat", {"TestG50": _structs(Query=queries, Gallery=galleries)})
    return root


def test_boxes_do_not_overflow_their_disk_type(tmp_path: Path) -> None:
    """200 + 100 is 44 in the uint8 that the files hold."""
    wide = [200, 150, 100, 120]
    root = _tree(tmp_path, {"p1": [("a.jpg", wide), ("b.jpg", wide)]}, {"a.jpg": [wide], "b.jpg": [wide]})
    dataset = psbench_data.load("cuhk_sysu", root=root)
    assert dataset.split("test").boxes.tolist() == [[200, 150, 300, 270]] * 2
    protocol = dataset.protocol("gallery-50")
    assert protocol.queries[0].box.tolist() == protocol.truth_boxes[0].tolist() == [200, 150, 300, 270]
    assert dataset.split("test").person_ids.tolist() == [0, 0]


def test_identity_goes_to_the_first_equal_box_and_later_rows_overwrite(tmp_path: Path) -> None:
    """As in the reference loader: of two equal boxes the first is labelled; a box of two rows gets the later one."""
    box, other = [5, 5, 20, 40], [50, 5, 20, 40]
    people = {"p1": [("a.jpg", box), ("b.jpg", other)], "p2": [("b.jpg", other), ("a.jpg", [])]}
    root = _tree(tmp_path, people, {"a.jpg": [box, box], "b.jpg": [box, other]})
    test = psbench_data.load("cuhk_sysu", root=root).split("test")
    assert test["a.jpg"].person_ids.tolist() == [0, UNLABELED]
    assert test["b.jpg"].person_ids.tolist() == [UNLABELED, 1]


def test_raw_identity_labels_are_kept(golden: PersonSearchDataset) -> None:
    assert golden.split("test").identities[:3] == ("p5007", "p5014", "p5021")
    assert golden.split("train").num_identities == 8


def test_fingerprint_tells_content_not_place(golden: PersonSearchDataset, tmp_path: Path) -> None:
    copy = shutil.copytree(EVALUATION / "cuhk_sysu", tmp_path / "elsewhere")
    images = copy / "annotation/Images.mat"
    savemat(images, {"Img": loadmat(images)["Img"]}, do_compression=False)
    assert psbench_data.load("cuhk_sysu", root=copy).fingerprint == golden.fingerprint


def test_another_box_is_another_fingerprint(golden: PersonSearchDataset, tmp_path: Path) -> None:
    root = shutil.copytree(EVALUATION / "cuhk_sysu", tmp_path / "copy")
    path = root / "annotation/Images.mat"
    images = loadmat(path)["Img"]
    images[0, 0]["box"][0, 0]["idlocate"][0, 0] += 1
    savemat(path, {"Img": images})
    assert psbench_data.load("cuhk_sysu", root=root).fingerprint != golden.fingerprint


def _remove(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def _truncate(name: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: len(content) // 2])

    return damage


def _empty(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes(b"")


def _hdf5(name: str) -> Callable[[Path], None]:
    header = b"MATLAB 7.3 MAT-file".ljust(124) + bytes([0x00, 0x02]) + b"IM"
    return lambda root: (root / name).write_bytes(header + b"\x89HDF\r\n\x1a\n")


def _other_variable(name: str) -> Callable[[Path], None]:
    return lambda root: savemat(root / name, {"something": np.zeros(3)})


def _shorten_pool(root: Path) -> None:
    path = root / "annotation/pool.mat"
    savemat(path, {"pool": loadmat(path)["pool"][:20]})


def _no_queries(root: Path) -> None:
    path = root / TEST
    savemat(path, {"TestG50": loadmat(path)["TestG50"][:, :0]})


def _query_without_area(root: Path) -> None:
    path = root / TEST
    rows = loadmat(path)["TestG50"]
    rows[0, 2]["Query"][0, 0]["idlocate"][0, 2] = 0
    savemat(path, {"TestG50": rows})


def _gallery_without_area(root: Path) -> None:
    path = root / TEST
    rows = loadmat(path)["TestG50"]
    rows[0, 3]["Gallery"][0, 0]["idlocate"] = np.zeros((1, 4), np.uint8)
    savemat(path, {"TestG50": rows})


def _same_query(root: Path) -> None:
    path = root / TEST
    rows = loadmat(path)["TestG50"]
    rows[0, 2]["Query"][0, 0]["idname"] = rows[0, 0]["Query"][0, 0]["idname"]
    savemat(path, {"TestG50": rows})


def _same_training_person(root: Path) -> None:
    path = root / TRAIN
    people = loadmat(path)["Train"]
    people[4, 0] = people[1, 0]
    savemat(path, {"Train": people})


def _scenes_as_numbers(root: Path) -> None:
    path = root / TRAIN
    people = loadmat(path)["Train"]
    people[3, 0][0, 0]["scene"] = np.arange(3)
    savemat(path, {"Train": people})


def _whole_pool(root: Path) -> None:
    names = [image["imname"].item() for image in loadmat(root / IMAGES)["Img"].ravel()]
    savemat(root / "annotation/pool.mat", {"pool": np.array(names, object).reshape(-1, 1)})


def _break_three_files(root: Path) -> None:
    for name in (IMAGES, TRAIN, "train_shape.txt"):
        (root / name).write_text("no such file\n")


def _break_rows(root: Path) -> None:
    path = root / "annotation/Images.mat"
    images = loadmat(path)["Img"]
    images[0, 1]["box"][0, 0]["idlocate"] = np.zeros((1, 3))
    images[0, 4]["imname"] = np.array(["../escape.jpg"])
    savemat(path, {"Img": images})


IMAGES, TRAIN, TEST = (
    "annotation/Images.mat",
    "annotation/test/train_test/Train.mat",
    "annotation/test/train_test/TestG50.mat",
)


@pytest.mark.parametrize(
    ("damage", "mentions"),
    [
        (_remove(IMAGES), [IMAGES, "not there", "extracted in full"]),
        (_remove(TRAIN), [TRAIN, "not there"]),
        (_truncate(IMAGES), [IMAGES, "not a readable MATLAB 5 file", "Copy the file again"]),
        (_truncate(TEST), [TEST, "not a readable MATLAB 5 file"]),
        (_empty(TRAIN), [TRAIN, "0 bytes"]),
        (_hdf5(IMAGES), [IMAGES, "7.3", "-v7"]),
        (_other_variable(TRAIN), [TRAIN, "'Train'", "something"]),
        (_shorten_pool, [TEST, "is not in annotation/pool.mat"]),
        (_no_queries, [TEST, "holds no query"]),
        (_query_without_area, [TEST, "row 2", "without area"]),
        (_gallery_without_area, [TEST, "row 3", "gallery entry 0", "without area ([0, 0, 0, 0])"]),
        (_same_query, [TEST, "row 2: person 'p5007' is listed a second time (row 0)"]),
        (_same_training_person, [TRAIN, "row 4: person", "is listed a second time (row 1)"]),
        (lambda root: savemat(root / TRAIN, {"Train": np.empty((0, 1), object)}), [TRAIN, "holds no person"]),
        (lambda root: savemat(root / "annotation/pool.mat", {"pool": []}), ["annotation/pool.mat", "holds no scene"]),
        (_scenes_as_numbers, [TRAIN, "row 3: invalid index to scalar variable. Copy"]),
        (_whole_pool, [IMAGES, "holds no scene outside annotation/pool.mat"]),
        (_break_three_files, ["3 faults", IMAGES, TRAIN, "train_shape.txt"]),
        (_break_rows, ["row 1", "3 values", "row 4", "../escape.jpg"]),
    ],
)
def test_faulty_files_get_one_clear_message(
    tmp_path: Path, damage: Callable[[Path], None], mentions: list[str]
) -> None:
    root = shutil.copytree(EVALUATION / "cuhk_sysu", tmp_path / "faulty")
    damage(root)
    with pytest.raises(InputError) as error:
        psbench_data.load("cuhk_sysu", root=root)
    for words in mentions:
        assert words in str(error.value)


def test_gallery_files_of_different_releases_are_refused(tmp_path: Path) -> None:
    root = shutil.copytree(EVALUATION / "cuhk_sysu", tmp_path / "mixed")
    path = root / "annotation/test/train_test/TestG100.mat"
    rows = loadmat(path)["TestG100"]
    savemat(path, {"TestG100": rows[:, ::-1]})
    reversed_rows = psbench_data.load("cuhk_sysu", root=root).protocol("gallery-100")
    assert [q.person_id for q in reversed_rows.queries] == list(range(15, -1, -1))
    savemat(path, {"TestG100": rows[:, :10]})
    with pytest.raises(InputError, match=r"TestG100.mat: its 10 queries are not the 16 people of TestG50.mat"):
        psbench_data.load("cuhk_sysu", root=root).protocol("gallery-100")


def test_missing_root_says_what_root_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist.*annotation/Images.mat"):
        psbench_data.load("cuhk_sysu", root=tmp_path / "nowhere")


def test_root_of_another_dataset_is_named(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for name in ("frame_train.mat", "frame_test.mat", "query_info.txt"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="this is a tree of PRW, not of CUHK-SYSU"):
        psbench_data.load("cuhk_sysu", root=tmp_path)


@pytest.mark.parametrize("given", ["annotation", "annotation/test", ".."])
def test_folder_beside_the_root_points_at_the_root(tmp_path: Path, given: str) -> None:
    root = shutil.copytree(EVALUATION / "cuhk_sysu", tmp_path / "dataset")
    with pytest.raises(InputError, match=r"is\. Give that folder as root") as error:
        psbench_data.load("cuhk_sysu", root=root / given)
    assert str(root) in str(error.value)


def test_unknown_names_are_answered_with_near_ones(golden: PersonSearchDataset) -> None:
    with pytest.raises(InputError, match="Did you mean 'cuhk_sysu'"):
        psbench_data.load("cuhk-sysu", root=EVALUATION)
    with pytest.raises(InputError, match="Did you mean 'gallery-100'"):
        golden.protocol("gallery100")
    with pytest.raises(InputError, match="Did you mean 'train'"):
        golden.split("training")


def test_a_variable_of_another_kind_is_one_fault(tmp_path: Path) -> None:
    root = shutil.copytree(EVALUATION / "cuhk_sysu", tmp_path / "faulty")
    savemat(root / IMAGES, {"Img": np.arange(50)})
    with pytest.raises(InputError, match="expected Img to be cells or structs, found 1x50 numbers") as error:
        psbench_data.load("cuhk_sysu", root=root)
    assert len(error.value.faults) == 1


def test_every_scene_of_a_row_that_is_not_in_the_pool_is_named(tmp_path: Path) -> None:
    root = shutil.copytree(EVALUATION / "cuhk_sysu", tmp_path / "faulty")
    path = root / "annotation/test/train_test/TestG100.mat"
    rows = loadmat(path)["TestG100"]
    for entry in (10, 12):
        rows[0, 1]["Gallery"][0, entry]["imname"] = np.array([f"x{entry}.jpg"])
    savemat(path, {"TestG100": rows})
    with pytest.raises(InputError) as error:
        psbench_data.load("cuhk_sysu", root=root).protocol("gallery-100")
    assert [fault.removeprefix(f"{path}: ") for fault in error.value.faults] == [
        f"row 1: scene 'x{entry}.jpg' is not in annotation/pool.mat. Use the files of one release."
        for entry in (10, 12)
    ]


def test_lists_that_lead_nowhere_are_not_offered(tmp_path: Path) -> None:
    root = shutil.copytree(EVALUATION / "cuhk_sysu", tmp_path / "copy")
    lists = root / "annotation/test/train_test"
    (lists / "TestG50.mat").unlink()
    (lists / "TestG50.mat").symlink_to("/nowhere/TestG50.mat")
    (lists / "TestG500.mat").unlink()
    (lists / "TestG500.mat").mkdir()
    dataset = psbench_data.load("cuhk_sysu", root=root)
    assert dataset.protocols == ("gallery-100", "gallery-all", "occlusion", "low-resolution")
    assert len(dataset.protocol("gallery-all").queries) == 16


@pytest.mark.parametrize(("name", "there"), [("movienet_cs", "cuhk_sysu"), ("cuhk_sysu", "movienet_cs")])
def test_the_two_alike_datasets_are_told_apart(name: str, there: str) -> None:
    with pytest.raises(InputError, match=f"this is a tree of .*, not of .*, or the name {there}"):
        psbench_data.load(name, root=EVALUATION / there)
