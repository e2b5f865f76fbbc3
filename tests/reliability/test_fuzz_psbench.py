"""The fuzz campaign over psbench's own files in small, and what it found before it was mended."""

import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from psbench import InputError, zoo
from psbench.importing import import_detections
from psbench.reporting.measured import from_json
from psbench.tables import read_table
from psbench.zoo.layers.backbone import feature_network
from psbench.zoo.released import read_released
from psbench.zoo.starting import start_from_weights
from psbench.zoo.weights import load_weights, read_info
from psbench_data.parquet_sizes import bytes_in_memory
from tests.models.own import save_run
from tests.models.small import SMALL
from tests.reliability import test_fuzz_data
from tests.reliability.fuzz import (
    of_psbench_begun,
    of_psbench_boards,
    of_psbench_dumps,
    of_psbench_predictions,
    of_psbench_results,
    of_psbench_training,
    of_psbench_weights,
)
from tests.reliability.fuzz.target import Target

_MODULES = (
    of_psbench_begun,
    of_psbench_boards,
    of_psbench_dumps,
    of_psbench_predictions,
    of_psbench_results,
    of_psbench_training,
    of_psbench_weights,
)
_TARGETS = {target.name: target for module in _MODULES for target in module.TARGETS}


@pytest.mark.parametrize("name", _TARGETS)
def test_damaged_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    test_fuzz_data.test_damaged_files_are_read_or_refused(tmp_path, _TARGETS[name])


def test_a_fault_is_one_line_that_a_terminal_can_show() -> None:
    quoted = InputError("a.json: 'red \x1b[31m\ud800' is\n  no name. Mend it.").faults[0]
    assert quoted == r"a.json: 'red \x1b[31m\ud800' is no name. Mend it."
    long = InputError(f"a.json: {'x' * 10**6} is no name. Mend it.").faults[0]
    assert len(long) < 1000
    assert long.startswith("a.json: xxx")
    assert long.endswith("is no name. Mend it.")
    told = str(InputError("a: no.", advice="Do this:\n    that"))
    assert told == "a: no.\nDo this:\n    that"


