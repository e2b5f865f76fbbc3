"""What doctor says of whole trees, of damaged ones and of folders that are none."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from psbench_data import InputError, PersonSearchDataset, load
from psbench_data.integrity import Finding, IntegrityReport, doctor
from psbench_data.published_counts import published_counts
from tests.conftest import EVALUATION

NAMES = ("cuhk_sysu", "prw", "lsps", "movienet_cs")
TEST_LISTS = "annotation/test/train_test"


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a copy of a golden tree that may be damaged."""
    return lambda name: shutil.copytree(EVALUATION / name, tmp_path / "copies" / name)


def _found(report: IntegrityReport, topic: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.topic == topic]


def _errors(report: IntegrityReport) -> list[str]:
    return [f"{e.file}: {e.where}: {e.what}. {e.remedy}" for e in report.of_severity("error")]


@pytest.mark.parametrize("name", NAMES)
def test_whole_tree_is_recognised_and_has_no_errors(name: str) -> None:
    report = doctor(EVALUATION / name)
    assert (report.name, _errors(report), report.exit_status) == (name, [], 0)
    dataset = load(name, root=EVALUATION / name)
    assert tuple(report.protocols) == dataset.protocols
    assert report.fingerprints == {split: dataset.split(split).fingerprint for split in ("train", "test")}
    for part, numbers in dataset.summary().iterrows():
        found = {count.what: count.found for count in report.counts if count.part == part}
        assert found == {what: numbers[what] for what in ("scenes", "boxes", "labelled boxes", "identities")}
    assert "OK, it can be used" in report.text()


def test_sizes_that_differ_from_the_published_are_told_with_their_source() -> None:
    report = doctor(EVALUATION / "prw", images="skip")
    told = {finding.what for finding in _found(report, "count")}
    assert "total: labelled boxes: 144, published 34,034 (counted: PRW v16.04.20; papers print 34,304, two digits " in {
        what[: what.index("exchanged")] for what in told if "exchanged" in what
    }
    assert any(what.startswith("train: identities: 10, published 483 (counted") for what in told)


def test_drawn_tree_has_no_published_sizes_and_no_findings(world: PersonSearchDataset) -> None:
    report = doctor(world.root)
    assert report.synthetic
    assert report.findings == []
    assert {count.published for count in report.counts} == {None}


def test_published_counts_add_up() -> None:
    for name in NAMES:
        counts = {(entry.part, entry.what): entry.count for entry in published_counts(name)}
        for what in ("scenes", "boxes", "labelled boxes"):
            parts = [counts.get((part, what)) for part in ("train", "test", "total")]
            if None not in parts:
                assert parts[0] + parts[1] == parts[2], (name, what)


def test_digest_tells_one_changed_annotation(tree: Callable[[str], Path]) -> None:
    root = tree("prw")
    before = doctor(root, images="skip").digests
    path = next((root / "annotations").iterdir())
    savemat(path, {"box_new": np.array([[-2.0, 5, 5, 20, 40]])})
    after = doctor(root, images="skip").digests
    assert {file for file in before if before[file] != after[file]} == {"annotations"}


def _cut(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def _line(path: Path, number: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n")


def test_every_damaged_annotation_file_is_named_at_once(tree: Callable[[str], Path]) -> None:
    root = tree("cuhk_sysu")
    damaged = ["annotation/Images.mat", f"{TEST_LISTS}/Train.mat", f"{TEST_LISTS}/TestG100.mat"]
    for file in damaged:
        _cut(root / file)
    report = doctor(root)
    assert sorted(finding.file for finding in _found(report, "annotation")) == sorted(damaged)
    assert all("Copy the file again" in finding.remedy for finding in _found(report, "annotation"))
    assert not report.ok


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cuhk_sysu", "annotation/pool.mat"),
        ("prw", "frame_test.mat"),
        ("prw", "query_info.txt"),
        ("lsps", "train_frame_id.txt"),
        ("movienet_cs", "annotation/Images.mat"),
    ],
)
def test_missing_file_is_named_once_with_its_use(tree: Callable[[str], Path], name: str, file: str) -> None:
    root = tree(name)
    (root / file).unlink()
    report = doctor(root)
    assert report.name == name
    assert [error.file for error in report.of_severity("error")] == [file]
    assert "needed by" in report.of_severity("error")[0].what


