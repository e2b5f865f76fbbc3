"""Tables of one method's variants: published rows as printed, each measured with the switches that it names."""

import csv
import sys
from pathlib import Path
from typing import Any

import pytest

from psbench.reporting.ablation import AblationTable
from psbench.reporting.measured import Measured
from psbench.reporting.published import published
from psbench.reproduction import MeasuredRow
from psbench.training.recipes import recipe_for
from psbench.zoo.pcnet_options import PCNetOptions

sys.path.insert(0, str(Path(__file__).parent.parent / "reproduce"))

import table1
import table2
import table3

MODULES = (table1, table2, table3)
SCRIPTS = pytest.mark.parametrize(
    ("table", "rows"), [(module.TABLE, module.ROWS) for module in MODULES], ids=[m.TABLE.name for m in MODULES]
)


def _options(row: MeasuredRow, *, demo: bool) -> PCNetOptions:
    recipe = recipe_for(row.demo_recipe if demo else row.recipe).override(row.changes)
    return PCNetOptions(**recipe.model_options)


def _printed(table: AblationTable, measured: list[Measured]) -> list[list[str]]:
    lines = [line[2:-1].split("| ") for line in table.to_markdown(measured).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def _measured(method: str) -> Measured:
    return Measured(
        method=method,
        dataset="CUHK-SYSU",
        protocol="gallery-100",
        gallery_size=100,
        map=41.26,
        top1=52.3,
        data="synthetic people, 4 train and 5 test scenes",
        synthetic=True,
        fingerprint="f" * 64,
        recipe="pcnet-demo-changed",
        recipe_digest="d" * 64,
    )


@SCRIPTS
def test_published_rows_are_printed_as_they_are(table: AblationTable, rows: tuple[MeasuredRow, ...]) -> None:
    theirs = published(table.data)
    printed = _printed(table, [])
    assert len(theirs) == len(rows) == len(printed)
    for cells, (_, row) in zip(printed, theirs.iterrows(), strict=True):
        at = 1 + len(table.switches)
        expected = [f"**{row[m]:.1f}**" if row[f"{m}_bold"] else f"{row[m]:.1f}" for m in ("map", "top1")]
        assert cells[at : at + 2] == expected
        # No code word of the file reaches the reader.
        assert not [cell for cell in cells if "_" in cell]


@SCRIPTS
def test_measured_rows_stand_beside_theirs_alone(
    table: AblationTable, rows: tuple[MeasuredRow, ...], tmp_path: Path
) -> None:
    measured = [_measured(rows[1].method)]
    columns = [cells[-2] for cells in _printed(table, measured)]
    assert columns[1] == "41.3 (synthetic data) [1]"
    assert not any(columns[:1] + columns[2:])
    [_, written] = table.write(measured, tmp_path)
    with written.open() as stream:
        ours = [r for r in csv.DictReader(stream) if r["kind"] != "published"]
    assert [(r["row"], r["kind"], r["map"]) for r in ours] == [("2", "synthetic", "41.26")]


@pytest.mark.parametrize("demo", [False, True], ids=["papers", "demo"])
def test_table_1_switches_what_its_columns_say(demo: bool) -> None:
    for (_, row), measured in zip(published("pcnet_table1_components").iterrows(), table1.ROWS, strict=True):
        o = _options(measured, demo=demo)
        assert o.contextual_points == (row["reid_op"] == "cpp")
        # Without points there is nothing to spread, whatever the option says.
        assert (o.distance_loss != "none" and o.has_contextual_points) == bool(row["l_dist"])
        assert (o.cross_scale != "none") == bool(row["csa"])
        assert (o.triplet != "none") == bool(row["l_tri"])


@pytest.mark.parametrize("demo", [False, True], ids=["papers", "demo"])
def test_table_2_orders_the_tasks(demo: bool) -> None:
    orders: dict[Any, str] = {
        "det_from_Freid": "reid_first",
        "reid_from_Freg": "reid_from_regression",
        "reid_from_Fcls": "reid_from_classification",
    }
    for (_, row), measured in zip(published("pcnet_table2_head_order").iterrows(), table2.ROWS, strict=True):
        o = _options(measured, demo=demo)
        assert o.order == orders[row["second_task"]]
        assert o.has_contextual_points


@pytest.mark.parametrize("demo", [False, True], ids=["papers", "demo"])
def test_table_3_compares_one_stage_forms(demo: bool) -> None:
    orders = {"parallel_reid_branch": "parallel", "roialign": "roi_align", "pcnet_serial_head": "reid_first"}
    for (_, row), measured in zip(published("pcnet_table3_one_stage_forms").iterrows(), table3.ROWS, strict=True):
        o = _options(measured, demo=demo)
        assert o.order == orders[row["design"]]
        assert (o.has_contextual_points and o.distance_loss != "none") == bool(row["cpp_and_ldist"])
        # Free of boxes: neither cropped features nor points chosen by a box.
        assert (o.has_points and o.cross_scale == "none") == bool(row["box_free"])


def test_variants_that_two_tables_share_are_one_training() -> None:
    digests = [{recipe_for(row.demo_recipe).override(row.changes).digest for row in module.ROWS} for module in MODULES]
    assert len(digests[0] & digests[1]) == 1
    assert len(digests[0] & digests[2]) == 1
