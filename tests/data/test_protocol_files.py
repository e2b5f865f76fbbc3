"""Protocols as files: read back as they were, and refused with everything that is wrong in them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psbench_data import InputError, Protocol, Scenes
from psbench_data.galleries import protocol_table
from psbench_data.parquet_sizes import bytes_in_memory
from psbench_data.protocol_files import protocol_version, read_protocol, write_protocol
from psbench_data.scenes import scenes_table
from tests.judging import worlds

BOX = [1, 2, 11, 22]
REMEDY = " Export the protocol again."


def _test_scenes(labels: tuple[str, ...] = ("anna", "bo")) -> Scenes:
    """Three scenes, two people in each."""
    names = ["a.jpg", "b.jpg", "c.jpg"]
    return Scenes(scenes_table(names, names, [np.array([BOX, BOX])] * 3, [np.array([0, 1])] * 3), Path(), labels)


def _made(scenes: Scenes, version: int = 7, **changes: Any) -> Protocol:
    """Two queries; the first finds her person in the second scene of her list, the other in none."""
    parts: dict[str, Any] = {
        "scenes": [0, 2],
        "boxes": np.array([BOX, BOX]),
        "person_ids": [1, 0],
        "listed": [np.array([2, 1]), np.array([1])],
        "truth_entries": [np.array([1]), np.zeros(0, np.int64)],
        "truth_boxes": [np.array([BOX]), np.zeros((0, 4))],
    } | changes
    return Protocol("made", protocol_table(**parts), scenes, dataset="toy", synthetic=True, version=version)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_is_read(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    test = worlds.scenes(rng)
    protocol = worlds.protocol(rng, test)
    write_protocol(tmp_path / "p.parquet", protocol)
    table = read_protocol(tmp_path / "p.parquet", test)
    assert table.schema.equals(protocol.table.schema, check_metadata=True)
    assert table.equals(protocol.table)
    assert protocol_version(tmp_path / "p.parquet") == 1


def test_settings_are_kept_and_may_be_older(tmp_path: Path) -> None:
    scenes, path = _test_scenes(), tmp_path / "p.parquet"
    write_protocol(path, _made(scenes, version=12, rest="other-cameras", pool=[2, 0], by_rule=True))
    assert protocol_version(path) == 12
    kept = {"rest": "other-cameras", "pool": [0, 2], "by_rule": True}
    assert json.loads(read_protocol(path, scenes).schema.metadata[b"settings"]) == kept
    table = pq.read_table(path)
    older = {**table.schema.metadata, b"settings": b'{"rest": "all", "pool": null}'}
    pq.write_table(table.replace_schema_metadata(older), path)
    settings = json.loads(read_protocol(path, scenes).schema.metadata[b"settings"])
    assert settings == {"rest": "all", "pool": None, "by_rule": False}


def test_columns_may_stand_in_any_order_and_others_beside_them(tmp_path: Path) -> None:
    scenes, path = _test_scenes(), tmp_path / "p.parquet"
    protocol = _made(scenes)
    write_protocol(path, protocol)
    table = pq.read_table(path)
    more = table.append_column("note", pa.array(["x", "y"])).select([*table.column_names[::-1], "note"])
    pq.write_table(more, path)
    assert read_protocol(path, scenes).equals(protocol.table)


def test_a_file_says_whose_scenes_and_identities_its_positions_are_of(tmp_path: Path) -> None:
    """In a way that files written earlier are known by; all columns are compressed."""
    scenes, path = _test_scenes(), tmp_path / "p.parquet"
    write_protocol(path, _made(scenes))
    said = pq.read_schema(path).metadata
    assert said[b"scenes"] == scenes.fingerprint.encode()
    assert said[b"identities"] == hashlib.sha256(b"anna\0bo").hexdigest().encode()
    group = pq.read_metadata(path).row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {"ZSTD"}


def test_damage_of_columns_that_nobody_reads_does_not_matter(tmp_path: Path) -> None:
    scenes, path = _test_scenes(), tmp_path / "p.parquet"
    protocol = _made(scenes)
    write_protocol(path, protocol)
    pq.write_table(pq.read_table(path).append_column("note", pa.array(["x", "y"])), path, use_dictionary=False)
    group = pq.read_metadata(path).row_group(0)
    note = group.column(group.num_columns - 1)
    assert note.path_in_schema == "note"
    content = bytearray(path.read_bytes())
    page = slice(note.data_page_offset, note.data_page_offset + note.total_compressed_size)
    content[page] = b"\xff" * note.total_compressed_size
    path.write_bytes(content)
    assert read_protocol(path, scenes).equals(protocol.table)
    with pytest.raises(OSError, match="header failed"):
        pq.read_table(path)


def test_files_of_other_scenes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write_protocol(path, _made(_test_scenes()))
    for labels in [("anna", "carl"), ("annabo",), ("anna", "bo", "")]:
        with pytest.raises(InputError) as error:
            read_protocol(path, _test_scenes(labels))
        assert error.value.faults == [f"{path}: belongs to other scenes; export it again."]


def _with_settings(table: pa.Table, **changes: Any) -> pa.Table:
    settings = json.loads(table.schema.metadata[b"settings"]) | changes
    return table.replace_schema_metadata({**table.schema.metadata, b"settings": json.dumps(settings)})


def _with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))


DAMAGES: dict[str, tuple[Callable[[pa.Table], pa.Table], list[str]]] = {
    "the rule": (lambda t: _with_settings(t, rest="some", pool=5, by_rule="no"), [
        "rest is 'some', expected one of none, all, other-cameras, same-camera.",
        "pool is no list of positions.",
        "by_rule is 'no', expected true or false.",
    ]),
    "a position in the pool": (lambda t: _with_settings(t, pool=[0, "1"]), ["pool is no list of positions."]),
    "truths in the pool": (lambda t: _with_settings(t, pool=[True, False]), ["pool is no list of positions."]),
    "a number of 65 bits": (lambda t: _with_settings(t, pool=[0, 2**63]), ["pool is no list of positions."]),
    "a number of 64 bits": (
        lambda t: _with_settings(t, pool=[0, 2**63 - 1]),
        ["pool has values from 0 to 9223372036854775807, expected 0 to 2."],
    ),
    "columns": (
        lambda t: t.drop_columns(["box"]).set_column(0, "scene", t.column("scene").cast(pa.int64())), [
        "column 'scene': expected int32, found int64.",
        "column 'box': expected fixed_size_list<item: float>[4], found none.",
    ]),
    "numbers in lists": (
        lambda t: t.set_column(3, "listed", pa.array([["x"], []], pa.large_list(pa.string()))),
        ["column 'listed': expected large_list<item: int32>, found large_list<element: string>."],
    ),
    "no list at all": (
        lambda t: t.set_column(3, "listed", t.column("scene")),
        ["column 'listed': expected large_list<item: int32>, found int32."],
    ),
    "empty fields": (
        lambda t: _with_column(_with_column(t, "scene", [None, 3]), "person_id", [0, None]),
        ["column 'scene' has empty fields.", "column 'person_id' has empty fields."],
    ),
    "empty fields in lists": (
        lambda t: _with_column(_with_column(t, "listed", [[2, None], [1]]), "truth_boxes", [[[1, 2, None, 22]], []]),
        ["column 'listed' has empty fields.", "column 'truth_boxes' has empty fields."],
    ),
    "positions": (
        lambda t: _with_settings(
            _with_column(_with_column(_with_column(t, "scene", [0, 3]), "person_id", [2, -1]), "listed", [[-1, 3], []]),
            pool=[0, 3, -1],
        ),
        [
            "scene has values from 0 to 3, expected 0 to 2.",
            "listed has values from -1 to 3, expected 0 to 2.",
            "pool has values from -1 to 3, expected 0 to 2.",
            "person_id has values from -1 to 2, expected 0 to 1.",
        ],
    ),
    "places of true boxes": (
        lambda t: _with_column(t, "truth_entries", [[2], []]), ["truth_entries point outside their query's list."]
    ),
    "places below the first": (
        lambda t: _with_column(t, "truth_entries", [[-1], []]), ["truth_entries point outside their query's list."]
    ),
    "numbers of true boxes": (
        lambda t: _with_column(t, "truth_boxes", [[], []]), ["truth_entries and truth_boxes differ in length."]
    ),
    "boxes": (
        lambda t: _with_column(_with_column(t, "box", [BOX, [1, 2, 1, 22]]), "truth_boxes", [[[1, 2, np.inf, 22]], []]),
        ["box holds a box without area.", "truth_boxes holds a box without area."],
    ),
    "all rows": (lambda t: t.slice(0, 0), ["holds no query."]),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_files_are_refused_with_everything_that_is_wrong(what: str, tmp_path: Path) -> None:
    scenes, path = _test_scenes(), tmp_path / "p.parquet"
    write_protocol(path, _made(scenes))
    damage, faults = DAMAGES[what]
    pq.write_table(damage(pq.read_table(path)), path)
    with pytest.raises(InputError) as error:
        read_protocol(path, scenes)
    assert error.value.faults == [f"{path}: {fault}{REMEDY}" for fault in faults]


def test_a_file_may_take_so_much_memory_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that nobody reads do not count."""
    scenes, path = _test_scenes(), tmp_path / "p.parquet"
    protocol = _made(scenes)
    write_protocol(path, protocol)
    pq.write_table(pq.read_table(path).append_column("note", pa.array(["x" * 5000, "y"])), path)
    size = bytes_in_memory(path, protocol.table.column_names)
    monkeypatch.setattr("psbench_data.protocol_files.most_bytes", lambda path: size)
    assert read_protocol(path, scenes).equals(protocol.table)
    monkeypatch.setattr("psbench_data.protocol_files.most_bytes", lambda path: size - 1)
    with pytest.raises(InputError) as error:
        read_protocol(path, scenes)
    said = f"it would become {size:,} bytes in memory, expected at most {size - 1:,}"
    assert error.value.faults == [f"{path}: not the Parquet file of a protocol ({said}).{REMEDY}"]


@pytest.mark.parametrize("read", [protocol_version, lambda path: read_protocol(path, _test_scenes())])
@pytest.mark.parametrize("damage", ["text", "missing", "plain"])
def test_other_files_are_named(read: Callable[[Path], object], damage: str, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    if damage == "text":
        path.write_text("scene,box")
    elif damage == "plain":
        pq.write_table(pa.table({"scene": [0]}), path)
    with pytest.raises(InputError) as error:
        read(path)
    [fault] = error.value.faults
    assert fault.startswith(f"{path}: not the Parquet file of a protocol (")
    assert fault.endswith(f").{REMEDY}")
