"""Table 2 of the IGPN paper: what relations are worth, on CUHK-SYSU."""

from systems import system

from psbench.reporting.table import YES_NO, Source, Table, accuracy
from psbench.reproduction import Cell, run_script

TABLE = Table(
    name="table8",
    title="IGPN, table 2: relations",
    sources=(Source(words="IGPN paper, table 2", data="igpn_table2_relations"),),
    labels=(("method", "Method"), ("local_relation", "Local"), ("global_relation", "Global")),
    columns=(accuracy(Cell("cuhk_sysu", "gallery-100")),),
    words=YES_NO,
)
NO_LOCAL, NO_GLOBAL = {"model_options.local_relations": False}, {"model_options.global_branch": False}
ROWS = (
    system("IGPN", row=1, method="full"),
    system("IGPN", row=2, method="w/o L", changes=NO_LOCAL),
    system("IGPN", row=3, method="w/o G", changes=NO_GLOBAL),
    system("IGPN", row=4, method="w/o L&G", changes=NO_LOCAL | NO_GLOBAL),
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
