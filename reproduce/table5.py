"""Table 5 of the PCNet paper: comparison on CUHK-SYSU and PRW."""

from systems import ranked, system

from psbench.reproduction import run_script
from psbench.reproduction.demo_tables import COMPARISON as TABLE

ROWS = (
    ranked("ResNet50", {"gallery-100": 10, "regular": 1200}, row=7),
    ranked("PCB", {"gallery-100": 20, "regular": 1200}, row=8),
    system("OIM", row=9),
    system("NAE+", row=10),
    system("PCNet", row=13),
    system("PCNet†", row=14),
)

if __name__ == "__main__":
    run_script(__doc__, ROWS, TABLE.cells, TABLE.write)
