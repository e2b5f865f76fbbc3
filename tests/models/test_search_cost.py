"""What a search took: told while it goes on, and kept."""

from pathlib import Path

import pytest

from psbench import InputError
from psbench.inference import search, search_into
from psbench.inference.search_cost import SearchCost, read_cost
from psbench_data import PersonSearchDataset
from tests.models.guided import Crops, Guided


def test_progress_tells_pairs_and_crops_a_second(
    world: PersonSearchDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    search(Guided(), world, protocol="gallery-50", reid=Crops(), keep=3)
    shown = capsys.readouterr().err
    for words in ("encoding queries", "searching", "pair/s", "400/400", "re-ID", "crop/s", "24/24"):
        assert words in shown


def test_cost_is_kept(world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = search_into(Guided(), world, tmp_path / "plain", protocol="gallery-50", progress=False)
    plain = read_cost(folder)
    assert (plain.queries, plain.scenes, plain.pairs, plain.crops) == (8, 54, 400, 0)
    assert set(plain.seconds) == {"query", "scenes", "pairs"}
    assert all(seconds > 0 for seconds in plain.seconds.values())
    folder = search_into(
        Guided(), world, tmp_path / "ranked", protocol="gallery-50", reid=Crops(), keep=5, progress=False
    )
    ranked = read_cost(folder)
    assert (ranked.pairs, ranked.crops) == (400, 40)
    assert ranked.seconds["reid"] > 0
    with pytest.raises(InputError, match=r"cost\.json: not there"):
        read_cost(tmp_path)


def test_cost_of_a_query() -> None:
    """Scenes are encoded for it alone, or are encoded already; re-ID takes as long as it took here."""
    seconds = {"query": 2.0, "scenes": 9.0, "pairs": 80.0, "reid": 6.0}
    cost = SearchCost(hardware="an abacus", queries=4, scenes=30, pairs=400, crops=40, seconds=seconds)
    assert cost.per_pair == pytest.approx(0.2)
    assert cost.per_query() == pytest.approx({"query": 0.5, "scenes": 30.0, "pairs": 20.0, "reid": 1.5})
    assert cost.per_query(10, encoded=True) == pytest.approx({"query": 0.5, "pairs": 2.0, "reid": 1.5})
    assert "200 ms each" in str(cost)
    assert "one query over 100 scenes: 52 s" in str(cost)
    assert "22 s where the scenes are encoded already" in str(cost)
