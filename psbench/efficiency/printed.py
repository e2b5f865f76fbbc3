"""A result as a line of the papers' tables of speed, beside which it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psbench.efficiency.result import Efficiency


@dataclass(frozen=True, kw_only=True)
class Printed:
    """What papers print of one model at one size; the fields are called as in the files of published numbers.

    Attributes:
        row: of the published table that it stands beside; None for one of its own.
        method: as printed.
        synthetic: whether the model is a demo's, and so of no paper's size.
        provenance: one sentence for a footnote.
        input_max: "1333x800", width and height that images are resized into.
        gpu: the device, which is a CPU where that was measured.
        batch_size: 1.
        params_m: 10^6 parameters.
        gmac: 10^9 multiply-adds; of a pairwise model, of a scene and a query in it.
        mem_gb: 2^30 bytes at most.
        speed_fps: images a second, network only, batch 1; None of a pairwise model.
        best_fps, whole_fps: the same at the best batch, and from JPEG bytes to results on the host.
        seconds: of a pairwise model, for one query in so many `scenes`, encoding them included.
        scenes: that were searched.
    """

    row: int | None
    method: str
    synthetic: bool
    provenance: str
    input_max: str
    gpu: str
    batch_size: int = 1
    params_m: float
    gmac: float
    mem_gb: float
    speed_fps: float | None = None
    best_fps: float | None = None
    whole_fps: float | None = None
    seconds: float | None = None
    scenes: int | None = None


def printed(
    result: Efficiency, *, row: int | None = None, method: str = "", synthetic: bool = False
) -> tuple[Printed, ...]:
    """A line for each size that was measured.

    Args:
        result: of a joint or pairwise model.
        row, method, synthetic: as in `Printed`; the method is the model's name by default.
    """
    facts: dict[str, Any] = {
        "row": row,
        "method": method or result.model,
        "synthetic": synthetic,
        "provenance": result.provenance,
        "gpu": result.device,
        "params_m": result.parameters / 1e6,
    }
    lines = [
        Printed(
            **facts,
            input_max=f"{size.width}x{size.height}",
            gmac=size.gmac,
            mem_gb=size.memory / 2**30,
            speed_fps=size.alone.images_per_second,
            best_fps=size.best.images_per_second,
            whole_fps=size.served.images_per_second,
        )
        for size in result.sizes
    ]
    lines += [
        Printed(
            **facts,
            input_max=f"{search.width}x{search.height}",
            gmac=search.scene_gmac + search.query_gmac + search.pair_gmac,
            mem_gb=search.memory / 2**30,
            seconds=search.first,
            scenes=search.scenes,
        )
        for search in result.searches
    ]
    return tuple(lines)
