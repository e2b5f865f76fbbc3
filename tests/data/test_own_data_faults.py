"""How the faults of a file of one's own are told: each once, by its cause, in words of the form, with what to do."""

import re
from pathlib import Path
from typing import Any

import pytest

import psbench_data
from psbench_data import InputError
from psbench_data.sources.coco_document import Annotation, Category, Image, Info, Query
from tests.data.own_data import SCENES, Document, own_document, run_psbench_data, write_own_data


def _faults(root: Path, **options: Any) -> list[str]:
    """Those of loading, without the file's name, which each must begin with."""
    with pytest.raises(InputError) as error:
        psbench_data.load("coco", root=root, **options)
    start = f"{root / 'test.json'}: "
    assert all(fault.startswith(start) for fault in error.value.faults)
    return [fault.removeprefix(start) for fault in error.value.faults]


def test_of_unusable_images_only_the_images_are_told(tmp_path: Path) -> None:
    document = own_document()
    for image in document["images"]:
        image["file_name"] = f"/data/{image['file_name']}"
    faults = _faults(write_own_data(tmp_path / "absolute", document))
    assert faults[0] == (
        "images 0: file_name: '/data/day/0.jpg' is not the name of a file inside FOLDER. Write file_name relative to "
        "FOLDER, or to DIR of -O images=DIR; without '..', backslash and colon."
    )
    assert all(fault.startswith("images ") for fault in faults)

    document = own_document()
    document["images"][3]["id"] = 102
    document["images"][5]["file_name"] = "day/4.jpg"
    del document["images"][6]["id"]
    document["images"][7]["width"] = 0
    faults = _faults(write_own_data(tmp_path / "repeated", document))
    # What images 6 should be called nobody knows, so no image_id is held against it.
    assert sorted(fault.split(":")[0] for fault in faults) == ["images 3", "images 5", "images 6", "images 7"]

    document["images"][6]["id"] = 106
    document["images"][7]["width"] = 64
    del document["images"][5]
    (fault,) = _faults(write_own_data(tmp_path / "twice", document))
    assert fault == "images 3: id 102 is there a second time. Give each image an id of its own."

    document = own_document()
    document["images"][7]["width"] = 0
    document["images"][5]["file_name"] = "day/4.jpg"
    # An annotation of no image is told beside them.
    document["annotations"][11]["image_id"] = 999
    faults = _faults(write_own_data(tmp_path / "another", document))
    assert sorted(fault.split(":")[0] for fault in faults) == ["annotations 11", "images 5", "images 7"]


def test_queries_of_rows_with_faults_are_not_told(tmp_path: Path) -> None:
    document = own_document()
    document["queries"] = [
        {"annotation_id": 0},
        {"annotation_id": 3},
        {"image_id": 101, "bbox": [0, 0, 9, 9], "person_id": "p1"},
        {"annotation_id": 999},
        {"annotation_id": 6, "bbox": 5},
        {"annotation_id": 9},
    ]
    document["annotations"][0]["bbox"] = None
    document["images"][1]["file_name"] = "../1.jpg"
    places = sorted(fault.split(":")[0] for fault in _faults(write_own_data(tmp_path / "mine", document)))
    assert places == ["annotations 0", "images 1", "queries 3", "queries 4"]


@pytest.mark.parametrize(
    ("table", "row", "change", "told"),
    [
        ("annotations", 11, {"person_id": 1.5}, "person_id is 1.5, expected a whole number or a word. Write who it is"),
        ("annotations", 11, {"bbox": [1, 2, 3]}, "bbox has 3 numbers, expected x, y, width, height. Write bbox as [x"),
        ("annotations", 11, {"bbox": [1, 2, 3, 4, 5]}, "bbox has 5 numbers, expected x, y, width, height. "),
        ("annotations", 11, {"bbox": {"x": 1}}, "bbox is {'x': 1}, expected the list x, y, width, height. "),
        (
            "annotations",
            11,
            {"bbox": [1, 2, 3, "wide"]},
            "bbox is [1, 2, 3, 'wide'], expected numbers within 16,777,216",
        ),
        (
            "images",
            11,
            {"camera_id": "cam0"},
            "camera_id is 'cam0', expected a whole number from 0. Number your cameras",
        ),
        ("images", 11, {"width": 0}, "width is 0, expected a whole number of pixels from 1. Write the size"),
    ],
)
def test_a_wrong_value_is_one_fault_in_words_of_the_form(
    tmp_path: Path, table: str, row: int, change: Document, told: str
) -> None:
    document = own_document()
    document[table][row] |= change
    (fault,) = _faults(write_own_data(tmp_path / "mine", document))
    assert fault.startswith(f"{table} {row}: {told}")


