"""Table 4 of the IGPN paper: comparison on PRW."""

from systems import ranked, system

from psbench.reporting.table import Source, Table, accuracy
from psbench.reproduction import Cell, run_script

TABLE = Table(
    name="table10",
    title="IGPN, table 4: comparison on PRW",
    sources=(Source(words="IGPN paper, table 4", data="igpn_table4_prw"),),
    labels=(("method", "Method"),),
    columns=(accuracy(Cell("prw", "regular")),),
    remarks=("In parentheses: how many proposals a query are kept over its whole gallery, and ranked by re-ID.",),
)
ROWS = (
    system("OIM", row=1),
    ranked("ResNet50", 6000, row=8),
    ranked("ResNet50", 1200, row=9),
    ranked("PCB", 6000, row=10),
    ranked("PCB", 1200, row=11),
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
