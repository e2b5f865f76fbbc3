"""Every model's cost and speed, as `psbench efficiency` measures them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from psbench import zoo
from psbench.efficiency import AtSize, Search
from psbench.efficiency.measuring import measure
from tests.benchmarks.gpu.results import Result

_METHOD = (
    "The procedure of docs/performance.md, fresh weights: images a second of the network at batch 1 and at its best "
    "batch, and from JPEG bytes to results on the host in the fastest way that was tried; memory when images come one "
    "by one. Of pairwise models the seconds of one query's search. All else is in the figures, as `psbench efficiency "
    "--json` writes it."
)


def efficiency(device: str, models: Sequence[str] = zoo.available(), *, budget: float = 540, **how: Any) -> Result:
    """Measure; what is not begun after `budget` seconds is left out, and the result says so.

    Args:
        device: `cuda`, or `cpu` where there is no GPU.
        models: of the zoo.
        budget: seconds.
        **how: as for `measure`.
    """
    end, result = time.monotonic() + budget, Result(_METHOD, figures={"left out": []})
    for model in models:
        if time.monotonic() > end:
            result.figures["left out"].append(model)
            continue
        try:
            measured = measure(model, device=device, progress=sys.stderr.isatty(), **how)
        # Of one model; the others can still be measured.
        except Exception as error:
            result.faults.append(f"{model}: {type(error).__name__}: {error}")
            continue
        result.figures[model] = measured.model_dump(mode="json")
        for of_size in (*measured.sizes, *measured.searches):
            words = _speed(of_size) if isinstance(of_size, AtSize) else _search(of_size)
            memory = f"{of_size.memory / 2**30:.2f} GiB"
            result.tell(f"efficiency: {model:<18}{of_size.height}x{of_size.width:<6}{words}, {memory}")
    if result.figures["left out"]:
        result.tell(f"efficiency: left out, {budget:.0f} s were over: {', '.join(result.figures['left out'])}")
    return result


def _speed(size: AtSize) -> str:
    best, served = size.best, size.served
    return (
        f"images/s: {size.alone.images_per_second:.1f}, batch {best.batch} {best.images_per_second:.1f}, end to end "
        f"{served.images_per_second:.1f} (batch {served.batch}, {served.workers} workers)"
    )


def _search(search: Search) -> str:
    return f"a query in {search.scenes} scenes: {search.first:.2f} s, another {search.further:.2f} s"