def _table(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"])] * 2, names=["scene", "scene"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="expected the columns"):
        read_table(tmp_path / "a.parquet", pa.schema({"scene": pa.string()}))


def test_no_end_of_a_table_ends_the_process(tmp_path: Path) -> None:
    """pyarrow 26 calls std::terminate where sizes of a column cannot be right and somebody asks for the column's."""
    lists = pa.array([["a"], [], ["b", "c"]], pa.list_(pa.string()))
    content = _table(tmp_path / "a.parquet", scene=["a", "b", "c"], lists=lists).read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    schema = pa.schema({"scene": pa.string(), "lists": pa.list_(pa.string())})
    refused = 0
    for place in range(start, len(content)):
        changed = bytearray(content)
        changed[place] ^= 16
        (tmp_path / "a.parquet").write_bytes(changed)
        try:
            read_table(tmp_path / "a.parquet", schema)
        except InputError:
            refused += 1
    assert 0 < refused < len(content) - start


def test_sizes_are_those_that_pages_tell(tmp_path: Path) -> None:
    """The end of a file can say that there is little in pages that unfold to more than memory holds."""
    rng, schema = np.random.default_rng(0), pa.schema({"scores": pa.float32()})
    options: dict[str, Any] = {
        "compression": "zstd",
        "use_dictionary": False,
        "data_page_size": 2**28,
        "max_rows_per_page": 2**28,
        "row_group_size": 2**28,
    }
    for name, values in (("small", rng.random(2**17, np.float32)), ("large", np.zeros(2**25, np.float32))):
        pq.write_table(pa.table({"scores": values}), tmp_path / name, write_batch_size=2**25, **options)
        assert 1 <= bytes_in_memory(tmp_path / name, ["scores"]) / values.nbytes < 1.01
        assert bytes_in_memory(tmp_path / name, ["others"]) == 0
    small, large = ((tmp_path / name).read_bytes() for name in ("small", "large"))
    end = len(small) - 8 - int.from_bytes(small[-8:-4], "little")
    pages = large[: len(large) - 8 - int.from_bytes(large[-8:-4], "little")]
    assert len(pages) < end
    (tmp_path / "lying").write_bytes(pages.ljust(end, b"\0") + small[end:])
    assert pq.read_metadata(tmp_path / "lying").row_group(0).column(0).total_uncompressed_size < 2**20
    before = pa.total_allocated_bytes()
    with pytest.raises(InputError, match="would become 134,217,"):
        read_table(tmp_path / "lying", schema)
    assert pa.total_allocated_bytes() == before


def test_an_archive_of_another_version_is_refused(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "a.pth")
    content = (tmp_path / "a.pth").read_bytes()
    # The version that is needed to unpack a member, as the directory says.
    at = content.index(b"PK\1\2") + 6
    (tmp_path / "a.pth").write_bytes(content[:at] + b"\x75" + content[at + 1 :])
    with pytest.raises(InputError, match="not a dump"):
        import_detections("seqnet", tmp_path / "a.pth", of_psbench_predictions.dataset())


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of psbench's own."""
    return save_run(tmp_path_factory.mktemp("run"), "pcnet") / "model.safetensors"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"num_identities": "1" * 5000}, "its header is damaged"),
        ({"options": "[" * 100_000}, "its header is damaged"),
        ({"num_identities": str(10**9)}, "has tables of"),
        ({"options": {"oim_queue_size": 10**9}}, "has tables of"),
        ({"options": {"embedding_dim": 10**9}}, "not the weights of pcnet"),
        ({"options": {"embedding_dim": 10**30}}, "no network can be built"),
        ({"options": {"head_convs": 10**9}}, "model.safetensors: pcnet: option head_convs is 1000000000"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_header_takes_no_memory(weights: Path, tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        load_weights(_with_header(weights, tmp_path / "model.safetensors", changes))


def _with_header(weights: Path, path: Path, changes: dict[str, Any]) -> Path:
    with safe_open(weights, "pt") as file:
        header = file.metadata()
    for name, change in changes.items():
        header[name] = json.dumps(json.loads(header[name]) | change) if isinstance(change, dict) else change
    save_file(load_file(weights), path, header)
    return path


def test_a_file_of_weights_fetches_no_others(weights: Path, tmp_path: Path) -> None:
    """`pretrained` may name any file, or have timm ask for one on the internet."""
    path = _with_header(weights, tmp_path / "a.safetensors", {"options": {"pretrained": str(tmp_path / "others.pth")}})
    assert read_info(path).options["pretrained"] is False
    assert load_weights(path).options.pretrained is False


def test_complex_numbers_are_no_weights(weights: Path, tmp_path: Path) -> None:
    state = load_file(weights)
    name = next(iter(state))
    save_file(state | {name: state[name].to(torch.complex64)}, tmp_path / "a.safetensors", _header(weights))
    with pytest.raises(InputError, match="not the weights of pcnet"):
        load_weights(tmp_path / "a.safetensors")
    model = zoo.create("pcnet", num_identities=6, **SMALL["pcnet"])
    with pytest.raises(InputError, match="do not hold what PCNet starts from"):
        start_from_weights(model, tmp_path / "a.safetensors", dataset="coco", fingerprint="")


def _header(weights: Path) -> dict[str, str]:
    with safe_open(weights, "pt") as file:
        return file.metadata()


def test_a_compressed_checkpoint_is_refused(tmp_path: Path) -> None:
    """torch would unfold it, to a thousand times its size."""
    torch.save({"weight": torch.zeros(100)}, tmp_path / "whole.pth")
    with zipfile.ZipFile(tmp_path / "whole.pth") as whole, zipfile.ZipFile(tmp_path / "a.pth", "w") as packed:
        for info in whole.infolist():
            packed.writestr(info.filename, whole.read(info), zipfile.ZIP_DEFLATED)
    for read in (read_released, lambda path: feature_network("test_resnet", str(path))):
        with pytest.raises(InputError, match="compressed inside"):
            read(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(1).expand(10**9, 256),
        torch.zeros(10**9, 256, device="meta"),
        torch.zeros(2, 2, dtype=torch.complex64),
        "a word",
    ],
    ids=["one number, a billion times", "no memory", "complex", "text"],
)
def test_what_is_no_weight_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(InputError, match="of the checkpoint is no tensor of real numbers"):
        zoo.load_official("seqnet", {"roi_heads.reid_loss.lut": value})
    torch.save({"fc.weight": value}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"not the weights of this backbone \(fc.weight is no tensor of real numbers"):
        feature_network("test_resnet", str(tmp_path / "a.pth"))


def test_a_checkpoint_takes_no_memory_for_what_it_does_not_hold() -> None:
    """A table of long rows asks for layers that are as wide."""
    table = {"roi_heads.reid_loss.lut": torch.zeros(1, 10**7), "roi_heads.reid_loss.cq": torch.zeros(1, 10**7)}
    with (
        patch("psbench.zoo.official.create", side_effect=AssertionError),
        pytest.raises(InputError, match="no weights"),
    ):
        zoo.load_official("seqnet", table)


Change = Callable[[pa.Table], pa.Table]
_CHANGES: dict[str, Change] = {
    "a column gone": lambda table: table.drop_columns([table.column_names[-1]]),
    "a column twice": lambda table: table.append_column(table.column_names[0], table.column(0)),
    "another type": lambda table: table.set_column(
        len(table.column_names) - 1, table.column_names[-1], pa.nulls(len(table), pa.string())
    ),
    "nothing beside": lambda table: table.replace_schema_metadata(None),
}


@pytest.mark.parametrize("change", _CHANGES)
@pytest.mark.parametrize("target", of_psbench_begun.TARGETS, ids=lambda target: target.name)
def test_a_piece_that_is_none_is_made_again(tmp_path: Path, target: Target, change: str) -> None:
    target.make(tmp_path)
    for path in tmp_path.glob("begun/**/*-00000.parquet"):
        pq.write_table(_CHANGES[change](pq.read_table(path)), path)
    target.read(tmp_path)


def test_results_that_cannot_be_read_are_measured_again() -> None:
    with pytest.raises(ValueError, match="recursion limit"):
        from_json('{"map":' * 10_000)


def test_a_file_takes_no_room_for_what_it_says_comes_next(tmp_path: Path) -> None:
    """Where a word of four gigabytes is announced, no more is asked for than there is."""
    torch.save({"word": 1}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "a.pth").read_bytes().replace(b"X\x04\0\0\0word", b"X\xf0\xff\xff\xffword")
    (tmp_path / "a.pth").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(InputError, match="not a checkpoint"):
        read_released(tmp_path / "a.pth")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("file", "change", "match"),
    [
        ("random", lambda value: value.to(torch.int8), "written on other hardware or by another torch"),
        ("random", lambda value: torch.full_like(value, 255), "random.safetensors: damaged"),
        ("optimizer", lambda value: value[:1], "is not as in this model"),
        ("average", lambda value: value.to(torch.complex64), "is not as in this model"),
    ],
    ids=["other numbers", "no state", "another shape", "complex"],
)
def test_a_checkpoint_of_other_numbers_is_refused(
    tmp_path: Path, file: str, change: Callable[[torch.Tensor], torch.Tensor], match: str
) -> None:
    target = _TARGETS["checkpoint of a training"]
    target.make(tmp_path)
    [path] = tmp_path.rglob(f"{file}.safetensors")
    stored = load_file(path)
    name = next(name for name, value in stored.items() if value.ndim)
    save_file(stored | {name: change(stored[name]).contiguous()}, path)
    with pytest.raises(InputError, match=match):
        target.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"log_bytes": {"metrics.jsonl": -1}}, r"position\.json: .*log_bytes"),
        ({"log_bytes": {"metrics.jsonl": 2**63}}, r"position\.json: .*log_bytes"),
        ({"step": -1}, r"position\.json: step"),
        ({"seconds": float("inf")}, r"position\.json: seconds"),
    ],
)
def test_a_checkpoint_of_no_position_is_refused(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    target = _TARGETS["checkpoint of a training"]
    target.make(tmp_path)
    [path] = tmp_path.rglob("position.json")
    whole = json.loads(path.read_text())
    path.write_text(json.dumps(whole | changes))
    with pytest.raises(InputError, match=match):
        target.read(tmp_path)
    # Of a log that was cut, too, no more is read than is there.
    path.write_text(json.dumps(whole | {"log_bytes": {"metrics.jsonl": 2**62}}))
    assert target.read(tmp_path) is not None
