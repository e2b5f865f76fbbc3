"""`python -m tests.benchmarks.gpu [judging] [goldens] [inference] [efficiency] [training] [profile] [run]`, or all.

A table comes last; PART.json and what a training leaves go to $OUT, or ./gpu. Each part is imported when it is run, and
fits into ten minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from tests.benchmarks.gpu.results import Result, surroundings

PARTS = ("judging", "goldens", "inference", "efficiency", "training", "profile", "run")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run parts on the GPU; 1 where something is not as it must be, or where there is no GPU."""
    chosen = _parsed(arguments)
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was checked, nothing was timed", file=sys.stderr)
        return 1
    folder, results = Path(os.environ.get("OUT", "gpu")), {}
    for part in chosen.parts or PARTS:
        result = attempt(lambda part=part: _work(part, chosen))
        result.write(part, "cuda", folder)
        results[part] = result
    about = surroundings("cuda")
    print(f"\n{about['device']}, {about['date']}, torch {about['versions']['torch']}; more in {folder}/*.json")
    for part, result in results.items():
        for line in [*result.lines, *(f"{part}: WRONG: {fault}" for fault in result.faults)]:
            print(line)
    return 1 if any(result.faults for result in results.values()) else 0


def attempt(work: Callable[[], Result]) -> Result:
    """A part's result; what stops it is a fault of it, and the next part has its turn."""
    try:
        return work()
    except Exception as error:
        return Result("stopped", faults=[f"{type(error).__name__}: {error}"])


def _work(part: str, chosen: argparse.Namespace) -> Result:
    if part == "judging":
        from tests.benchmarks.gpu.judging import judging

        return judging("cuda")
    if part == "goldens":
        from tests.benchmarks.gpu.goldens import goldens

        return goldens("cuda")
    some = {"models": chosen.models} if chosen.models else {}
    if part == "inference":
        from tests.benchmarks.gpu.inference import inference

        return inference("cuda", budget=chosen.budget, **some)
    if part == "profile":
        from tests.benchmarks.gpu.profile import profile

        return profile("cuda", budget=chosen.budget, **some)
    if part == "efficiency":
        from tests.benchmarks.gpu.efficiency import efficiency

        return efficiency("cuda", budget=chosen.budget, **some)
    if part == "training":
        from tests.benchmarks.gpu.training import training

        return training("cuda", budget=chosen.budget, **some)
    from tests.benchmarks.gpu.run import run

    return run("cuda", budget=chosen.budget)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), help="which; all by default")
    parser.add_argument("--models", nargs="+", help="of `inference`, `efficiency`, `training` and `profile`")
    parser.add_argument(
        "--budget", type=float, default=540, help="seconds of each part but `judging` and `goldens` (540)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
