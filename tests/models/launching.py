"""Programs in two processes, as users start them; without a GPU they meet through gloo."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ACCELERATE = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def launch(
    launcher: list[str], program: list[str], *arguments: object, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of this repository to its end; what hangs for so many seconds fails."""
    command = [sys.executable, "-m", *launcher, *program, *map(str, arguments)]
    everything = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(
        command, cwd=ROOT, env=everything, capture_output=True, text=True, check=False, timeout=timeout
    )