def test_misplaced_file_is_found(tree: Callable[[str], Path]) -> None:
    root = tree("prw")
    (root / "query_info.txt").rename(root / "frames/query_info.txt")
    (finding,) = _found(doctor(root), "missing-file")
    assert "frames/query_info.txt" in finding.remedy


def test_files_are_asked_for_only_by_wanted_protocols() -> None:
    root = EVALUATION / "cuhk_sysu"
    assert not _found(doctor(root, images="skip"), "missing-file")
    (finding,) = _found(doctor(root, images="skip", protocols=["gallery-4000"]), "missing-file")
    assert finding.file == f"{TEST_LISTS}/TestG4000.mat"
    assert "needed by gallery-4000" in finding.what
    assert doctor(root, images="skip", protocols=["occlusion"]).ok


def test_pool_without_its_list_costs_one_protocol(tree: Callable[[str], Path]) -> None:
    root = tree("movienet_cs")
    (root / "annotation/pool_2000.mat").unlink()
    report = doctor(root)
    assert report.ok
    assert report.protocols == ["gallery-4000", "gallery-10000", "gallery-all"]
    (finding,) = _found(report, "missing-file")
    assert (finding.severity, finding.file) == ("warning", "annotation/pool_2000.mat")


def test_other_training_lists_are_opened_and_stand_in(tree: Callable[[str], Path]) -> None:
    root = tree("movienet_cs")
    (root / TEST_LISTS / "Train_app10.mat").unlink()
    _cut(root / TEST_LISTS / "Train_app70.mat")
    report = doctor(root)
    assert [error.file for error in report.of_severity("error")] == [f"{TEST_LISTS}/Train_app70.mat"]
    assert report.counts[0].found > 0
    (missing,) = _found(doctor(root, options={"train_subset": 10}), "missing-file")
    assert missing.file == f"{TEST_LISTS}/Train_app10.mat"


def test_faulty_query_lines_are_named(tree: Callable[[str], Path]) -> None:
    root = tree("prw")
    _line(root / "query_info.txt", 3, "479 1.0 2.0 10.0 20.0 c9s9_000001")
    _line(root / "query_info.txt", 5, "484 1.0 2.0")
    faults = _found(doctor(root), "annotation")
    assert {(fault.file, fault.where) for fault in faults} == {
        ("query_info.txt", "line 3"),
        ("query_info.txt", "line 5"),
    }
    assert "c9s9_000001" in faults[0].what
    assert "Copy the file again" in faults[0].remedy


def test_query_box_must_be_an_annotated_one(tree: Callable[[str], Path]) -> None:
    root = tree("lsps")
    person, frame, *_ = (root / "query_info.txt").read_text().splitlines()[8].split()
    _line(root / "query_info.txt", 9, f"{person}\t{frame}\t1\t1\t9\t9")
    (finding,) = _found(doctor(root), "query-box")
    assert (finding.file, finding.where) == ("query_info.txt", "line 9")
    assert not _found(doctor(EVALUATION / "lsps"), "query-box")
    assert not _found(doctor(EVALUATION / "prw"), "query-box")


def test_training_person_without_a_box_is_told(tree: Callable[[str], Path]) -> None:
    root = tree("cuhk_sysu")
    path = root / TEST_LISTS / "Train.mat"
    people = loadmat(path)["Train"]
    for place in people[0, 0]["scene"][0, 0].ravel():
        place["idlocate"] = place["idlocate"].astype(np.int32) + 3
    savemat(path, {"Train": people})
    report = doctor(root)
    assert {finding.where for finding in _found(report, "odd-annotation") if "Train" in finding.file} == {"row 0"}
    (finding,) = _found(report, "identity-without-box")
    assert finding.file.endswith("Train.mat")


