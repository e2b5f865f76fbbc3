"""Table 6 of the PCNet paper: comparison on LSPS, faces blurred."""

from systems import system

from psbench.reporting.table import Source, Table, accuracy
from psbench.reproduction import Cell, run_script

TABLE = Table(
    name="table6",
    title="PCNet, table 6: comparison on LSPS",
    sources=(Source(words="PCNet paper, table 6", data="pcnet_table6_lsps"),),
    labels=(("method", "Method"), ("venue", "Venue"), ("r50_count", "ResNet-50s"), ("detector", "Detector")),
    columns=(accuracy(Cell("lsps", "regular")),),
    words={"PCNet+ma": "PCNet†"},
    remarks=("† four anchors at each location. All are the authors' own runs on the release with blurred faces.",),
)
ROWS = (system("OIM", row=1), system("PCNet", row=3), system("PCNet†", row=4))

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
