"""Predictions folders of either kind."""

from __future__ import annotations

from pathlib import Path

from psbench import pairwise_folder, predictions_folder
from psbench.intake import Intake
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench.shards import Taken, read_kind


def load_predictions(folder: Path) -> Predictions | PairwisePredictions:
    """Read a folder.

    Raises:
        InputError: listing everything that is wrong with it.
    """
    return pairwise_folder.read(folder) if read_kind(folder) == "pairwise" else predictions_folder.read(folder)


def take(folder: Path, intake: Intake) -> Taken:
    """Read what can be read of a folder and note the rest; raises InputError only if its manifest cannot be read."""
    return (pairwise_folder if read_kind(folder) == "pairwise" else predictions_folder).take(folder, intake)