def test_scene_listed_twice_and_own_scene_are_told() -> None:
    report = doctor(EVALUATION / "cuhk_sysu", images="skip")
    for topic, rows in (("repeated-scene", {"row 3", "row 5"}), ("own-scene", {"row 7", "row 9"})):
        of_list = [f for f in _found(report, topic) if f.file.endswith("TestG50.mat")]
        assert {finding.where for finding in of_list} == rows


def test_every_image_is_looked_at(tree: Callable[[str], Path]) -> None:
    root = tree("cuhk_sysu")
    folder = root / "Image/SSM"
    gone, empty, half, text, renamed, resized = sorted(folder.iterdir())[:6]
    gone.unlink()
    empty.write_bytes(b"")
    Image.effect_noise((160, 120), 80).convert("RGB").save(half)
    _cut(half, 0.6)
    text.write_text("<html>quota exceeded</html>")
    renamed.rename(renamed.with_suffix(".JPG"))
    Image.new("RGB", (80, 60)).save(resized)
    Image.new("RGB", (80, 60)).save(folder / "extra.jpg")
    report = doctor(root)
    named = {topic: {Path(f.file).name for f in _found(report, topic)} for topic in {f.topic for f in report.findings}}
    assert named["missing-image"] == {gone.name, renamed.name}
    assert named["empty-image"] == {empty.name}
    assert named["damaged-image"] == {half.name, text.name}
    assert named["image-size"] == {resized.name}
    assert named["unlisted-image"] == {"extra.jpg", renamed.with_suffix(".JPG").name}
    (hint,) = (f.remedy for f in _found(report, "missing-image") if f.file.endswith(renamed.name))
    assert renamed.with_suffix(".JPG").name in hint
    headers = {Path(f.file).name for f in _found(doctor(root, images="headers"), "damaged-image")}
    assert headers == {text.name}
    assert doctor(root, images="skip").ok


def test_boxes_are_held_against_their_images(tree: Callable[[str], Path]) -> None:
    root = tree("lsps")
    path = root / "train_frame_coord.txt"
    frame = path.read_text().split("\t")[0]
    _line(path, 1, f"{frame}\t128\t56\t200\t97\t300\t63\t390\t114\t")
    report = doctor(root)
    for topic, where in (("box-over-border", "box 0"), ("box-outside", "box 1")):
        (finding,) = _found(report, topic)
        assert (finding.severity, finding.file, finding.where) == ("warning", f"train/{frame}", where)
        assert "160 x 120" in finding.what


def test_annotations_without_images_are_one_error(tree: Callable[[str], Path]) -> None:
    root = tree("prw")
    shutil.rmtree(root / "frames")
    report = doctor(root)
    (finding,) = report.of_severity("error")
    assert finding.file == "frames"
    assert "none of the 80 images" in finding.what
    assert "annotations only, no images" in report.variants
    assert doctor(root, images="skip").ok


def test_known_variants_are_read_and_told(tree: Callable[[str], Path]) -> None:
    prw, cuhk_sysu = tree("prw"), tree("cuhk_sysu")
    (prw / "query_info.txt").rename(prw / "query_info_2057.txt")
    for image in (cuhk_sysu / "Image/SSM").iterdir():
        image.rename(cuhk_sysu / "Image" / image.name)
    (cuhk_sysu / "Image/SSM").rmdir()
    for root, words in ((prw, "query_info_2057.txt"), (cuhk_sysu, "images lie in Image")):
        report = doctor(root)
        assert report.ok
        assert any(words in variant for variant in report.variants)


def test_copy_without_identities_says_which_files_it_lacks(tree: Callable[[str], Path]) -> None:
    root = tree("cuhk_sysu")
    shutil.rmtree(root / "annotation/test")
    report = doctor(root)
    assert report.name == "cuhk_sysu"
    assert [Path(finding.file).name for finding in report.of_severity("error")] == ["Train.mat", "TestG50.mat"]
    assert "TestG4000.mat is needed" in report.of_severity("error")[1].what
    assert any("without annotation/test" in variant for variant in report.variants)


