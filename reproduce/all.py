"""Every table and curve, what they share made once, and one report of them all."""

import gallery_curves
import proposal_curve
import proposal_gallery_curves
import table1
import table2
import table3
import table4
import table5
import table6
import table7
import table8
import table9
import table10
import table11
import table12
import table13
import upper_bound

from psbench.reporting.files import write_report
from psbench.reproduction import Script, run_scripts

TABLES = (table1, table2, table3, table4, table5, table6, table7, table8, table9, table10, table11, table12, table13)
CURVES = (proposal_curve, proposal_gallery_curves, upper_bound)
COSTS = {module.TABLE.name: module.COSTS for module in (table4, table11)}
PARTS = (*((m.TABLE, m.ROWS) for m in TABLES), *gallery_curves.PARTS, *((m.TABLE, m.ROWS) for m in CURVES))
SCRIPTS = [
    Script(rows=rows, cells=table.cells, write=table.write, costs=COSTS.get(table.name, ())) for table, rows in PARTS
]

if __name__ == "__main__":
    run_scripts(
        __doc__, SCRIPTS, lambda measured, folder: write_report([table for table, _ in PARTS], measured, folder)
    )
