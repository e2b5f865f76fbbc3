"""Table 5 of the PCNet paper: comparison on CUHK-SYSU and PRW, published rows beside measured ones."""

from psbench.reporting.table import ComparisonTable
from psbench.reproduction import MeasuredRow, run_script

TABLE = ComparisonTable(
    name="table5",
    title="Comparison on CUHK-SYSU (gallery 100) and PRW",
    source="PCNet paper, table 5",
    data="pcnet_table5_cuhk_prw",
    labels=(("method", "Method"), ("venue", "Venue"), ("r50_count", "R50"), ("detector", "Detector")),
    datasets=("CUHK-SYSU", "PRW"),
)
ROWS = (
    MeasuredRow(method="OIM", recipe="oim-cuhk_sysu", demo_recipe="oim-demo"),
    MeasuredRow(method="NAE", recipe="nae-cuhk_sysu", demo_recipe="nae-demo"),
    MeasuredRow(method="NAE+", recipe="nae_plus-cuhk_sysu", demo_recipe="nae_plus-demo"),
    MeasuredRow(method="SeqNet", recipe="seqnet-cuhk_sysu", demo_recipe="seqnet-demo"),
    MeasuredRow(method="GLCNet", recipe="glcnet-cuhk_sysu", demo_recipe="glcnet-demo"),
)
PROTOCOLS = ("gallery-100",)

if __name__ == "__main__":
    run_script(__doc__, ROWS, PROTOCOLS, TABLE.write)
