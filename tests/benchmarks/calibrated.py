"""Work timed between runs of a kernel of known cost: what is compared is how many kernels it takes.

A slow minute of the machine meets both, and goes out of the ratio. Times are CPU seconds, so that what others do on the
same cores is not counted.
"""

from __future__ import annotations

import resource
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

_SHARE = 0.1
"""Of the work's time, for which the kernel runs before it, and again after it."""


@dataclass(frozen=True)
class Kernel:
    """What work is measured in.

    Attributes:
        name: as printed.
        run: does it once.
    """

    name: str
    run: Callable[[], object]


def cpu_seconds() -> float:
    """Of this process and of those that it has waited for, user and system."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(of.ru_utime + of.ru_stime for of in used)


def _seconds(run: Callable[[], object]) -> float:
    start = cpu_seconds()
    run()
    return cpu_seconds() - start


def calibrate(
    benchmark: BenchmarkFixture,
    work: Callable[[], object],
    kernel: Kernel,
    *,
    rounds: int = 5,
    setup: Callable[[], object] | None = None,
) -> float:
    """Time work between two runs of a kernel, some rounds long, after one of each that is not counted.

    Args:
        benchmark: keeps the ratio and the kernel's median seconds in its `extra_info`; its timer is `cpu_seconds`.
        work: what is measured.
        kernel: runs before and after it in each round, for a tenth of the work's time or once.
        rounds: that count.
        setup: runs before the work in each round, and is not timed.

    Returns:
        The median over the rounds of the work's seconds divided by the kernel's.
    """
    if benchmark.disabled:
        pytest.skip("pytest-benchmark is switched off")

    def prepare() -> None:
        if setup is not None:
            setup()

    prepare()
    kernel.run()
    # A kernel that is much shorter than the work would meet other moments than that does.
    times = max(1, round(_SHARE * _seconds(work) / _seconds(kernel.run)))
    around: list[float] = []

    def run_kernel() -> None:
        around.append(_seconds(lambda: [kernel.run() for _ in range(times)]) / times)

    def before() -> None:
        prepare()
        run_kernel()

    benchmark.pedantic(work, setup=before, teardown=run_kernel, rounds=rounds)
    of_kernel = [(first + last) / 2 for first, last in zip(around[::2], around[1::2], strict=True)]
    ratio = statistics.median(w / k for w, k in zip(benchmark.stats.stats.data, of_kernel, strict=True))
    benchmark.extra_info |= {
        "kernel": kernel.name,
        "kernel_seconds": statistics.median(of_kernel),
        "ratio": ratio,
    }
    return ratio


@cache
def bare_decode() -> Kernel:
    """Four times `picture` decoded by Pillow."""
    jpeg = picture()

    def decode() -> None:
        for _ in range(4):
            with Image.open(BytesIO(jpeg)) as image:
                image.convert("RGB")

    return Kernel("4 decodes", decode)


@cache
def bare_convolution() -> Kernel:
    """A convolution in torch: 3x3, 64 to 64 channels, 225x375 pixels, float32: 3.1 GMAC."""
    import torch

    generator = torch.Generator().manual_seed(0)
    image, weight = (torch.randn(shape, generator=generator) for shape in ((1, 64, 225, 375), (64, 64, 3, 3)))

    def convolve() -> None:
        with torch.no_grad():
            torch.nn.functional.conv2d(image, weight, padding=1)

    return Kernel("convolution", convolve)


@cache
def picture() -> bytes:
    """Smooth noise as a JPEG file of 1920x1080 pixels, quality 85; the same every time."""
    coarse = np.random.default_rng(0).integers(0, 256, (68, 120, 3), np.uint8)
    stored = BytesIO()
    Image.fromarray(coarse).resize((1920, 1080), Image.Resampling.BICUBIC).save(stored, "JPEG", quality=85)
    return stored.getvalue()
