"""Table 3 of the PCNet paper: ways of adding re-ID to a one-stage detector, on PRW."""

from psbench.reporting.table import YES_NO, Source, Table, accuracy
from psbench.reproduction import Cell, MeasuredRow, run_script

NAMES = ("parallel branch", "parallel branch, CPP, distance loss", "RoIAlign", "PCNet's serial head")
TABLE = Table(
    name="table3",
    title="PCNet, table 3: one-stage forms",
    sources=(Source(words="PCNet paper, table 3", data="pcnet_table3_one_stage_forms"),),
    labels=(("design", "Re-ID"), ("cpp_and_ldist", "CPP, distance loss"), ("box_free", "Free of boxes")),
    columns=(accuracy(Cell("prw", "regular")),),
    names=NAMES,
    words=YES_NO
    | {
        "parallel_reid_branch": "in a branch beside detection",
        "roialign": "from maps cropped by RoIAlign",
        "pcnet_serial_head": "before detection (PCNet)",
    },
)
ALONE = {"model_options.cross_scale": "none", "model_options.triplet": "none"}
NO_POINTS = {"model_options.contextual_points": False, "model_options.distance_loss": "none"}
CHANGES = (
    {"model_options.order": "parallel"} | NO_POINTS | ALONE,
    {"model_options.order": "parallel"} | ALONE,
    {"model_options.order": "roi_align"} | NO_POINTS | ALONE,
    ALONE,
)
ROWS = tuple(
    MeasuredRow(row=row, method=name, recipe="pcnet_ablation-prw", demo_recipe="pcnet-short", changes=changes)
    for row, (name, changes) in enumerate(zip(NAMES, CHANGES, strict=True), start=1)
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