@pytest.mark.parametrize("given", ["..", "../..", "annotations", "frames"])
def test_folder_around_or_inside_points_at_the_tree(tree: Callable[[str], Path], given: str) -> None:
    root = tree("prw")
    report = doctor(root / given)
    assert (report.name, report.root.resolve(), report.ok) == ("prw", root, False)
    assert str(root.name) in report.of_severity("error")[0].what
    assert report.protocols


def test_folder_of_several_trees_names_them() -> None:
    report = doctor(EVALUATION)
    assert report.name is None
    assert all(str(EVALUATION / name) in report.of_severity("error")[0].what for name in NAMES)
    assert doctor(EVALUATION, "lsps").root == EVALUATION / "lsps"


def test_wrong_dataset_is_named() -> None:
    (finding,) = doctor(EVALUATION / "prw", "lsps").findings
    assert "this is a tree of PRW, not of LSPS" in finding.what


def test_folder_that_is_nothing_gets_told_what_was_looked_for(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c" / "empty"
    folder.mkdir(parents=True)
    report = doctor(folder)
    assert "is empty" in report.of_severity("error")[0].what
    assert len(report.looked_for) == 5
    (folder / "frame_test.mat.part").touch()
    (folder / "query_info.txt").touch()
    near = {near.title: near.present for near in doctor(folder).looked_for}
    assert near == {
        "CUHK-SYSU": [],
        "MovieNet-CS": [],
        "PRW": ["query_info.txt"],
        "LSPS": ["query_info.txt"],
        "COCO-style data": [],
    }
    asked = doctor(folder, "prw")
    assert asked.name == "prw"
    assert {finding.file for finding in _found(asked, "missing-file")} >= {"frame_train.mat", "annotations"}


@pytest.mark.parametrize(("name", "words"), [("a.zip", "Extract it"), ("a.txt", "top folder"), ("none", "spelling")])
def test_what_is_no_folder_gets_an_answer(tmp_path: Path, name: str, words: str) -> None:
    if name != "none":
        (tmp_path / name).touch()
    report = doctor(tmp_path / name)
    assert words in report.of_severity("error")[0].remedy
    assert report.exit_status == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("closed", ["annotations", "frame_train.mat", "frames", "."])
def test_what_may_not_be_read_is_told(tree: Callable[[str], Path], closed: str) -> None:
    root = tree("prw")
    (root / closed).chmod(0)
    try:
        assert closed in {finding.file for finding in _found(doctor(root), "unreadable")}
    finally:
        (root / closed).chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("closed", ["annotation", TEST_LISTS, "annotation/test/subset", "Image/SSM"])
def test_closed_folder_of_lists_or_images_is_named(tree: Callable[[str], Path], closed: str) -> None:
    root = tree("cuhk_sysu")
    (root / closed).chmod(0)
    try:
        assert any(f.file.startswith(closed) for f in _found(doctor(root, images="headers"), "unreadable"))
        with pytest.raises(InputError, match=rf"{closed}.*: cannot be read \(Permission denied\)"):
            assert load("cuhk_sysu", root=root).protocols
    finally:
        (root / closed).chmod(0o700)


def test_own_data_is_examined_like_the_others(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 80, "height": 60} for i in range(4)]
    people = [{"id": i, "image_id": i, "bbox": [5, 5, 20, 30], "person_id": i % 2} for i in range(4)]
    (tmp_path / "test.json").write_text(json.dumps({"images": images, "annotations": people}))
    for image in images[1:]:
        Image.new("RGB", (80, 60)).save(tmp_path / str(image["file_name"]))
    report = doctor(tmp_path)
    assert (report.name, [error.file for error in report.of_severity("error")]) == ("coco", ["0.jpg"])
    assert "regular" in report.protocols


def test_json_holds_everything_and_text_only_the_first(tree: Callable[[str], Path]) -> None:
    root = tree("prw")
    for image in sorted((root / "frames").iterdir())[:30]:
        image.write_bytes(b"")
    report = doctor(root)
    written = json.loads(report.to_json())
    assert [Finding(**finding) for finding in written["findings"]] == report.findings
    assert {key: written[key] for key in ("ok", "name", "digests", "fingerprints", "protocols")} == {
        "ok": False,
        "name": "prw",
        "digests": report.digests,
        "fingerprints": report.fingerprints,
        "protocols": report.protocols,
    }
    text = report.text(80)
    assert "and 26 more" in text
    assert "Replace it by a fresh copy" in text
    assert max(map(len, text.splitlines())) <= 110


