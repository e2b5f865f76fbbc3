"""Table 1 of the PCNet paper: what its components are worth, on PRW."""

from psbench.reporting.table import YES_NO, Source, Table, accuracy
from psbench.reproduction import Cell, MeasuredRow, run_script

NAMES = (
    "CPP",
    "CPP, distance loss",
    "CPP, distance loss, aggregation",
    "CPP, distance loss, aggregation, triplet loss",
    "3x3 convolution",
    "3x3 convolution, aggregation, triplet loss",
)
TABLE = Table(
    name="table1",
    title="PCNet, table 1: components",
    sources=(Source(words="PCNet paper, table 1", data="pcnet_table1_components", block="reid_op"),),
    labels=(("reid_op", "Re-ID by"), ("l_dist", "Distance loss"), ("csa", "Aggregation"), ("l_tri", "Triplet loss")),
    columns=(accuracy(Cell("prw", "regular")),),
    names=NAMES,
    words=YES_NO | {"cpp": "contextual points (CPP)", "conv3x3": "3x3 convolution"},
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
    MeasuredRow(row=row, method=name, recipe="pcnet_ablation-prw", demo_recipe="pcnet-short", changes=changes)
    for row, (name, changes) in enumerate(zip(NAMES, CHANGES, strict=True), start=1)
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
