"""The whole path on drawn people, in minutes on two CPU cores; an installed psbench has it as `psbench demo`."""

import typer

from psbench.cli_demo import demo

if __name__ == "__main__":
    typer.run(demo)