def test_misuse_is_answered_with_near_names() -> None:
    root = EVALUATION / "prw"
    with pytest.raises(InputError, match="Did you mean 'prw'"):
        doctor(root, "prw2")
    with pytest.raises(InputError, match="Available: decode, headers, skip"):
        doctor(root, images="thumbnails")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Did you mean 'multi-view'"):
        doctor(root, protocols=["multiview"])
    with pytest.raises(InputError, match="prw has no option 'train_subset'"):
        doctor(root, options={"train_subset": 10})


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("movienet_cs", f"{TEST_LISTS}/TestG10000.mat"),
        ("movienet_cs", f"{TEST_LISTS}/TestG2000.mat"),
        ("cuhk_sysu", f"{TEST_LISTS}/TestG50.mat"),
    ],
)
@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_list_that_leads_nowhere_costs_one_protocol(
    tree: Callable[[str], Path], name: str, file: str, kind: str
) -> None:
    root = tree(name)
    (root / file).unlink()
    if kind == "link":
        (root / file).symlink_to("/nowhere/list.mat")
    else:
        (root / file).mkdir()
    report = doctor(root, images="skip")
    assert report.ok
    assert report.counts
    lost = f"gallery-{Path(file).stem.removeprefix('TestG')}"
    assert tuple(report.protocols) == tuple(p for p in load(name, root=EVALUATION / name).protocols if p != lost)


def test_what_keeps_the_scenes_from_being_read_is_an_error(tree: Callable[[str], Path]) -> None:
    """Also where the reader gives up at a file whose absence alone would be a warning."""
    root = tree("movienet_cs")
    for size in (2000, 4000, 10000):
        (root / f"annotation/pool_{size}.mat").unlink()
    report = doctor(root, "movienet_cs", images="skip")
    assert not report.ok
    assert report.of_severity("error")


def test_scene_of_both_splits_is_told(tree: Callable[[str], Path]) -> None:
    root = tree("movienet_cs")
    image = next(
        i
        for i in loadmat(root / "annotation/Images.mat")["Img"].ravel()
        if i["imname"].item() in load("movienet_cs", root=root).split("test").positions
    )
    path = root / TEST_LISTS / "Train_app10.mat"
    people = loadmat(path)["Train"]
    people[0, 2][0, 0] = image["imname"]
    people[0, 2][0, 1] = image["box"].ravel()[0]["idlocate"]
    savemat(path, {"Train": people})
    (finding,) = [f for f in _found(doctor(root, images="skip"), "odd-annotation") if "test scene, too" in f.what]
    assert (finding.severity, finding.where) == ("warning", "row 0")
    assert image["imname"].item() in finding.what


def test_frame_of_lsps_without_a_line_is_a_warning(tree: Callable[[str], Path]) -> None:
    root = tree("lsps")
    shutil.copy(next((root / "test").iterdir()), root / "test/f_009999_5_9.jpg")
    (finding,) = _found(doctor(root, images="headers"), "unlisted-image")
    assert (finding.severity, finding.file) == ("warning", "test/f_009999_5_9.jpg")


def test_lines_are_named_rightly_after_a_repeated_query(tree: Callable[[str], Path]) -> None:
    root = tree("lsps")
    path = root / "query_info.txt"
    lines = path.read_text().splitlines()
    person, frame, *_ = lines[8].split()
    path.write_text("\n".join([lines[0], lines[0], *lines[1:8], f"{person}\t{frame}\t1\t1\t9\t9"]))
    report = doctor(root, images="skip")
    (repeat,) = _found(report, "odd-annotation")
    assert (repeat.severity, repeat.where) == ("warning", "line 2")
    assert "(line 1)" in repeat.what
    assert [finding.where for finding in _found(report, "query-box")] == ["query 8"]
