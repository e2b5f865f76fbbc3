"""mAP and top-1 over the gallery's size, on CUHK-SYSU and MovieNet-CS: GLCNet's figure beside measured curves."""

from systems import ranked, system
from table13 import ROWS as MOVIENET_CS_ROWS
from table13 import TABLE

from psbench.pairwise import PROPOSALS
from psbench.reporting.table import Axis, Source, Table, accuracy
from psbench.reproduction import Cell, Script, run_scripts

AXIS = Axis(heading="scenes in each query's gallery")
CUHK_SYSU = Table(
    name="gallery_curves",
    title="CUHK-SYSU over the gallery's size",
    sources=(
        Source(
            words="figure of the GLCNet README, first version, read off the picture (to about 0.05 mAP)",
            data="glcnet_figure_gallery_curves",
            key=("method",),
        ),
    ),
    labels=(("method", "Method"),),
    columns=tuple(
        accuracy(Cell("cuhk_sysu", f"gallery-{size}"), f"gallery {size}") for size in (50, 100, 500, 1000, 2000, 4000)
    ),
    axis=AXIS,
    remarks=("IGPN keeps 10, 10, 25, 25, 25 and 50 proposals a query.",),
)
CUHK_SYSU_ROWS = (
    system("OIM", row=11),
    system("NAE"),
    system("NAE+", row=7),
    system("SeqNet"),
    system("SeqNet+CBGM", row=3),
    system("GLCNet", row=2),
    system("GLCNet+CBGM", row=1),
    system("PCNet"),
    system("PCNet†"),
    ranked("ResNet50", {f"gallery-{size}": keep for size, keep in PROPOSALS["small"].items()}),
)
MOVIENET_CS = Table(
    name="gallery_curves_movienet_cs",
    title="MovieNet-CS over the gallery's size",
    sources=TABLE.sources[:1],
    labels=TABLE.labels[:1],
    columns=TABLE.columns,
    words=TABLE.words,
    axis=AXIS,
)
PARTS = ((CUHK_SYSU, CUHK_SYSU_ROWS), (MOVIENET_CS, MOVIENET_CS_ROWS))

if __name__ == "__main__":
    run_scripts(__doc__, [Script(rows=rows, cells=table.cells, write=table.write) for table, rows in PARTS])
