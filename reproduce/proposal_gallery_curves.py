"""Figure 5 of the IGPN paper: many proposals (L), few (S), and annotated boxes (GT) over the gallery's size."""

from gallery_curves import AXIS, CUHK_SYSU
from systems import ranked, system

from psbench.pairwise import PROPOSALS
from psbench.reporting.table import Source, Table
from psbench.reproduction import run_script

TABLE = Table(
    name="proposal_gallery_curves",
    title="IGPN, figure 5: proposals over the gallery's size, CUHK-SYSU",
    sources=(
        Source(
            words="IGPN paper, figure 5 (the points that table 3 tells; the others are in the picture alone)",
            data="igpn_figures4_5_6",
            where={"figure": "fig5"},
            key=("series",),
        ),
    ),
    labels=(("series", "Method"),),
    columns=CUHK_SYSU.columns,
    axis=AXIS,
    remarks=(
        "Proposals kept a query: (L) as many as there are scenes, (S) 10, 10, 25, 25, 25 and 50; GT: all annotated "
        "boxes. The paper's figure has (S) above GT at every size.",
    ),
)
KEPT = {setting: {f"gallery-{size}": keep for size, keep in kept.items()} for setting, kept in PROPOSALS.items()}
ROWS = (
    ranked("ResNet50", KEPT["large"], row=1, method="IGPN + ResNet50 (L)"),
    ranked("ResNet50", KEPT["small"], row=2, method="IGPN + ResNet50 (S)"),
    system("ResNet50", row=3, method="GT + ResNet50", ground_truth_boxes=True),
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
