"""A small synthetic tree without images, and predictions on it."""

from pathlib import Path

import pytest

import psbench_data
from psbench_data import PersonSearchDataset
from tests.leaderboard.making import honest, tree


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PersonSearchDataset:
    """In CUHK-SYSU's format."""
    return psbench_data.load("cuhk_sysu", root=tree(tmp_path_factory.mktemp("leaderboard") / "data"))


@pytest.fixture(scope="session")
def saved(dataset: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Honest predictions; not to be changed."""
    return honest(dataset).save(tmp_path_factory.mktemp("predictions") / "honest")


@pytest.fixture
def folder(dataset: PersonSearchDataset, tmp_path: Path) -> Path:
    """Honest predictions, to be changed."""
    return honest(dataset).save(tmp_path / "changed")
