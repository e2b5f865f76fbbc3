"""`psbench train` as a launcher starts it in a test: nothing is drawn at random, and a process may come to grief."""

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import torch
import typer

from psbench import zoo
from psbench.cli_training import train
from psbench.training.trainer import Trainer

_randperm = torch.randperm


def first_ones(n: int, *, generator: torch.Generator | None = None, **options: Any) -> torch.Tensor:
    """Instead of `torch.randperm`: of anchors and RoIs the first are taken, in one process or in several."""
    return torch.arange(n, **options) if generator is None else _randperm(n, generator=generator, **options)


def keep_tables(trainer: Trainer, path: Path) -> None:
    """Write the identity tables of this process at the end of its training."""
    state = trainer.module.state_dict()
    torch.save({name: value.clone() for name, value in state.items() if name.startswith("oim.")}, path)


def _grief(rank: int, kind: str, at: int) -> None:
    """Let this process, if it is that one, be killed or get a loss that is no number at that step."""
    forward = zoo.model_class("seqnet").forward
    count = iter(range(10**6))

    def broken(self: Any, images: Any, targets: Any) -> Any:
        losses = forward(self, images, targets)
        if next(count) == at and int(os.environ["RANK"]) == rank:
            if kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            losses["loss_box_reid"] = losses["loss_box_reid"] * math.nan
        return losses

    zoo.model_class("seqnet").forward = broken  # type: ignore[method-assign]


if __name__ == "__main__":
    torch.randperm = first_ones
    if "GRIEF" in os.environ:
        _grief(**json.loads(os.environ["GRIEF"]))
    finish = Trainer._finish

    def finished(self: Trainer) -> Any:
        keep_tables(self, Path(os.environ["TABLES"]) / f"{os.environ['RANK']}.pt")
        return finish(self)

    Trainer._finish = finished  # type: ignore[method-assign]
    typer.run(train)
