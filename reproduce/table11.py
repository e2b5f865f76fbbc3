"""Table 5 of the IGPN paper: seconds for one query in 100 scenes of CUHK-SYSU."""

from psbench.reporting.table import Columns, Metric, Source, Table
from psbench.reproduction import CostRow, MeasuredRow, run_script

PARTS = {"scene": "features", "correlation": "correlation", "head": "head", "reid": "re-ID"}
TABLE = Table(
    name="table11",
    title="IGPN, table 5: run time of one query in 100 scenes",
    sources=(Source(words="IGPN paper, table 5 (one 1080Ti)", data="igpn_table5_runtime"),),
    labels=(("method", "Method"),),
    columns=(
        Columns(
            heading="One query",
            metrics=(Metric(field="seconds", heading="seconds", digits=2, best="lowest", of_device=True),),
        ),
        Columns(
            heading="Of these",
            metrics=tuple(
                Metric(field=f"{part}_seconds", heading=heading, digits=2, of_device=True)
                for part, heading in PARTS.items()
            ),
        ),
    ),
    words={"IGPN (ours)": "IGPN"},
    remarks=(
        "* re-implemented by IGPN's authors. Times of different devices do not compare: the footnotes name ours. "
        "A joint model's scenes serve every query, and so do the features of IGPN's; the rest is of one.",
    ),
)
ROWS: tuple[MeasuredRow, ...] = ()
COSTS = (
    CostRow(row=1, method="IGPN", recipe="igpn-cuhk_sysu", demo_recipe="igpn-demo", size=None),
    CostRow(row=2, method="OIM", recipe="oim-cuhk_sysu", demo_recipe="oim-demo", size=(600, 1000)),
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write, costs=COSTS)
