"""Started as several processes by test_search_processes: the command `psbench`, with small pieces.

With DIES_AFTER=n, the second process is killed when it has searched n scenes.
"""

import itertools
import os
import signal
from typing import Any

import torch

from psbench.cli import app
from psbench.inference import pairing, rescoring
from psbench.zoo.igpn import IGPN


def _dying_after(scenes: int) -> None:
    encode, count = IGPN.encode_scenes, itertools.count(1)

    def encode_or_die(self: IGPN, *arguments: Any) -> Any:
        if next(count) > scenes:
            os.kill(os.getpid(), signal.SIGKILL)
        return encode(self, *arguments)

    IGPN.encode_scenes = encode_or_die  # type: ignore[method-assign]


if __name__ == "__main__":
    torch.set_num_threads(1)
    pairing.PIECE_PAIRS, rescoring.PIECE_CROPS = 40, 30
    if os.environ["RANK"] == "1" and "DIES_AFTER" in os.environ:
        _dying_after(int(os.environ["DIES_AFTER"]))
    app()
