"""`python -m tests.reliability.repeat.chain FOLDER`: users' commands from drawn people to a rendered leaderboard."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from psbench.cli import app as psbench
from psbench_data.cli import app as psbench_data
from tests.leaderboard.making import card_file
from tests.tiny_script import TINY

SIZES = {
    "--train-scenes": 12,
    "--test-scenes": 54,
    "--train-identities": 6,
    "--test-identities": 8,
    "--height": 96,
    "--width": 128,
}


def chain(folder: Path) -> None:
    """Each command as a user gives it, one after the other; any that fails ends it."""
    data, run, predictions, board = (folder / name for name in ("data", "run", "predictions", "board"))
    sizes = [f"{option}={size}" for option, size in SIZES.items()]
    changes = [f"--set={key}={json.dumps(value)}" for key, value in TINY.items()]
    _do(psbench_data, "synthesize", "cuhk_sysu", data, "--seed=7", *sizes)
    _do(psbench, "train", "seqnet", f"--root={data}", f"--output={run}", "--recipe=seqnet-demo", *changes)
    _do(psbench, "predict", run, f"--root={data}", f"--output={predictions}")
    _do(psbench, "evaluate", predictions, f"--root={data}", "--json", folder / "evaluation.json")
    card = card_file(folder / "card.toml")
    _do(psbench, "submit", predictions, f"--root={data}", f"--card={card}", f"--board={board}")
    _do(psbench, "leaderboard", "render", f"--board={board}")


def _do(app: typer.Typer, *words: object) -> None:
    app([*map(str, words)], standalone_mode=False)


if __name__ == "__main__":
    chain(Path(sys.argv[1]))
