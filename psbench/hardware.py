"""What figures were measured on: the device by its own name, and the versions."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_PACKAGES = ("psbench", "torch", "torchvision", "timm", "accelerate", "numpy")


def device_name(device: torch.device) -> str:
    """A GPU by its own name; a CPU as "CPU" and its model, or its architecture where the system tells no model."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU {cpu_model()}"


def versions() -> dict[str, str]:
    """Of Python, of CUDA where torch has it, and of the packages that results depend on and that are installed."""
    import torch

    found = {"python": platform.python_version()}
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def cpu_model() -> str:
    """As the system calls it, or its architecture where the system tells no model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, [*models, platform.processor()]), platform.machine())
