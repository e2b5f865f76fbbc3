"""Search in two processes: the same as in one, and continued where one of them was killed."""

import re
from pathlib import Path

import pytest
import torch

import psbench
from psbench import PairwisePredictions
from psbench.inference import search, search_into
from psbench.zoo.weights import describe, load_weights, save_weights
from psbench_data import PersonSearchDataset
from tests.models.guided import assert_same
from tests.models.launching import ACCELERATE, TORCHRUN, launch
from tests.models.looks import files
from tests.models.small import SMALL

PROGRAM = ["-m", "tests.models.launched_search", "predict"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of networks that have learnt nothing, by their names."""
    folder, paths = tmp_path_factory.mktemp("weights"), {}
    for name in ("igpn", "reid_pcb"):
        torch.manual_seed(0)
        fewer = {"rpn_post_nms_top_n_test": 8} if name == "igpn" else {}
        model = psbench.zoo.create(name, num_identities=6, **SMALL[name] | fewer)
        paths[name] = folder / f"{name}.safetensors"
        info = describe(model, name, num_identities=6, dataset="cuhk_sysu", method=name)
        save_weights(model, paths[name], info)
    return paths


@pytest.fixture(scope="module")
def expected(weights: dict[str, Path], world: PersonSearchDataset) -> PairwisePredictions:
    """What one process finds."""
    igpn, reid = (load_weights(weights[name]) for name in ("igpn", "reid_pcb"))
    return search(igpn, world, protocol="gallery-50", reid=reid, keep=20, progress=False)


def test_two_processes_find_what_one_does(
    weights: dict[str, Path], world: PersonSearchDataset, expected: PairwisePredictions, tmp_path: Path
) -> None:
    folder = tmp_path / "predictions"
    options = (
        "--root",
        world.root,
        "--output",
        folder,
        "--protocol",
        "gallery-50",
        "--keep",
        20,
        "--queries-at-once",
        3,
    )
    done = launch(ACCELERATE, PROGRAM, weights["igpn"], "--reid", weights["reid_pcb"], *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("160 proposals in 400 pairs of a query and a scene") == 1
    assert done.stdout.count("one query over 100 scenes") == 1
    # Two bars, over the main process's share of 400 pairs and of 160 crops.
    shares = {int(share) for share in re.findall(r"/(\d+) \[", done.stderr)}
    assert len(shares) == 2
    assert 400 / 3 < max(shares) < 400 * 2 / 3
    assert 160 / 4 < min(shares) < 160 * 3 / 4
    found = PairwisePredictions.load(folder)
    assert found.method == "igpn + reid_pcb"
    assert_same(found, expected, atol=1e-4)
    kept = {"manifest.json", "scenes.parquet", "queries.parquet", "pairs-00000.parquet", "cost.json", "work.json"}
    assert files(folder) == kept


def test_death_of_a_process_ends_all_and_can_be_continued(
    weights: dict[str, Path],
    world: PersonSearchDataset,
    expected: PairwisePredictions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "predictions"
    given = ("--root", world.root, "--output", folder, "--protocol", "gallery-50", "--keep", 20)
    died = launch(TORCHRUN, PROGRAM, weights["igpn"], "--reid", weights["reid_pcb"], *given, DIES_AFTER="12")
    assert died.returncode != 0
    assert "SIGKILL" in died.stderr
    kept = {path.name: path.stat().st_mtime_ns for path in (folder / "proposals").glob("pairs-*")}
    assert 2 <= len(kept) < 10
    monkeypatch.setattr("psbench.inference.pairing.PIECE_PAIRS", 40)
    monkeypatch.setattr("psbench.inference.rescoring.PIECE_CROPS", 30)
    igpn, reid = (load_weights(weights[name]) for name in ("igpn", "reid_pcb"))
    options = {"protocol": "gallery-50", "reid": reid, "keep": 20, "method": "igpn + reid_pcb", "progress": False}
    search_into(igpn, world, folder, **options)
    assert_same(PairwisePredictions.load(folder), expected, atol=1e-4)
