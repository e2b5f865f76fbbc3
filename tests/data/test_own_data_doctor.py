"""What doctor says to people who bring data of their own."""

import json
import re
from pathlib import Path

import pytest

import psbench_data
from psbench_data import InputError
from tests.data.own_data import SCENES, Document, own_document, run_psbench_data, write_own_data


def test_doctor_takes_the_options_of_the_reader(tmp_path: Path) -> None:
    root = write_own_data(tmp_path / "mine", own_document(), "val.json", pictures="pictures")
    options = ("-O", "images=pictures", "-O", "test=val.json")
    status, said = run_psbench_data("doctor", root, *options)
    assert (status, "every image was decoded" in said) == (0, True)
    assert run_psbench_data("doctor", root, *options, "--images", "skip")[0] == 0
    (root / "pictures/day/7.jpg").unlink()
    status, said = run_psbench_data("doctor", root, *options)
    assert (status, "pictures/day/7.jpg: not there" in said) == (1, True)


@pytest.mark.parametrize(
    ("person", "told"),
    [
        ({"track_id": 3}, r"no annotation has the key 'person_id'.*KEY\): track_id\."),
        ({"person_id": None}, r"no annotation has the key 'person_id'"),
        ({"person_id": -1}, "no person is in two scenes, so there is nothing to search for"),
    ],
)
def test_data_without_anybody_to_search_for_is_not_ok(tmp_path: Path, person: Document, told: str) -> None:
    document = own_document()
    for annotation in document["annotations"]:
        del annotation["person_id"]
        annotation.update(person)
    root = write_own_data(tmp_path / "mine", document)
    status, said = run_psbench_data("doctor", root)
    assert status == 1
    assert "NOT OK: nobody here can be searched for (1 error)" in said
    assert re.search(told, said)
    # It can be looked at all the same.
    assert run_psbench_data("summary", "coco", root)[0] == 0


def test_a_training_set_without_people_is_a_warning(tmp_path: Path) -> None:
    root = write_own_data(tmp_path / "mine", own_document())
    document = own_document()
    for annotation in document["annotations"]:
        annotation["track_id"] = annotation.pop("person_id")
    (root / "train.json").write_text(json.dumps(document))
    status, said = run_psbench_data("doctor", root)
    assert status == 0
    assert "train.json: annotations: no annotation has the key 'person_id'" in said


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    document = own_document()
    people = document["annotations"]
    people[2]["bbox"] = [1, 2, 3]
    people[3] = "somebody"
    people[4]["image_id"] = 999
    people[5]["bbox"] = [5, 5, 0, 5]
    people[7]["bbox"] = [500, 5, 15, 30]
    document["people"] = [1.5]
    document["info"] = {"dataset": 5, "restricted": "perhaps"}
    root = write_own_data(tmp_path / "mine", document)
    (root / "day/9.jpg").unlink()
    report = psbench_data.doctor(root)
    found = {(finding.topic, finding.file, finding.where) for finding in report.findings}
    assert found == {
        ("annotation", "test.json", "annotations 2"),
        ("annotation", "test.json", "annotations 3"),
        ("annotation", "test.json", "annotations 4"),
        ("annotation", "test.json", "people 0"),
        ("annotation", "test.json", "info"),
        ("odd-annotation", "test.json", "annotations 5"),
        ("box-outside", "day/2.jpg", "box 1"),
        ("missing-image", "day/9.jpg", ""),
    }
    assert report.exit_status == 1


@pytest.mark.parametrize("file", ["train.json", "annotations/instances_val.json"])
def test_a_test_set_of_another_name_is_found(tmp_path: Path, file: str) -> None:
    (tmp_path / "mine/annotations").mkdir(parents=True)
    root = write_own_data(tmp_path / "mine", own_document(), file)
    with pytest.raises(InputError, match=rf"test.json: .* not there\. Name .*, -O test=FILE: there is {file}\."):
        psbench_data.load("coco", root=root)
    for name in ((), ("--name", "coco")):
        status, said = run_psbench_data("doctor", root, *name)
        assert status == 1
        assert f"-O test=FILE: there is {file}." in said
        assert run_psbench_data("doctor", root, *name, "-O", f"test={file}")[0] == 0


@pytest.mark.parametrize(("unknown", "protocols"), [(0, 3), (4, 1), (SCENES, 1)])
def test_cameras_of_some_images_only_are_told(tmp_path: Path, unknown: int, protocols: int) -> None:
    document = own_document()
    for image in document["images"][:unknown]:
        del image["camera_id"]
    report = psbench_data.doctor(write_own_data(tmp_path / "mine", document))
    assert (report.ok, len(report.protocols)) == (True, protocols)
    told = [f"{finding.where}: {finding.what}. {finding.remedy}" for finding in report.findings]
    assert told == (
        ["images: 4 of 20 have no camera_id, so multi-view and same-camera are left out. Give every image a camera_id."]
        if unknown == 4
        else []
    )


def test_unused_images_of_own_data_are_one_note(tmp_path: Path) -> None:
    document = own_document()
    document["images"], document["annotations"] = document["images"][:15], document["annotations"][:45]
    report = psbench_data.doctor(write_own_data(tmp_path / "mine", document))
    (note,) = report.findings
    assert (note.severity, note.what) == ("info", "no scene uses 5 of the images here, such as day/15.jpg")


def test_remedies_for_own_images_speak_of_no_archive_and_no_authors(tmp_path: Path) -> None:
    document = own_document()
    document["images"][0]["file_name"] = "elsewhere.jpg"
    document["images"][1]["width"] = 640
    document["annotations"][6]["bbox"] = [500, 5, 15, 30]
    root = write_own_data(tmp_path / "mine", document)
    (root / "day/3.jpg").write_bytes(b"")
    (root / "day/4.jpg").write_text("no picture")
    report = psbench_data.doctor(root)
    topics = {"missing-image", "image-size", "box-outside", "empty-image", "damaged-image", "unlisted-image"}
    assert {finding.topic for finding in report.findings} == topics
    remedies = {finding.topic: finding.remedy for finding in report.findings}
    assert "relative to FOLDER" in remedies["missing-image"]
    assert "-O images=DIR" in remedies["missing-image"]
    (none,) = psbench_data.doctor(root, options={"images": "nowhere"}).of_severity("error")
    assert (none.file, none.remedy) == ("nowhere", remedies["missing-image"])
    for words in remedies.values():
        assert not re.search(r"archive|authors|release", words)
