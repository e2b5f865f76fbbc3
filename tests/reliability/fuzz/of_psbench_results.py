"""Results that are kept as files: measured numbers, what models cost, what was drawn."""

from __future__ import annotations

import datetime
from pathlib import Path

from psbench.efficiency import Efficiency
from psbench.efficiency.text import to_markdown
from psbench.reporting.measured import MeasuredCost, as_json
from psbench.reproduction import Workspace
from psbench.reproduction.demo import demo_world
from psbench.reproduction.jobs import CostJob, Evaluation
from psbench_data.dataset import SYNTHETIC_MARKER
from psbench_data.synthetic.tree import marker_text
from tests.made_up import made_up_row
from tests.reliability.fuzz.of_psbench_predictions import told_like_commands
from tests.reliability.fuzz.target import Target
from tests.tiny_script import CELLS, ROWS

_EVALUATION = Evaluation(name="measured", protocol="gallery-50")
_COST = CostJob(name="cost", model="seqnet", options={}, size=(96, 128))


def _make_workspace(folder: Path) -> None:
    for name in ("evaluations", "costs"):
        (folder / name).mkdir()
    measured = made_up_row(ROWS[0], CELLS[0], synthetic=True)
    (folder / "evaluations" / "measured.json").write_text(as_json(measured), "utf-8")
    _efficiency().save(folder / "costs" / "cost.json")


def _efficiency() -> Efficiency:
    timing = {"batch": 1, "workers": 0, "images": 8, "images_per_second": 4.0, "people": 2.5, "memory": 2**20}
    timings = [{"way": way, "median": 0.2, "p95": 0.3, **timing} for way in ("network", "end to end")]
    size = {"height": 96, "width": 128, "gmac": 1.5, "score_threshold": 0.5, "rois": 20.0, "too_large": None}
    return Efficiency.model_validate(
        {
            "model": "seqnet",
            "options": {"backbone": "test_resnet"},
            "weights": None,
            "parameters": 1000,
            "trained": 900,
            "sizes": [{**size, "timings": timings}],
            "searches": [],
            "device": "CPU of 2 cores",
            "threads": 1,
            "precision": "fp32",
            "memory_is": "resident growth",
            "data": "CUHK-SYSU",
            "people": 2.5,
            "rois": 20,
            "images": 8,
            "warm_up": 2,
            "versions": {"psbench": "0.1.0", "torch": "2.0"},
            "measured": datetime.date(2024, 2, 29),
        }
    )


def _take_results(folder: Path) -> object:
    """What scripts take up again; what they cannot read is measured anew."""
    workspace = Workspace(folder)
    with told_like_commands():
        measured, cost = workspace.measured(_EVALUATION), workspace.cost(_COST)
    if cost is not None:
        MeasuredCost.of(cost, method="SeqNet", row=None, synthetic=True)
    return measured and (measured.provenance, as_json(measured))


def _make_efficiency(folder: Path) -> None:
    _efficiency().save(folder / "cost.json")


def _show_efficiency(folder: Path) -> str:
    return to_markdown(Efficiency.load(folder / "cost.json"))


def _make_marker(folder: Path) -> None:
    (folder / "data" / "cuhk_sysu").mkdir(parents=True)
    text = marker_text("cuhk_sysu", demo_world("cuhk_sysu"))
    (folder / "data" / "cuhk_sysu" / SYNTHETIC_MARKER).write_text(text, "utf-8")


def _look_at_marker(folder: Path) -> object:
    return Workspace(folder, progress=False).demo_data("cuhk_sysu")


TARGETS = (
    Target("results of a reproduction", _make_workspace, ("*/*.json",), _take_results),
    Target("what a model costs", _make_efficiency, ("cost.json",), _show_efficiency),
    Target("marker of drawn data", _make_marker, (f"data/cuhk_sysu/{SYNTHETIC_MARKER}",), _look_at_marker),
)
