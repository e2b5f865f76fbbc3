"""Table 1 of the IGPN paper: improved against vanilla cross-correlation layers, on CUHK-SYSU."""

from systems import system

from psbench.reporting.table import YES_NO, Columns, Metric, Source, Table, accuracy
from psbench.reproduction import Cell, run_script

TABLE = Table(
    name="table7",
    title="IGPN, table 1: cross-correlation layers",
    sources=(Source(words="IGPN paper, table 1 and section 4.4", data="igpn_table1_iccl_vccl"),),
    labels=(("method", "Method"), ("b_term", "Shared part B")),
    columns=(
        Columns(
            heading="RPN",
            metrics=(Metric(field="rpn_params_m", heading="parameters (M)", best="lowest"),),
        ),
        accuracy(Cell("cuhk_sysu", "gallery-100")),
    ),
    words=YES_NO | {"n/a": ""},
)
ROWS = (
    system("IGPN", row=1, method="VCCL", changes={"model_options.correlation": "vccl"}),
    system("IGPN", row=2, method="ICCL"),
    system("IGPN", row=3, method="ICCL without B", changes={"model_options.shared_kernel": False}),
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
