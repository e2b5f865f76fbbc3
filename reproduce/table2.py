"""Table 2 of the PCNet paper: what is found first, who a person is or where, on PRW."""

from psbench.reporting.ablation import AblationTable
from psbench.reproduction import MeasuredRow, run_script

TABLE = AblationTable(
    name="table2",
    title="PCNet: order of the tasks",
    source="PCNet paper, table 2",
    data="pcnet_table2_head_order",
    switches=(("first_task", "first"), ("second_task", "then")),
    words={
        "reid": "re-ID",
        "det_from_Freid": "detection from F^reid",
        "reid_from_Freg": "re-ID from F^reg",
        "reid_from_Fcls": "re-ID from F^cls",
    },
)
ORDERS = ("reid_first", "reid_from_regression", "reid_from_classification")
ROWS = tuple(
    MeasuredRow(
        method=TABLE.variant(row),
        recipe="pcnet_ablation-prw",
        demo_recipe="pcnet-demo",
        changes={"model_options.order": order} if order != "reid_first" else {},
    )
    for row, order in enumerate(ORDERS, start=1)
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, ("regular",), TABLE.write, demo_protocols=("gallery-100",))
