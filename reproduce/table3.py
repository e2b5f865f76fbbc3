"""Table 3 of the PCNet paper: ways of adding re-ID to a one-stage detector, on PRW."""

from psbench.reporting.ablation import AblationTable
from psbench.reproduction import MeasuredRow, run_script

TABLE = AblationTable(
    name="table3",
    title="One-stage forms",
    source="PCNet paper, table 3",
    data="pcnet_table3_one_stage_forms",
    switches=(
        ("design", "re-ID"),
        ("cpp_and_ldist", "contextual points, distance loss"),
        ("box_free", "free of boxes"),
    ),
    words={
        "parallel_reid_branch": "a branch beside detection",
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
    MeasuredRow(method=TABLE.variant(row), recipe="pcnet_ablation-prw", demo_recipe="pcnet-demo", changes=changes)
    for row, changes in enumerate(CHANGES, start=1)
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, ("regular",), TABLE.write, demo_protocols=("gallery-100",))
