"""Where the time of a training step goes, and how much of the device's matrix throughput is reached."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiled

from psbench.efficiency.subject import fresh_model
from psbench.zoo.cost import cost
from tests.benchmarks.gpu.results import Result, seconds
from tests.benchmarks.gpu.steps import drawn_people, forget, measure, require_device
from tests.benchmarks.gpu.training import paper_recipe

_METHOD = (
    "torch.profiler over training steps of the default form with images decoded before: device time by kind of kernel, "
    "as a share of all device time. Throughput: multiply-adds of the network at the recipe's size, doubled for a FLOP "
    "count and times three for forward and backward, over the seconds of a step without the profiler; beside the bare "
    "product of two 8192x8192 matrices in the same precision, run before it."
)
KINDS = {
    "convolutions and products": (
        "conv",
        "gemm",
        "cutlass",
        "xmma",
        "addmm",
        "mm",
        "linear",
        "dgrad",
        "wgrad",
        "fprop",
    ),
    "batch norm": ("batch_norm", "bn_", "batchnorm"),
    "RoIs and NMS": ("roi_align", "roi_pool", "nms", "deform"),
    "optimiser": ("sgd", "adam", "foreach", "multi_tensor"),
    "copies": ("memcpy", "copy", "memset", "cat"),
    "elementwise": ("elementwise", "relu", "vectorized", "reduce", "softmax", "sigmoid", "pool", "index", "sort"),
}
"""Kinds of kernels, by parts of their names; the first that fits."""


def profile(
    device: str,
    models: Sequence[str] = ("seqnet", "pcnet"),
    *,
    changes: Mapping[str, Any] | None = None,
    world: Mapping[str, Any] | None = None,
    steps: int = 12,
    warm_up: int = 4,
    side: int = 8192,
    budget: float = 540,
) -> Result:
    """Profile; what is not begun after `budget` seconds is left out, and the result says so.

    Args:
        device: `cuda`, or `cpu` where there is no GPU.
        models: of the zoo.
        changes: to the recipes.
        world: of the drawn people, what differs from `drawn_people`.
        steps, warm_up: of the timed training; the profiled one has as many steps as are warmed up.
        side: of the matrices.
        budget: seconds.
    """
    require_device(device)
    end, result = time.monotonic() + budget, Result(_METHOD, figures={"left out": []})
    bare = _bare(device, side)
    result.figures["bare product, TFLOP/s"] = bare
    result.tell(f"profile: bare product {bare:.1f} TFLOP/s")
    few = {"train_scenes": 60, "train_identities": 20, "test_scenes": 12, "test_identities": 3}
    with drawn_people(**few | {"appearances": (2, 10), "gallery_entries": (10,)} | dict(world or {})) as dataset:
        for model in models:
            if time.monotonic() > end:
                result.figures["left out"].append(model)
                continue
            recipe = paper_recipe(model).override(dict(changes or {}))
            try:
                timed = measure(recipe, dataset, decoded=True, steps=steps, warm_up=warm_up)
                with profiled(activities=_activities(device)) as events:
                    measure(recipe, dataset, decoded=True, steps=warm_up, warm_up=0)
            # Of one model; the others can still be measured.
            except Exception as error:
                result.faults.append(f"{model}: {type(error).__name__}: {error}")
                continue
            shares = _shares(events, device)
            reached = 6e-3 * _gmac(model, recipe.model_options) * float(timed["images_per_second"])
            result.figures[model] = {
                "shares": shares,
                "TFLOP/s": reached,
                "of the bare product": reached / bare,
                **timed,
            }
            told = ", ".join(f"{kind} {share:.0%}" for kind, share in shares.items())
            result.tell(f"profile: {model:<10}{reached:.1f} TFLOP/s, {reached / bare:.0%} of the product; {told}")
            forget()
    return result


def _bare(device: str, side: int) -> float:
    """TFLOP/s of one product in the precision that trainings have."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2e-12 * side**3 / seconds(lambda: a @ b, device)


def _gmac(model: str, options: Mapping[str, Any]) -> float:
    """Of the network on one training image of the recipe."""
    made = fresh_model(model, "cuhk_sysu")
    size = options.get("min_size", made.options.min_size), options.get("max_size", made.options.max_size)
    rois = getattr(made.options, "roi_batch_size_per_image", 1)
    return cost(made, *size, rois=rois, people=rois).gmac


def _activities(device: str) -> list[ProfilerActivity]:
    return [ProfilerActivity.CUDA if device == "cuda" else ProfilerActivity.CPU]


def _shares(events: Any, device: str) -> dict[str, float]:
    """Of all device time, the most first."""
    taken: dict[str, float] = defaultdict(float)
    for event in events.key_averages():
        own = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
        kinds = (kind for kind, parts in KINDS.items() if any(part in event.key.lower() for part in parts))
        taken[next(kinds, "other")] += own
    whole = sum(taken.values()) or 1.0
    return {kind: spent / whole for kind, spent in sorted(taken.items(), key=lambda pair: -pair[1])}
