"""A script as those of reproduce/ are, with recipes that take seconds; it writes what was measured as JSON.

python -m tests.tiny_script --data-root DIR --output DIR
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from psbench.reporting.measured import Measured, MeasuredCost
from psbench.reproduction import Cell, MeasuredRow, run_script
from psbench_data.atomic import new_file
from tests.conftest import SMALL_WORLD

WORLD = dataclasses.replace(SMALL_WORLD, test_scenes=16, gallery_entries=(8,))
TINY = {
    "schedule.epochs": 2,
    "schedule.milestones": [1],
    "batch_size": 3,
    "model_options.min_size": 64,
    "model_options.max_size": 96,
    "model_options.roi_batch_size_per_image": 8,
    "model_options.rpn_post_nms_top_n_test": 8,
    # An untrained network is sure of nothing; every box must come out to be looked at.
    "model_options.score_thresh_test": 0.0,
}


def changed(values: Mapping[str, object]) -> list[str]:
    """The words of a command line that change options by dotted name."""
    return [word for name, value in values.items() for word in ("--set", f"{name}={json.dumps(value)}")]


def tiny(model: str, method: str, **more: bool) -> MeasuredRow:
    """A row that is measured in seconds."""
    return MeasuredRow(method=method, recipe=f"{model}-demo", demo_recipe=f"{model}-demo", changes=TINY, **more)


ROWS = (
    tiny("seqnet", "SeqNet"),
    tiny("seqnet", "SeqNet+CBGM", cbgm=True),
    tiny("nae", "NAE"),
    tiny("nae", "NAE, annotated boxes", ground_truth_boxes=True),
)
CELLS = (Cell("cuhk_sysu", "gallery-50"), Cell("cuhk_sysu", "gallery-all"))


def write(measured: list[Measured | MeasuredCost], folder: Path) -> list[Path]:
    """Write what is the same again: not how long it took, nor the weights' header, which has no order of its own."""
    numbers = [
        {k: v for k, v in dataclasses.asdict(m).items() if k not in ("seconds", "weights_digest")} for m in measured
    ]
    with new_file(folder / "table.json") as partial:
        partial.write_text(json.dumps(numbers, indent=1))
    return [folder / "table.json"]


if __name__ == "__main__":
    run_script(__doc__, ROWS, CELLS, write)
