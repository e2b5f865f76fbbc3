"""What a result says of where it comes from."""

from __future__ import annotations

import functools
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psbench
from psbench.reproduction.jobs import Prediction
from psbench.training.run import RUN_FILE, Run
from psbench_data import PersonSearchDataset


def facts_of(weights: Path, prediction: Prediction, dataset: PersonSearchDataset) -> dict[str, Any]:
    """Of predictions with a file of weights: attributes of `Measured`."""
    from psbench.zoo.weights import file_digest

    run = Run.load(weights.parent) if (weights.parent / RUN_FILE).is_file() else None
    procedure = "on annotated boxes" if prediction.ground_truth_boxes else ""
    if prediction.reid:
        procedure = f"ranked by {prediction.reid.recipe['name']}"
    return {
        "dataset": dataset.title,
        "data": dataset.origin,
        "fingerprint": dataset.fingerprint,
        "procedure": procedure,
        "ground_truth_boxes": prediction.ground_truth_boxes,
        "recipe": run.recipe.name if run else "",
        "recipe_digest": run.recipe.digest if run else "",
        "weights_digest": file_digest(weights),
        "psbench": psbench_version(),
        "hardware": run.record.hardware if run else "",
        "seconds": run.record.seconds if run else None,
    }


@functools.cache
def psbench_version() -> str:
    """The version; in a git checkout with the commit, and a word where files differ from it."""
    root = Path(psbench.__file__).resolve().parent.parent
    asked = ["git", "-C", str(root), "describe", "--always", "--dirty=, changed", "--abbrev=12", "--exclude=*"]
    try:
        # An installed package may lie in somebody else's checkout.
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        said = ""
    return f"{version('psbench')} ({said})" if said and (root / ".git").exists() else version("psbench")
