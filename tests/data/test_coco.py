"""One's own data: the example of the docs, every fault at once, and export and back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import psbench_data
from psbench_data import UNLABELED, InputError
from psbench_data.cli import app
from psbench_data.exporting.coco import export_coco
from psbench_data.exporting.notices import terms_of
from tests.conftest import EVALUATION


def _write(root: Path, **changes: Any) -> Path:
    document = {
        "images": [
            {"id": i, "file_name": f"day1/{i}.jpg", "width": 640, "height": 480, "camera_id": i % 2} for i in range(6)
        ],
        "annotations": [
            {"id": 10 * i + k, "image_id": i, "bbox": [20 * k, 5, 15.5, 40], "person_id": person}
            for i, people in enumerate([["anna", "bo"], ["anna"], ["bo", None], [3, "anna"], [-1, 10], [10, 3]])
            for k, person in enumerate(people)
        ],
    }
    root.mkdir(exist_ok=True)
    (root / "test.json").write_text(json.dumps(document | changes))
    return root


def test_example(tmp_path: Path) -> None:
    dataset = psbench_data.load("coco", root=_write(tmp_path))
    test = dataset.split("test")
    assert len(dataset.split("train")) == 0
    assert test.names[:2] == ["day1/0.jpg", "day1/1.jpg"]
    assert (test[3].path, test[3].camera_id, test[3].size) == (tmp_path / "day1/3.jpg", 1, (480, 640))
    assert test[2].boxes.tolist() == [[0, 5, 15.5, 45], [20, 5, 35.5, 45]]
    # Numbers in their order, then words: 3, 10, anna, bo.
    assert test.identities == ("3", "10", "anna", "bo")
    assert [scene.person_ids.tolist() for scene in test] == [
        [2, 3],
        [2],
        [3, UNLABELED],
        [0, 2],
        [UNLABELED, 1],
        [1, 0],
    ]
    assert dataset.protocols == ("regular", "multi-view", "same-camera")
    assert len(dataset.protocol("regular").queries) == 6
    assert (dataset.protocol("gallery-3").gallery_sizes == 3).all()
    assert not dataset.restricted


def test_second_open_does_not_parse_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _write(tmp_path, info={"dataset": "prw", "restricted": True})

    def asked() -> tuple[object, ...]:
        dataset = psbench_data.load("coco", root=root)
        return dataset.protocols, dataset.restricted, dataset.terms_name, dataset.protocol("regular").digest

    first = asked()
    assert first[:3] == (("regular", "multi-view", "same-camera"), True, "prw")
    monkeypatch.setattr("psbench_data.sources.coco.read_coco", lambda *_: pytest.fail("parsed again"))
    assert asked() == first


def test_own_queries_and_order_of_people_are_kept(tmp_path: Path) -> None:
    queries = [{"annotation_id": 11, "note": "ignored"}, {"image_id": 2, "bbox": [1, 1, 10, 10], "person_id": "bo"}]
    queries[0]["annotation_id"] = 10
    root = _write(tmp_path, queries=queries, people=["bo", "anna", "10", 3])
    dataset = psbench_data.load("coco", root=root)
    assert dataset.split("test").identities == ("bo", "anna", "10", "3")
    found = [(q.scene, q.box.tolist(), q.person_id) for q in dataset.protocol("regular").queries]
    assert found == [("day1/1.jpg", [0, 5, 15.5, 45], 1), ("day1/2.jpg", [1, 1, 11, 11], 0)]


def test_other_categories_crowds_and_empty_boxes_are_left_out(tmp_path: Path) -> None:
    annotations = [
        {"id": 1, "image_id": 0, "bbox": [0, 0, 5, 5], "category_id": 3},
        {"id": 2, "image_id": 0, "bbox": [0, 0, 5, 5], "category_id": 7},
        {"id": 3, "image_id": 0, "bbox": [0, 0, 0, 5], "category_id": 3},
        {"id": 4, "image_id": 0, "bbox": [0, 0, 5, -5], "category_id": 3},
        {"id": 5, "image_id": 0, "bbox": [0, 0, 5, 5], "category_id": 3, "iscrowd": 1},
        {"id": 6, "image_id": 1, "bbox": [-3.5, -1, 5, 5], "category_id": 3},
    ]
    categories = [{"id": 3, "name": "Person"}, {"id": 7, "name": "car"}]
    dataset = psbench_data.load("coco", root=_write(tmp_path, annotations=annotations, categories=categories))
    assert dataset.split("test").boxes.tolist() == [[0, 0, 5, 5], [-3.5, -1, 1.5, 4]]
    assert dataset.protocols == ()
    with pytest.raises(InputError, match="no annotation has the key 'person_id'"):
        dataset.protocol("regular")


def test_files_and_folders_can_be_named(tmp_path: Path) -> None:
    root = _write(tmp_path)
    (root / "annotations").mkdir()
    (root / "test.json").rename(root / "annotations/val.json")
    dataset = psbench_data.load(
        "coco", root=root, test="annotations/val.json", train="annotations/val.json", images="pictures"
    )
    assert len(dataset.split("train")) == 6
    assert dataset.split("train")[0].path == root / "pictures/day1/0.jpg"


@pytest.mark.parametrize(
    ("changes", "mentions"),
    [
        ({"images": "none"}, ["images", "expected a list"]),
        ({"annotations": [{"id": 1, "image_id": 0, "bbox": [1, 2, 3]}]}, ["annotations 0", "bbox has 3 numbers"]),
        (
            {"annotations": [{"id": 1, "image_id": 0, "bbox": [1, 2, 3, float("nan")]}]},
            ["annotations 0", "bbox is [1, 2, 3, nan]"],
        ),
        (
            {"annotations": [{"id": 1, "image_id": 0, "bbox": [1, 2, 1e12, 4]}]},
            ["annotations 0", "bbox is [1, 2, 1000000000000.0, 4]"],
        ),
        (
            {"annotations": [{"id": 1, "image_id": 77, "bbox": [1, 2, 3, 4]}] * 2, "people": ["x", "x"]},
            ["annotations 0", "77", "annotations 1", "second time", "people", "twice"],
        ),
        (
            {"images": [{"id": i, "file_name": n} for i, n in enumerate(["../a.jpg", "/etc/b.jpg", "c.jpg", "c.jpg"])]},
            ["images 0", "'../a.jpg'", "images 1", "'/etc/b.jpg'", "images 3", "second time"],
        ),
        ({"queries": [{"annotation_id": 999}, {"image_id": 1}]}, ["queries 0", "999", "queries 1", "bbox"]),
        ({"queries": [{"image_id": 1, "bbox": [0, 0, 0, 4], "person_id": "anna"}]}, ["queries 0", "no area"]),
        ({"queries": [{"image_id": 1, "bbox": [0, 0, 4, 4], "person_id": "zoe"}]}, ["queries 0", "zoe"]),
        ({"queries": [{"image_id": 1, "bbox": [16e6, 0, 0.01, 4], "person_id": "anna"}]}, ["queries 0", "no area"]),
        ({"people": ["anna"]}, ["people", "lacks", "bo"]),
        ({"images": [], "annotations": []}, ["holds no image"]),
    ],
)
def test_faults_are_told_together_with_their_place(tmp_path: Path, changes: dict, mentions: list[str]) -> None:
    root = _write(tmp_path, **changes)
    with pytest.raises(InputError) as error:
        psbench_data.load("coco", root=root).protocol("regular")
    for words in [str(root / "test.json"), *mentions]:
        assert words in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"images": []}'])
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "test.json").write_bytes(content)
    with pytest.raises(InputError, match=r"test\.json"):
        psbench_data.load("coco", root=tmp_path)


def test_requests_that_cannot_be_met_say_why(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(6)]
    dataset = psbench_data.load("coco", root=_write(tmp_path, images=images))
    assert dataset.protocols == ("regular",)
    with pytest.raises(InputError, match="needs to know cameras"):
        dataset.protocol("multi-view")
    with pytest.raises(InputError, match="a gallery of 6 scenes needs 7"):
        dataset.protocol("gallery-6")
    with pytest.raises(InputError, match="no protocol 'gallery-0'"):
        dataset.protocol("gallery-0")
    with pytest.raises(InputError, match=r"no option 'sed'\. Did you mean 'seed'"):
        psbench_data.load("coco", root=tmp_path, sed=1)
    with pytest.raises(InputError, match="not there"):
        psbench_data.load("coco", root=tmp_path / "nowhere")


def test_seed_changes_the_draw_and_nothing_else(tmp_path: Path) -> None:
    root = _write(tmp_path)
    one, same, other = (psbench_data.load("coco", root=root, seed=seed) for seed in (1, 1, 2))
    assert one.fingerprint == other.fingerprint
    assert one.protocol("gallery-3").digest == same.protocol("gallery-3").digest != other.protocol("gallery-3").digest


@pytest.mark.parametrize("name", ["cuhk_sysu", "prw", "lsps", "movienet_cs"])
def test_export_and_back_is_the_same(name: str, tmp_path: Path) -> None:
    dataset = psbench_data.load(name, root=EVALUATION / name)
    export_coco(dataset, tmp_path / "export")
    again = psbench_data.load("coco", root=tmp_path / "export", images=dataset.root.absolute())
    for split in ("train", "test"):
        one, other = dataset.split(split), again.split(split)
        assert one.fingerprint == other.fingerprint
        assert (one.names, one.identities, one.paths) == (other.names, other.identities, other.paths)
        np.testing.assert_array_equal(one.sizes, other.sizes)
        assert other[0].path.is_file()
    assert set(again.protocols) == set(dataset.protocols)
    for protocol in dataset.protocols:
        one, other = dataset.protocol(protocol), again.protocol(protocol)
        assert one.table.equals(other.table)
        assert (one.rest, one.version, one.pool.tolist()) == (other.rest, other.version, other.pool.tolist())
    assert again.restricted
    assert terms_of(again) == terms_of(dataset)


def test_export_takes_the_pictures_along_on_request(tmp_path: Path) -> None:
    dataset = psbench_data.load("prw", root=EVALUATION / "prw")
    export_coco(dataset, tmp_path / "export", copy_images=True)
    scene = psbench_data.load("coco", root=tmp_path / "export").split("test")[0]
    assert scene.path.read_bytes() == dataset.split("test")[0].path.read_bytes()


def test_a_protocol_that_a_killed_process_began_is_none(tmp_path: Path) -> None:
    dataset = psbench_data.load("prw", root=EVALUATION / "prw")
    export_coco(dataset, tmp_path / "export")
    (tmp_path / "export/protocols/.regular.0a1b2c3d.parquet").write_bytes(b"PAR1")
    assert set(psbench_data.load("coco", root=tmp_path / "export").protocols) == set(dataset.protocols)


def test_damaged_protocol_files_are_refused(tmp_path: Path) -> None:
    dataset = psbench_data.load("prw", root=EVALUATION / "prw")
    export_coco(dataset, tmp_path / "export")
    path = tmp_path / "export/protocols/regular.parquet"
    table = pq.read_table(path)
    metadata = table.schema.metadata

    def complaint(changed: Any) -> str:
        if isinstance(changed, bytes):
            path.write_bytes(changed)
        else:
            pq.write_table(changed, path)
        with pytest.raises(InputError, match=r"regular\.parquet") as error:
            psbench_data.load("coco", root=tmp_path / "export").protocol("regular")
        return str(error.value)

    assert "not the Parquet file of a protocol" in complaint(path.read_bytes()[:-20])
    assert "not the Parquet file of a protocol" in complaint(table.replace_schema_metadata(None))
    assert "column 'listed': expected" in complaint(table.drop_columns(["listed"]))
    outside = [int(i) + 1000 for i in table.column("scene").to_pylist()]
    wrong = table.set_column(0, "scene", [outside]).cast(table.schema)
    assert "scene has values from" in complaint(wrong.replace_schema_metadata(metadata))
    settings = {**metadata, b"settings": b'{"rest": "some", "pool": [9999, "x"]}'}
    assert "rest is 'some'" in complaint(table.replace_schema_metadata(settings))
    assert "holds no query" in complaint(table.slice(0, 0))
    nested = {**metadata, b"settings": b"[" * 100_000}
    assert "not the Parquet file of a protocol" in complaint(table.replace_schema_metadata(nested))
    for name, value in (("listed", [None, 1]), ("truth_boxes", [[0, 0, None, 1]])):
        column = pa.array([value, *table.column(name).to_pylist()[1:]], table.schema.field(name).type)
        holey = table.set_column(table.column_names.index(name), name, column)
        assert f"column {name!r} has empty fields" in complaint(holey)
    # Few bytes that would fill memory.
    many = pa.table({"person_id": np.zeros(2**24, np.int64)})
    assert "would become 134,217," in complaint(many.replace_schema_metadata(metadata))
    for key in (b"scenes", b"identities"):
        older = {name: value for name, value in metadata.items() if name != key}
        assert "belongs to other scenes; export it again" in complaint(table.replace_schema_metadata(older))


@pytest.mark.parametrize("reversed_key", ["images", "people"])
def test_galleries_of_other_scenes_are_refused(tmp_path: Path, reversed_key: str) -> None:
    export_coco(psbench_data.load("prw", root=EVALUATION / "prw"), tmp_path / "export")
    path = tmp_path / "export/test.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {reversed_key: document[reversed_key][::-1]}))
    with pytest.raises(InputError, match=r"regular\.parquet: belongs to other scenes; export it again"):
        psbench_data.load("coco", root=tmp_path / "export").protocol("regular")


def test_exports_of_an_export_keep_the_terms(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    export_coco(psbench_data.load("prw", root=EVALUATION / "prw"), first)
    export_coco(psbench_data.load("coco", root=first), second)
    assert (second / "TERMS.txt").read_text() == (first / "TERMS.txt").read_text()
    assert terms_of(psbench_data.load("coco", root=second)).title == "PRW"


@pytest.mark.parametrize(
    "option", [{"seed": 2**64}, {"seed": -1}, {"seed": "1"}, {"seed": 1.5}, {"test": 5}, {"train": None}, {"images": 5}]
)
def test_options_of_another_type_or_size_are_refused(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"coco: {next(iter(option))} is .*, expected"):
        psbench_data.load("coco", root=_write(tmp_path), **option)


def test_byte_order_mark_is_passed_over_and_other_encodings_are_named(tmp_path: Path) -> None:
    path = _write(tmp_path) / "test.json"
    content = path.read_text()
    path.write_text(content, encoding="utf-8-sig")
    assert len(psbench_data.load("coco", root=tmp_path).split("test")) == 6
    path.write_text(content, encoding="utf-16")
    with pytest.raises(InputError, match="expected UTF-8"):
        psbench_data.load("coco", root=tmp_path)


def test_person_ids_may_be_words_for_unlabelled_or_have_any_length(tmp_path: Path) -> None:
    long = "9" * 6000
    people = [
        {"id": i, "image_id": i, "bbox": [0, 0, 5, 5], "person_id": p} for i, p in enumerate(["-1", long, 12, "7"])
    ]
    test = psbench_data.load("coco", root=_write(tmp_path, annotations=people)).split("test")
    assert test.identities == ("7", "12", long)
    assert test.person_ids.tolist() == [UNLABELED, 2, 1, 0]


def test_both_broken_files_are_told(tmp_path: Path) -> None:
    root = _write(tmp_path, annotations=7)
    (root / "train.json").write_text("[]")
    with pytest.raises(InputError) as error:
        psbench_data.load("coco", root=root)
    assert [fault.split(": ")[0] for fault in error.value.faults] == [
        str(root / f"{s}.json") for s in ("train", "test")
    ]


def _with_people_under(root: Path, key: str) -> Path:
    """The example with its identities under another key, dotted where it is within another."""
    path = _write(root) / "test.json"
    document = json.loads(path.read_text())
    outer, _, inner = key.partition(".")
    for annotation in document["annotations"]:
        person = annotation.pop("person_id")
        annotation[outer] = {"occluded": False, inner: person} if inner else person
    path.write_text(json.dumps(document))
    return root


@pytest.mark.parametrize("key", ["track_id", "attributes.person_id", "attributes.id"])
def test_people_may_be_known_by_another_key(tmp_path: Path, key: str) -> None:
    plain = psbench_data.load("coco", root=_write(tmp_path / "plain"))
    named = psbench_data.load("coco", root=_with_people_under(tmp_path / "named", key), person_id=key)
    assert named.fingerprint == plain.fingerprint
    assert named.split("test").identities == plain.split("test").identities
    assert named.protocol("regular").digest == plain.protocol("regular").digest
    # Opened without the key, it is not what the cache holds of it.
    unknown = psbench_data.load("coco", root=tmp_path / "named")
    assert (unknown.protocols, unknown.split("test").identities) == ((), ())


def test_where_nobody_is_known_the_keys_are_named(tmp_path: Path) -> None:
    root = _with_people_under(tmp_path, "attributes.id")
    with pytest.raises(InputError, match=r"no annotation has the key 'track_id'.*KEY\): attributes.id\."):
        psbench_data.load("coco", root=root, person_id="track_id")
    for unusable in ("", "attributes.", 3, None):
        with pytest.raises(InputError, match=r"coco: person_id is .*, expected a key"):
            psbench_data.load("coco", root=root, person_id=unusable)

    def said(*arguments: str) -> str:
        return " ".join(CliRunner().invoke(app, [*arguments]).output.split())

    assert "nobody to search for" in said("summary", "coco", str(root))
    assert "-O person_id=KEY): attributes.id." in said("doctor", str(root), "--images", "skip")
    named = ("-O", "person_id=attributes.id")
    assert "regular 1 6 5" in said("summary", "coco", str(root), *named)
    found = said("doctor", str(root), "--images", "skip", *named)
    assert "Protocols that can be used: regular, multi-view, same-camera." in found
    with pytest.raises(InputError, match=r"no protocol, as there is nobody to search for. Run `psbench-data doctor"):
        psbench_data.load("coco", root=root).require_protocols()


def test_an_export_with_its_images_is_recognised(tmp_path: Path, world_root: Path) -> None:
    """Its images lie in the folders of CUHK-SYSU."""
    export_coco(psbench_data.load("cuhk_sysu", root=world_root), tmp_path / "export", copy_images=True)
    report = psbench_data.doctor(tmp_path / "export", images="skip")
    assert (report.name, report.exit_status) == ("coco", 0)


def test_pedestrians_are_people(tmp_path: Path) -> None:
    annotations = [{"id": i, "image_id": 0, "bbox": [i, 0, 5, 5], "category_id": i} for i in (1, 2)]
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "Pedestrian"}]
    dataset = psbench_data.load("coco", root=_write(tmp_path, annotations=annotations, categories=categories))
    assert dataset.split("test").boxes.tolist() == [[2, 0, 7, 5]]


def test_options_of_the_command_line_may_be_negative(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["summary", "coco", str(_write(tmp_path)), "-O", "seed=-1"])
    assert result.exit_code == 1
    assert "coco: seed is -1, expected a whole number" in result.stderr
