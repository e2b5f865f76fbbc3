"""`python -m psbench`: the command `psbench`, for launchers that start modules."""

from psbench.cli import app

if __name__ == "__main__":
    app(prog_name="psbench")
