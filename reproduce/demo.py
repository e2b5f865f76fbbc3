"""The whole path on drawn people, in minutes on two CPU cores: data, training, predictions, table, curve, pictures."""

import argparse
import resource
import sys
import time
from pathlib import Path

from gallery_curves import CUHK_SYSU
from systems import system
from table5 import TABLE

from psbench import InputError, evaluate, evaluate_detection
from psbench.evaluation.baselines import with_random_embeddings
from psbench.reporting.ranking import write_ranking
from psbench.reproduction import Workspace
from psbench.training import recipe_for

NEXT = """Next, on real data and a GPU (the README says how CUHK-SYSU is obtained):
  .venv/bin/psbench train seqnet --data cuhk_sysu --root /path/to/CUHK-SYSU --output runs/seqnet"""


def main(folder: Path) -> None:
    """Make everything below `folder`, except what is there already, and print the results."""
    started = time.monotonic()
    workspace = Workspace(folder)
    row = system("SeqNet")
    recipe = recipe_for("seqnet-demo")
    dataset = workspace.demo_dataset()
    run = workspace.run(recipe, dataset)
    predictions = workspace.predictions(recipe, dataset)
    perfect = workspace.predictions(recipe, dataset, ground_truth_boxes=True)
    measured = workspace.measure(row.method, recipe, dataset, dataset.protocols)
    files = [path for path in TABLE.write(measured, folder) if path.suffix in (".md", ".csv")]
    files += [path for path in CUHK_SYSU.write(measured, folder) if path.suffix in (".png", ".csv")]
    protocol = dataset.protocol("gallery-100")
    page = folder / "ranking.html"
    write_ranking(predictions, protocol, evaluate(predictions, protocol), page, method=row.method, data=dataset.origin)

    floor = evaluate(with_random_embeddings(predictions), protocol)
    ceiling = evaluate(perfect, protocol)
    detection = evaluate_detection(predictions, dataset.split("test"), det_threshold=0.5)
    print(f"\n{row.method} on {dataset.origin}; {run.record.steps} training steps in {run.record.seconds:.0f} s\n")
    print(f"  detection recall (score >= 0.5, IoU >= 0.5)  {100 * detection.recall:5.1f} %")
    for m in measured:
        print(f"  mAP, {m.protocol:<40}{m.map:5.1f} %   top-1 {m.top1:5.1f} %")
    print(f"  mAP, gallery-100, floor (random embeddings)  {100 * floor.map:5.1f} %")
    print(f"  mAP, gallery-100, ceiling (true boxes)       {100 * ceiling.map:5.1f} %")
    # Linux counts in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    print(f"\n{time.monotonic() - started:.0f} s, at most {peak:.1f} GiB of memory. What there is now:")
    for path in [*files, page, run.folder, folder / "predictions", dataset.root]:
        print(f"  {path}")
    print(f"\n{NEXT}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo"), help="where everything goes (default: demo)")
    arguments = parser.parse_args()
    try:
        main(arguments.output)
    except InputError as error:
        parser.exit(1, f"error: {error}\n")
