"""Started as several processes by test_prediction_processes: the command `psbench`, with small pieces.

With DIES_AFTER=n, the second process is killed at its n-th image.
"""

import itertools
import os
import signal
from typing import Any

import torch

from psbench.cli import app
from psbench.inference import work
from psbench.zoo.seqnet import SeqNet


def _dying_after(images: int) -> None:
    detect, count = SeqNet.detect, itertools.count(1)

    def detect_or_die(self: SeqNet, *arguments: Any, **options: Any) -> Any:
        if next(count) > images:
            os.kill(os.getpid(), signal.SIGKILL)
        return detect(self, *arguments, **options)

    SeqNet.detect = detect_or_die  # type: ignore[method-assign]


if __name__ == "__main__":
    torch.set_num_threads(1)
    work.PIECE_ROWS = 5
    if os.environ["RANK"] == "1" and "DIES_AFTER" in os.environ:
        _dying_after(int(os.environ["DIES_AFTER"]))
    app()
