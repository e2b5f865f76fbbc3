"""mAP and top-1 over the gallery's size, on CUHK-SYSU and MovieNet-CS: GLCNet's figure beside measured curves."""

from systems import ranked, system
from table13 import ROWS as MOVIENET_CS_ROWS
from table13 import TABLE

from psbench.pairwise import PROPOSALS
from psbench.reporting.table import Table
from psbench.reproduction import Script, run_scripts
from psbench.reproduction.demo_tables import GALLERY_CURVES as CUHK_SYSU
from psbench.reproduction.demo_tables import SIZES_AXIS as AXIS

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