def test_a_person_named_by_another_key_is_told_by_that_key(tmp_path: Path) -> None:
    document = own_document()
    for annotation in document["annotations"]:
        annotation["attributes"] = {"id": annotation.pop("person_id")}
    document["annotations"][4]["attributes"]["id"] = 1.5
    root = write_own_data(tmp_path / "mine", document)
    (fault,) = _faults(root, person_id="attributes.id")
    assert fault.startswith("annotations 4: attributes.id is 1.5, expected a whole number or a word. ")


ROWS = {"images": Image, "annotations": Annotation, "categories": Category, "queries": Query, "info": Info}


@pytest.mark.parametrize(("table", "key"), [(table, key) for table, form in ROWS.items() for key in form.model_fields])
def test_every_key_says_what_is_expected(tmp_path: Path, table: str, key: str) -> None:
    document = own_document() | {"categories": [{"id": 1, "name": "dog"}], "queries": [{"annotation_id": 1}]}
    document["annotations"][0]["category_id"] = 1
    wrong: Document = {key: {"x": 1}}
    if table == "info":
        document["info"] = wrong
    else:
        document[table][0] |= wrong
    (fault,) = _faults(write_own_data(tmp_path / "mine", document))
    place = "info" if table == "info" else f"{table} 0"
    assert re.match(rf"{place}: {key} is {{'x': 1}}, expected .+\. [A-Z].+\.", fault)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the file: it is empty. Write an object with the lists images and annotations"),
        (" \n", "the file: it is empty. "),
        ("[]", "the file: it holds [], expected an object with the lists images and annotations. "),
        ('{"images": [', "the file: it is no JSON (EOF while parsing a list at line 1 column 12). "),
        (
            '{"images": [], "annos": []}',
            "annotations: this key is not there, only 'images', 'annos'. Rename 'annos' to it",
        ),
        ('{"images": [], "zoo": []}', "annotations: this key is not there, only 'images', 'zoo'. Add the list"),
        ("{}", "images: this key is not there, only an empty object. Add the list images."),
        ('{"images": [], "annotations": 7}', "annotations: expected a list, found 7. "),
    ],
)
def test_a_file_of_another_form_is_told_as_such(tmp_path: Path, content: str, told: str) -> None:
    root = write_own_data(tmp_path / "mine", content)
    assert _faults(root)[0].startswith(told)
    status, said = run_psbench_data("doctor", root)
    assert status == 1
    assert told.split(". ")[0] in said
    assert "archive" not in said


def test_of_many_faults_every_kind_is_told_with_its_rows(tmp_path: Path) -> None:
    document = own_document()
    faulty = range(4, 304)
    document["annotations"] = [
        {"id": i, "image_id": 100 + i % SCENES, "bbox": [1, 2, 3] if i in faulty else [1, 2, 3, 4], "person_id": i % 7}
        for i in range(310)
    ]
    document["annotations"][305]["person_id"] = 1.5
    document["annotations"][306]["image_id"] = 999
    document["annotations"][307]["id"] = 308
    document["images"][2]["camera_id"] = "left"
    root = write_own_data(tmp_path / "mine", document)
    (kind,) = {fault.split(". ")[1] for fault in _faults(root) if "annotations 4:" in fault}
    of_kind = [fault.split(":")[0] for fault in _faults(root) if kind in fault]
    assert of_kind == [
        *(f"annotations {i}" for i in (4, 5, 6)),
        "annotations 7, 8, 9, 10, 11 and 292 more",
    ]
    assert len(faulty) == 3 + 5 + 292
    # The message of a command is cut after twenty faults.
    for said in (run_psbench_data("summary", "coco", root)[1], run_psbench_data("doctor", root)[1]):
        for place in ("annotations 4:", "annotations 305:", "annotations 306:", "annotations 308:", "images 2:"):
            assert place in said
        assert "and 292 more" in said
