"""Pages: the leaderboards, and the rankings of a few queries; `make bench`."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import psbench
from psbench.leaderboard.rendering import render
from psbench.reporting.ranking import write_ranking
from psbench_data import PersonSearchDataset
from tests.benchmarks.calibrated import bare_decode
from tests.judging.listings import noisy_predictions

pytestmark = pytest.mark.bench
BOARDS = Path(__file__).parents[2] / "leaderboards"


def test_leaderboards(calibrated: Callable[..., float], tmp_path: Path) -> None:
    """All that are in the repository."""
    folder = shutil.copytree(BOARDS, tmp_path / "leaderboards")
    calibrated(lambda: render(folder), bare_decode(), rounds=7)


def test_ranking(calibrated: Callable[..., float], world: PersonSearchDataset, tmp_path: Path) -> None:
    """Twelve queries with five detections each, and the curves."""
    protocol = world.protocol("gallery-50")
    predictions = noisy_predictions(world, protocol)
    evaluation = psbench.evaluate(predictions, protocol)
    page = tmp_path / "ranking.html"
    calibrated(
        lambda: write_ranking(predictions, protocol, evaluation, page, method="made up", data="drawn"),
        bare_decode(),
        rounds=7,
    )
