"""The whole path on drawn people, in minutes on two CPU cores: data, training, predictions, table, curve, pictures."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from psbench.evaluation import evaluate, evaluate_detection
from psbench.evaluation.baselines import with_random_embeddings
from psbench.reporting.measured import Measured
from psbench.reporting.ranking import write_ranking
from psbench.reproduction.demo_tables import COMPARISON, GALLERY_CURVES
from psbench.reproduction.workspace import Workspace
from psbench.training.recipes import recipe_for

_METHOD = "SeqNet"
_PROTOCOL = "gallery-100"


def walk(folder: Path) -> Iterator[str]:
    """Make everything below `folder`, except what is there already.

    Yields:
        Lines of text: the results, what there is now, and what comes next.

    Raises:
        InputError: there is something else in the folder, or it cannot be written.
    """
    started = time.monotonic()
    workspace, recipe = Workspace(folder), recipe_for("seqnet-demo")
    dataset = workspace.demo_dataset()
    run = workspace.run(recipe, dataset)
    predictions = workspace.predictions(recipe, dataset)
    perfect = workspace.predictions(recipe, dataset, ground_truth_boxes=True)
    measured = workspace.measure(_METHOD, recipe, dataset, dataset.protocols)
    files = _tables(measured, folder)
    protocol, page = dataset.protocol(_PROTOCOL), folder / "ranking.html"
    write_ranking(predictions, protocol, evaluate(predictions, protocol), page, method=_METHOD, data=dataset.origin)
    floor = evaluate(with_random_embeddings(predictions), protocol)
    ceiling = evaluate(perfect, protocol)
    detection = evaluate_detection(predictions, dataset.split("test"), det_threshold=0.5)

    yield f"\n{_METHOD} on {dataset.origin}; {run.record.steps} training steps in {run.record.seconds:.0f} s\n"
    yield f"  detection recall (score >= 0.5, IoU >= 0.5)  {100 * detection.recall:5.1f} %"
    for m in measured:
        yield f"  mAP, {m.protocol:<40}{m.map:5.1f} %   top-1 {m.top1:5.1f} %"
    yield f"  mAP, {_PROTOCOL}, floor (random embeddings)  {100 * floor.map:5.1f} %"
    yield f"  mAP, {_PROTOCOL}, ceiling (true boxes)       {100 * ceiling.map:5.1f} %"
    yield f"\n{time.monotonic() - started:.0f} s, at most {_peak_memory():.1f} GiB of memory. What there is now:"
    for path in [*files, page, run.folder, folder / "predictions", dataset.root]:
        yield f"  {path}"
    yield "\nNext, on real data and a GPU (`psbench-data terms cuhk_sysu` says how CUHK-SYSU is obtained):"
    yield f"  {_command()} train seqnet --data cuhk_sysu --root /path/to/CUHK-SYSU --output runs/seqnet"


def _tables(measured: Sequence[Measured], folder: Path) -> list[Path]:
    """Those of the files that are made which the demo names."""
    return [
        path
        for table, endings in ((COMPARISON, (".md", ".csv")), (GALLERY_CURVES, (".png", ".csv")))
        for path in table.write(measured, folder)
        if path.suffix in endings
    ]


def _peak_memory() -> float:
    """Of this process, GiB."""
    import resource

    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def _command() -> str:
    """`psbench` as it can be typed here, where this folder's virtual environment need not be activated."""
    beside = Path(sys.executable).with_name("psbench")
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else "psbench"
