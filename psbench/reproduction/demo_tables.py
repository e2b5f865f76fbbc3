"""The two tables of papers that the demo puts its numbers into; reproduce/ fills them with every method's."""

from __future__ import annotations

from psbench.reporting.table import Axis, Source, Table, accuracy
from psbench.reproduction.rows import Cell

SIZES_AXIS = Axis(heading="scenes in each query's gallery")
COMPARISON = Table(
    name="table5",
    title="PCNet, table 5: comparison on CUHK-SYSU (gallery 100) and PRW",
    sources=(Source(words="PCNet paper, table 5", data="pcnet_table5_cuhk_prw", block="block_label"),),
    labels=(("method", "Method"), ("venue", "Venue"), ("r50_count", "ResNet-50s"), ("detector", "Detector")),
    columns=(accuracy(Cell("cuhk_sysu", "gallery-100")), accuracy(Cell("prw", "regular"))),
    words={"PCNet+ma": "PCNet†", "IGPN^256": "IGPN, 256-d"},
    remarks=(
        "† four anchors at each location. FR: Faster R-CNN, FP: feature pyramid network, Ret: RetinaNet; 1*: one "
        "network with nearly the parameters of two.",
    ),
)
GALLERY_CURVES = Table(
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
    axis=SIZES_AXIS,
    remarks=("IGPN keeps 10, 10, 25, 25, 25 and 50 proposals a query.",),
)
