"""Annotated boxes in place of detections: what is left to lose when everybody is found, on CUHK-SYSU and PRW."""

from dataclasses import replace

from systems import system

from psbench.reporting.table import Columns, Source, Table, accuracy
from psbench.reproduction import Cell, run_script


def boxes(cell: Cell, kind: str) -> Columns:
    """mAP and top-1 on "detected" or "annotated" boxes."""
    columns = accuracy(cell)
    return replace(
        columns,
        heading=f"{columns.heading}, {kind}",
        where={**columns.where, "boxes": kind},
        fits={**columns.fits, "ground_truth_boxes": kind == "annotated"},
    )


CELLS = (Cell("cuhk_sysu", "gallery-100"), Cell("prw", "regular"))
TABLE = Table(
    name="upper_bound",
    title="Upper bound: annotated boxes in place of detections",
    sources=(Source(words="PCNet paper, section 4.3", data="pcnet_upper_bound"),),
    labels=(("method", "Method"),),
    columns=tuple(boxes(cell, kind) for cell in CELLS for kind in ("detected", "annotated")),
    remarks=("Which form of PCNet the paper means is not said; PCNet is measured here.",),
)
SYSTEMS = ("OIM", "NAE", "NAE+", "SeqNet", "GLCNet", "PCNet†", "PCNet, fast")
ROWS = (
    system("PCNet", row=1),
    system("PCNet", row=1, ground_truth_boxes=True),
    *(system(name, ground_truth_boxes=annotated) for name in SYSTEMS for annotated in (False, True)),
    *(system(name, method=f"{name}, re-ID alone", ground_truth_boxes=True) for name in ("ResNet50", "PCB")),
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
