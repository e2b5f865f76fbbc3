"""GLCNet's comparison on CUHK-SYSU and PRW, in both versions that its README has had."""

from systems import system

from psbench.reporting.table import Source, Table, accuracy
from psbench.reproduction import Cell, run_script

TABLE = Table(
    name="table12",
    title="GLCNet: comparison on CUHK-SYSU (gallery 100) and PRW",
    sources=(
        Source(
            words="GLCNet README of December 2021",
            data="glcnet_readme_a_performance",
            heading="first version, that of the released weights",
        ),
        Source(
            words="GLCNet README since April 2022",
            data="glcnet_readme_b_performance",
            heading="current version",
            first=7,
        ),
    ),
    labels=(("method", "Method"),),
    columns=(accuracy(Cell("cuhk_sysu", "gallery-100")), accuracy(Cell("prw", "regular"))),
)
PRINTED = {
    "OIM": (1, 7),
    "NAE+": (2, 8),
    "SeqNet": (11,),
    "SeqNet+CBGM": (4, 12),
    "GLCNet": (5, 13),
    "GLCNet+CBGM": (6, 14),
}
"""The systems, and the lines that they stand beside, those of the second version counted on from the first."""
ROWS = tuple(system(name, row) for name, lines in PRINTED.items() for row in lines)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
