"""Table 5 of the PCNet paper: comparison on CUHK-SYSU and PRW."""

from systems import ranked, system

from psbench.reporting.table import Source, Table, accuracy
from psbench.reproduction import Cell, run_script

TABLE = Table(
    name="table5",
    title="PCNet, table 5: comparison on CUHK-SYSU (gallery 100) and PRW",
    sources=(Source(words="PCNet paper, table 5", data="pcnet_table5_cuhk_prw", block="block_label"),),
    labels=(("method", "Method"), ("venue", "Venue"), ("r50_count", "ResNet-50s"), ("detector", "Detector")),
    columns=(accuracy(Cell("cuhk_sysu", "gallery-100")), accuracy(Cell("prw", "regular"))),
    words={"PCNet+ma": "PCNet†", "IGPN^256": "IGPN, 256-d"},
    remarks=(
        "† four anchors at each location. FR: Faster R-CNN, FP: feature pyramid network, Ret: RetinaNet; 1*: one "
        "network with nearly the parameters of two.",
    ),
)
ROWS = (
    ranked("ResNet50", {"gallery-100": 10, "regular": 1200}, row=7),
    ranked("PCB", {"gallery-100": 20, "regular": 1200}, row=8),
    system("OIM", row=9),
    system("NAE+", row=10),
    system("PCNet", row=13),
    system("PCNet†", row=14),
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
