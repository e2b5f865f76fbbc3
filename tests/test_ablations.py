"""The ablations of PCNet: each row is measured with the switches that its columns name."""

from typing import Any

import pytest

from psbench.reporting.published import published
from psbench.reproduction.rows import MeasuredRow
from psbench.training.recipes import recipe_for
from psbench.zoo.pcnet_options import PCNetOptions
from tests.scripts import SCRIPTS

DEMO = pytest.mark.parametrize("demo", [False, True], ids=["papers", "demo"])


def _options(row: MeasuredRow, *, demo: bool) -> PCNetOptions:
    recipe = recipe_for(row.demo_recipe if demo else row.recipe).override(row.changes)
    return PCNetOptions(**recipe.model_options)


@DEMO
def test_table_1_switches_what_its_columns_say(demo: bool) -> None:
    for row, measured in zip(published("pcnet_table1_components"), SCRIPTS["table1"].rows, strict=True):
        o = _options(measured, demo=demo)
        assert o.contextual_points == (row["reid_op"] == "cpp")
        # Without points there is nothing to spread, whatever the option says.
        assert (o.distance_loss != "none" and o.has_contextual_points) == (row["l_dist"] == "1")
        assert (o.cross_scale != "none") == (row["csa"] == "1")
        assert (o.triplet != "none") == (row["l_tri"] == "1")


@DEMO
def test_table_2_orders_the_tasks(demo: bool) -> None:
    orders: dict[Any, str] = {
        "det_from_Freid": "reid_first",
        "reid_from_Freg": "reid_from_regression",
        "reid_from_Fcls": "reid_from_classification",
    }
    for row, measured in zip(published("pcnet_table2_head_order"), SCRIPTS["table2"].rows, strict=True):
        o = _options(measured, demo=demo)
        assert o.order == orders[row["second_task"]]
        assert o.has_contextual_points


@DEMO
def test_table_3_compares_one_stage_forms(demo: bool) -> None:
    orders = {"parallel_reid_branch": "parallel", "roialign": "roi_align", "pcnet_serial_head": "reid_first"}
    for row, measured in zip(published("pcnet_table3_one_stage_forms"), SCRIPTS["table3"].rows, strict=True):
        o = _options(measured, demo=demo)
        assert o.order == orders[row["design"]]
        assert (o.has_contextual_points and o.distance_loss != "none") == (row["cpp_and_ldist"] == "1")
        # Free of boxes: neither cropped features nor points chosen by a box.
        assert (o.has_points and o.cross_scale == "none") == (row["box_free"] == "1")


def test_variants_that_two_tables_share_are_one_training() -> None:
    digests = [
        {recipe_for(row.demo_recipe).override(row.changes).digest for row in SCRIPTS[name].rows}
        for name in ("table1", "table2", "table3")
    ]
    assert len(digests[0] & digests[1]) == 1
    assert len(digests[0] & digests[2]) == 1
