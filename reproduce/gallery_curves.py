"""mAP over the gallery's size on CUHK-SYSU: the curves of GLCNet's figure beside measured ones."""

from table5 import ROWS

from psbench.reporting.curves import write_gallery_curves
from psbench.reproduction import run_script

if __name__ == "__main__":
    run_script(__doc__, ROWS, None, write_gallery_curves)
