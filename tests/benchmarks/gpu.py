"""What a GPU changes, checked and timed: `make bench-gpu`. Prints a table; the rest goes to $OUT, or ./gpu.

Checks: evaluations on the device equal numpy's, on the golden trees and on drawn data of PRW's size.
Times: PRW's evaluation, on the device after the transfer, and on the CPU of the same machine.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import torch

import psbench
import psbench_data
from psbench import CBGM, Predictions
from psbench_data import Protocol
from psbench_data.synthetic.formats import official_spec, write
from tests.benchmarks.test_judging import made_up
from tests.judging.test_goldens import DATASETS, EVALUATION, _predictions

DEVICE = "cuda"


def seconds(work: Callable[[], object], rounds: int = 5) -> float:
    """The least of some rounds after one to warm up."""
    taken = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return min(taken[1:])


def largest_difference(predictions: Predictions, protocol: Protocol, **options: object) -> float:
    """Between the average precisions of the two."""
    here = psbench.evaluate(predictions, protocol, **options)  # type: ignore[arg-type]
    there = psbench.evaluate(predictions, protocol, device=DEVICE, **options)  # type: ignore[arg-type]
    return float(np.nanmax(np.abs(here.per_query["ap"] - there.per_query["ap"])))


def main() -> int:
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was checked, nothing was timed", file=sys.stderr)
        return 1
    figures: dict[str, object] = {
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "psbench": psbench.__version__,
    }
    for name in DATASETS:
        dataset = psbench_data.load(name, root=EVALUATION / name)
        protocol = dataset.protocol(dataset.protocols[0])
        for rules, cbgm in (({}, None), ({"cbgm": ""}, CBGM(10, 3))):
            key = f"{name} golden{', CBGM' if cbgm else ''}: largest difference of AP"
            figures[key] = largest_difference(_predictions(name, rules), protocol, cbgm=cbgm)
    with tempfile.TemporaryDirectory() as folder:
        write("prw", official_spec("prw"), Path(folder) / "prw", images=False)
        protocol = psbench_data.load("prw", root=Path(folder) / "prw").protocol("regular")
        predictions = made_up(protocol.scenes, protocol)
        figures["PRW size: largest difference of AP"] = largest_difference(predictions, protocol)
        figures["PRW size, seconds, CPU"] = seconds(lambda: psbench.evaluate(predictions, protocol))
        on_device = seconds(lambda: psbench.evaluate(predictions, protocol, device=DEVICE))
        transfer = seconds(lambda: torch.as_tensor(predictions.embeddings, device=DEVICE))
        figures["PRW size, seconds, device with transfer"] = on_device
        figures["PRW size, seconds, device after transfer"] = on_device - transfer
    folder_out = Path(os.environ.get("OUT", "gpu"))
    folder_out.mkdir(parents=True, exist_ok=True)
    (folder_out / "judging.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for name, value in figures.items():
        print(f"{name:<60} {value:.3g}" if isinstance(value, float) else f"{name:<60} {value}")
    wrong = [name for name, value in figures.items() if "difference" in name and float(str(value)) > 1e-6]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
