"""The scripts of reproduce/, as modules: their tables, with what each measures."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "reproduce"))

import all as everything

from psbench.reporting.table import Table
from psbench.reproduction.rows import Script

TABLES: dict[str, Table] = {table.name: table for table, _ in everything.PARTS}
SCRIPTS: dict[str, Script] = {
    table.name: script for (table, _), script in zip(everything.PARTS, everything.SCRIPTS, strict=True)
}
