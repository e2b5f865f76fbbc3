"""Table 3 of the IGPN paper, and what its figure 6 adds: comparison on CUHK-SYSU."""

from systems import ranked, system

from psbench.reporting.table import Source, Table, accuracy
from psbench.reproduction import Cell, run_script

TABLE = Table(
    name="table9",
    title="IGPN, table 3: comparison on CUHK-SYSU (gallery 100)",
    sources=(
        Source(words="IGPN paper, table 3", data="igpn_table3_cuhk", heading="table 3"),
        Source(
            words="IGPN paper, section 4.5", data="igpn_text_detector", heading="figure 6 and section 4.5", first=13
        ),
    ),
    labels=(("method", "Method"),),
    columns=(accuracy(Cell("cuhk_sysu", "gallery-100")),),
    remarks=("In parentheses: how many proposals a query are kept over its whole gallery, and ranked by re-ID.",),
)
ROWS = (
    system("OIM", row=1),
    ranked("ResNet50", 100, row=9),
    ranked("ResNet50", 10, row=10),
    ranked("PCB", 100, row=11),
    ranked("PCB", 20, row=12),
    system(
        "OIM",
        row=13,
        method="detector of OIM + ResNet50",
        reid="reid_resnet50-{dataset}",
        reid_demo="reid_resnet50-demo",
    ),
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
