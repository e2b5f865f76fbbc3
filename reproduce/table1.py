"""Table 1 of the PCNet paper: what its components are worth, on PRW."""

from psbench.reporting.ablation import AblationTable
from psbench.reproduction import MeasuredRow, run_script

TABLE = AblationTable(
    name="table1",
    title="PCNet: components",
    source="PCNet paper, table 1",
    data="pcnet_table1_components",
    switches=(("reid_op", "re-ID by"), ("l_dist", "distance loss"), ("csa", "aggregation"), ("l_tri", "triplet loss")),
    words={"cpp": "contextual points", "conv3x3": "3x3 convolution"},
)
NO_POINTS = {"model_options.contextual_points": False}
NO_DISTANCE_LOSS = {"model_options.distance_loss": "none"}
NO_AGGREGATION = {"model_options.cross_scale": "none"}
NO_TRIPLET_LOSS = {"model_options.triplet": "none"}
CHANGES = (
    NO_DISTANCE_LOSS | NO_AGGREGATION | NO_TRIPLET_LOSS,
    NO_AGGREGATION | NO_TRIPLET_LOSS,
    NO_TRIPLET_LOSS,
    {},
    NO_POINTS | NO_DISTANCE_LOSS | NO_AGGREGATION | NO_TRIPLET_LOSS,
    NO_POINTS | NO_DISTANCE_LOSS,
)
ROWS = tuple(
    MeasuredRow(method=TABLE.variant(row), recipe="pcnet_ablation-prw", demo_recipe="pcnet-demo", changes=changes)
    for row, changes in enumerate(CHANGES, start=1)
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, ("regular",), TABLE.write, demo_protocols=("gallery-100",))
