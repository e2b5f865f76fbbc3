"""Figure 4 of the IGPN paper: accuracy over the number of proposals kept a query, on CUHK-SYSU, gallery 100."""

from systems import ranked

from psbench.reporting.table import Axis, Source, Table, accuracy
from psbench.reproduction import Cell, run_script

PRINTED = {10: 1, 100: 2}
"""Proposals, and the line that they stand beside."""
TABLE = Table(
    name="proposal_curve",
    title="IGPN, figure 4: proposals kept a query, CUHK-SYSU (gallery 100)",
    sources=(
        Source(
            words="IGPN paper, figure 4 (the points that table 3 tells; the others are in the picture alone)",
            data="igpn_figures4_5_6",
            where={"figure": "fig4", "status": "known"},
            key=("series", "proposals_total"),
        ),
    ),
    labels=(("series", "Method"), ("proposals_total", "Proposals")),
    columns=(accuracy(Cell("cuhk_sysu", "gallery-100")),),
    axis=Axis(heading="proposals kept a query, over the whole gallery", label="proposals_total"),
    from_measured={"series": "method", "proposals_total": "keep"},
)
ROWS = tuple(ranked("ResNet50", keep, row=PRINTED.get(keep)) for keep in (1, 2, 5, 10, 20, 50, 100, 200, 500))

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
