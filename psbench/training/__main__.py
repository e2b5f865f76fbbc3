"""`python -m psbench.training` is `psbench train`, for launchers: `accelerate launch -m psbench.training ...`."""

import typer

from psbench.cli_training import train

if __name__ == "__main__":
    typer.run(train)
