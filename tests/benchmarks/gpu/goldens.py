"""The zoo's golden cases on a device: the originals' weights in, the originals' outputs and losses out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from psbench.efficiency.computing import all_digits
from psbench.zoo import ZooModel
from tests.benchmarks.gpu.results import Result
from tests.models.golden import Golden
from tests.models.test_goldens import IN_FLOAT32, LOSS_WEIGHTS, MODELS, WITH_CONTEXT

GOLDENS = (*MODELS, "oim")
_METHOD = (
    "Each golden case: the largest absolute difference to what the original computed on a CPU, over its images. "
    "Boxes (pixels), scores and embeddings in float32 without TF32; infinite where another number of people was "
    "detected. Of a training step, the losses and the norm of the whole gradient as a share of the original's, and "
    "the identity tables: in float64, in which the original's numbers were computed where it can; the losses in "
    "float32 too."
)
SLACK = {
    **{"boxes": 0.05, "scores": 1e-3, "embeddings": 1e-3},
    **{"losses": 1e-4, "gradient": 1e-3, "tables": 1e-4, "losses in float32": 1e-2},
}
"""What another device may change. The goldens' weights are no trained ones: in float32, steps amplify rounding."""


def goldens(device: str, names: Sequence[str] = GOLDENS) -> Result:
    """Compare every case."""
    result = Result(_METHOD, figures={"allowed": SLACK, "largest difference": {}})
    for name in names:
        with all_digits():
            found = _largest(Golden(name), torch.device(device))
        result.figures["largest difference"][name] = found
        result.tell(f"goldens: {name:<12}" + ", ".join(f"{what} {value:.1e}" for what, value in found.items()))
        result.faults += [f"{name}: {what} differ by {v:.2g}" for what, v in found.items() if not v <= SLACK[what]]
    return result


def _largest(golden: Golden, device: torch.device) -> dict[str, float]:
    pairs = [*_inference(golden, golden.model().to(device), device)]
    pairs += [("losses in float32", dict(_training(golden, torch.float32, device))["losses"])]
    if golden.name not in IN_FLOAT32:
        pairs += _training(golden, torch.float64, device)
    found: dict[str, float] = {}
    for what, difference in pairs:
        found[what] = max(found.get(what, 0.0), difference)
    return found


def _inference(golden: Golden, model: ZooModel, device: torch.device) -> Iterator[tuple[str, float]]:
    for i in (0, 1):
        image, boxes = golden.image(i).to(device), golden.boxes(i).to(device)
        yield "embeddings", _difference(model.embed([image], [boxes])[0], golden.arrays[f"query_emb_{i}"])
        kinds = {"det": None, "qg": [boxes[1:2]]} if golden.name in WITH_CONTEXT else {"det": None}
        for kind, include in kinds.items():
            people = model.detect([image], include=include)[0]
            for what, short in (("boxes", "boxes"), ("scores", "scores"), ("embeddings", "emb")):
                yield what, _difference(getattr(people, what), golden.arrays[f"{kind}_{short}_{i}"])


def _training(golden: Golden, dtype: torch.dtype, device: torch.device) -> Iterator[tuple[str, float]]:
    case, arrays = golden.case["train"], golden.arrays
    model = golden.model().to(device, dtype).train()
    targets = [{k: v.to(device) for k, v in golden.target(i, dtype).items()} for i in (0, 1)]
    losses = model([golden.image(i, dtype).to(device) for i in (0, 1)], targets)
    weights = LOSS_WEIGHTS.get(golden.name, {})
    expected = {name: value * weights.get(name, 1) for name, value in _expected_losses(case["losses"]).items()}
    yield "losses", max(abs(losses[name].item() / value - 1) for name, value in expected.items())
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    norms = [gradients.get(golden.ours(official)) for official in golden.case["grad_names"]]
    total = math.sqrt(sum(float(g.double().square().sum()) for g in norms if g is not None))
    yield "gradient", abs(total / case["total_grad_norm"] - 1)
    state = model.state_dict()
    for table, short in (("table", "lut"), ("queue", "cq")):
        after = state[f"oim.{table}"][torch.from_numpy(arrays[f"train_{short}_rows"]).to(device)]
        yield "tables", _difference(after, arrays[f"train_{short}_after"])


def _expected_losses(losses: Mapping[str, float] | list[dict[str, float]]) -> Mapping[str, float]:
    """Of the step; the network of 2017 takes one image after the other."""
    if isinstance(losses, list):
        return {name: float(np.mean([of_image[name] for of_image in losses])) for name in losses[0]}
    return losses


def _difference(found: Tensor, expected: np.ndarray) -> float:
    values = found.detach().cpu().double().numpy()
    if values.shape != expected.shape:
        return math.inf
    return float(np.abs(values - expected).max(initial=0))
