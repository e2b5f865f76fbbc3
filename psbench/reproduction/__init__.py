"""What the scripts of reproduce/ stand on: rows and cells in, numbers out; what is made is made once and reused.

A script declares rows and cells (`rows`). These are planned as jobs (`planning`, `jobs`), each of which is done in a
process of its own (`pool`, `tasks`) in a folder that keeps everything (`workspace`); `script` is the command line.
"""

from psbench.reproduction.rows import Cell, CostRow, MeasuredRow, Script
from psbench.reproduction.script import run_script, run_scripts
from psbench.reproduction.workspace import Workspace

__all__ = ["Cell", "CostRow", "MeasuredRow", "Script", "Workspace", "run_script", "run_scripts"]
