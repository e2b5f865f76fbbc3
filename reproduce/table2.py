"""Table 2 of the PCNet paper: what is found first, who a person is or where, on PRW."""

from psbench.reporting.table import Source, Table, accuracy
from psbench.reproduction import Cell, MeasuredRow, run_script

NAMES = ("re-ID first", "re-ID from regression", "re-ID from classification")
TABLE = Table(
    name="table2",
    title="PCNet, table 2: order of the tasks",
    sources=(Source(words="PCNet paper, table 2", data="pcnet_table2_head_order"),),
    labels=(("first_task", "First"), ("second_task", "Then")),
    columns=(accuracy(Cell("prw", "regular")),),
    names=NAMES,
    words={
        "reid": "re-ID",
        "det_from_Freid": "detection from re-ID's maps",
        "reid_from_Freg": "re-ID from regression's maps",
        "reid_from_Fcls": "re-ID from classification's maps",
    },
)
ORDERS = ("reid_first", "reid_from_regression", "reid_from_classification")
ROWS = tuple(
    MeasuredRow(
        row=row,
        method=name,
        recipe="pcnet_ablation-prw",
        demo_recipe="pcnet-short",
        changes={"model_options.order": order} if order != "reid_first" else {},
    )
    for row, (name, order) in enumerate(zip(NAMES, ORDERS, strict=True), start=1)
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
