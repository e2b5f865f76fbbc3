"""Evaluations on a device: equal to numpy's, and how fast."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

import psbench
import psbench_data
from psbench import CBGM, Predictions
from psbench_data import Protocol
from psbench_data.synthetic.formats import official_spec, write
from psbench_data.synthetic.spec import WorldSpec
from tests.benchmarks.gpu.results import Result, seconds
from tests.benchmarks.test_judging import made_up
from tests.judging.test_goldens import DATASETS, EVALUATION, _predictions

_METHOD = (
    "Average precision of each query, the device's against numpy's on the CPU of the same machine: on the golden "
    "trees, and on drawn data of PRW's size without pictures, every person detected and half as many false alarms "
    "as scenes, 256 dimensions. Seconds of evaluate(): the least of five rounds after one to warm up, synchronised."
)
_SLACK = 1e-6


def judging(device: str, *, datasets: tuple[str, ...] = DATASETS, spec: WorldSpec | None = None) -> Result:
    """Compare and time; `spec` is the drawn world, PRW's size by default."""
    result = Result(_METHOD)
    differences: dict[str, float] = {}
    for name in datasets:
        dataset = psbench_data.load(name, root=EVALUATION / name)
        protocol = dataset.protocol(dataset.protocols[0])
        for rules, cbgm in (({}, None), ({"cbgm": ""}, CBGM(10, 3))):
            what = f"{name} golden{', CBGM' if cbgm else ''}"
            differences[what] = _largest_difference(_predictions(name, rules), protocol, device, cbgm=cbgm)
    with tempfile.TemporaryDirectory() as folder:
        write("prw", spec or official_spec("prw"), Path(folder) / "prw", images=False)
        protocol = psbench_data.load("prw", root=Path(folder) / "prw").protocol("regular")
        predictions = made_up(protocol.scenes, protocol)
        differences["drawn"] = _largest_difference(predictions, protocol, device)
        on_device = seconds(lambda: psbench.evaluate(predictions, protocol, device=device), device)
        transfer = seconds(lambda: torch.as_tensor(predictions.embeddings, device=device).clone(), device)
        times = {
            "numpy": seconds(lambda: psbench.evaluate(predictions, protocol), device),
            "device, with the embeddings' transfer": on_device,
            "that transfer": transfer,
        }
    result.figures = {"largest difference of AP": differences, "seconds": times}
    result.faults = [f"{what}: AP differs by {d:.2g}" for what, d in differences.items() if not d <= _SLACK]
    result.tell(f"judging: AP differs from numpy's by at most {max(differences.values()):.2g}")
    result.tell("judging: " + ", ".join(f"{what} {value:.3g} s" for what, value in times.items()))
    return result


def _largest_difference(predictions: Predictions, protocol: Protocol, device: str, **options: object) -> float:
    here = psbench.evaluate(predictions, protocol, **options)  # type: ignore[arg-type]
    there = psbench.evaluate(predictions, protocol, device=device, **options)  # type: ignore[arg-type]
    return float(np.nanmax(np.abs(here.per_query["ap"] - there.per_query["ap"])))
