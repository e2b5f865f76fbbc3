"""Searches that were interrupted: what is kept, what is made again, and what is refused."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from torch import Tensor, nn

from psbench import InputError, PairwisePredictions
from psbench.inference import rescore_into, search, search_into
from psbench.inference.search_cost import read_cost
from psbench.zoo import Found
from psbench_data import PersonSearchDataset
from tests.models.guided import Colours, Crops, Guided, assert_same
from tests.models.looks import files

SEARCH = {"protocol": "gallery-50", "progress": False}
RANKED = {
    "work.json", "manifest.json", "scenes.parquet", "queries.parquet", "pairs-00000.parquet", "cost.json",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 pairs in eight pieces or so."""
    monkeypatch.setattr("psbench.inference.pairing.PIECE_PAIRS", 50)
    monkeypatch.setattr("psbench.inference.rescoring.PIECE_CROPS", 20)


class Dying(Crops):
    """Dies after so many crops."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        if self.asked > self.after:
            raise RuntimeError("out of memory")
        return super().embed(images, boxes)


# What a network is, is its class and its weights.
Dying.__qualname__, Dying.__module__ = Crops.__qualname__, Crops.__module__


@pytest.mark.parametrize("keep", [None, 30])
def test_interrupted_search_is_continued(
    world: PersonSearchDataset, tmp_path: Path, keep: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "predictions"
    expected = search(Guided(), world, keep=keep, **SEARCH)
    with pytest.raises(RuntimeError, match="out of memory"):
        search_into(Guided(dies_after=250), world, folder, keep=keep, **SEARCH)
    with pytest.raises(InputError, match=r"not finished\. Start the same `psbench predict` again"):
        PairwisePredictions.load(folder)
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("pairs-*")}
    assert 4 <= len(kept) <= 5
    (folder / ".pairs-00001.0a1b2c3d.parquet").write_bytes(b"what a killed process leaves")
    capsys.readouterr()
    again = Guided()
    # However many are searched at once now.
    search_into(again, world, folder, protocol="gallery-50", keep=keep, queries_at_once=2, batch_size=2)
    assert_same(PairwisePredictions.load(folder), expected)
    assert 400 - 250 <= again.asked["pairs"] <= 400 - 250 + 60
    assert f"{len(kept)} of " in capsys.readouterr().err
    # Also the time that was spent before.
    cost = read_cost(folder)
    assert (cost.queries, cost.scenes, cost.pairs) == (8, 54, 400)
    if keep is None:
        assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept
    else:
        assert not set(kept) & files(folder)
    assert not list(folder.glob(".*"))


def test_interrupted_ranking_is_continued_without_searching_again(world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    expected = search(Guided(), world, reid=Crops(), keep=20, **SEARCH)
    with pytest.raises(RuntimeError, match="out of memory"):
        search_into(Guided(), world, folder, reid=Dying(after=100), keep=20, **SEARCH)
    done = sum(pq.read_metadata(path).num_rows for path in folder.glob("similarities-*"))
    assert 40 <= done <= 100
    model, again = Guided(), Crops()
    search_into(model, world, folder, reid=again, keep=20, **SEARCH)
    assert_same(PairwisePredictions.load(folder), expected)
    assert model.asked["pairs"] == 0
    # The queries, and the crops that were missing.
    assert again.asked == 8 + len(expected.boxes) - done
    assert files(folder) == RANKED


@pytest.mark.parametrize("reid", [None, Crops()])
def test_finished_search_is_not_made_again(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reid: nn.Module | None
) -> None:
    """Also if the process was killed as soon as the manifest was written, or while the search was being removed."""
    folder = tmp_path / "predictions"

    def killed(_: Path) -> None:
        if (folder / "manifest.json").is_file():
            (folder / "proposals/manifest.json").unlink(missing_ok=True)
            exit("killed")

    with monkeypatch.context() as patch:
        patch.setattr("psbench.inference.sharing.clear", killed)
        with pytest.raises(SystemExit):
            search_into(Guided(), world, folder, reid=reid, keep=20, **SEARCH)
    expected = PairwisePredictions.load(folder)
    for _ in range(2):
        again = Guided()
        search_into(again, world, folder, reid=reid, keep=20, **SEARCH)
        assert again.asked["pairs"] == 0
        assert_same(PairwisePredictions.load(folder), expected)
        assert files(folder) == (RANKED if reid else RANKED - {"pairs-00000.parquet"} | {"kept-00000.parquet"})


def test_interrupted_search_before_a_ranking_is_continued(world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    expected = search(Guided(), world, reid=Crops(), keep=20, **SEARCH)
    with pytest.raises(RuntimeError, match="out of memory"):
        search_into(Guided(dies_after=250), world, folder, reid=Crops(), keep=20, **SEARCH)
    with pytest.raises(InputError, match="not finished"):
        PairwisePredictions.load(folder)
    again = Guided()
    search_into(again, world, folder, reid=Crops(), keep=20, **SEARCH)
    assert again.asked["pairs"] < 400
    assert_same(PairwisePredictions.load(folder), expected)


def test_damaged_and_foreign_pieces_are_made_again(world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    with pytest.raises(RuntimeError):
        search_into(Guided(dies_after=370), world, folder, **SEARCH)
    first, second, third = sorted(folder.glob("pairs-*"))[:3]
    first.write_bytes(first.read_bytes()[:-100])
    second.write_bytes(third.read_bytes())
    again = Guided()
    search_into(again, world, folder, **SEARCH)
    assert 30 + 2 * 40 <= again.asked["pairs"] <= 30 + 2 * 60 + 60
    assert_same(PairwisePredictions.load(folder), search(Guided(), world, **SEARCH))


def test_missing_piece_is_found_in_the_end(world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"

    class Loses(Guided):
        def search_encoded(self, queries: Colours, scene: Tensor) -> list[Found]:
            (folder / "pairs-00002.parquet").unlink(missing_ok=True)
            return super().search_encoded(queries, scene)

    with pytest.raises(InputError, match=r"pairs-00002\.parquet: not there\. Start the same prediction again"):
        search_into(Loses(), world, folder, keep=5, **SEARCH)
    with pytest.raises(InputError, match="not finished"):
        PairwisePredictions.load(folder)


@pytest.mark.parametrize("reid", [None, Crops()])
@pytest.mark.parametrize("change", ["keep", "protocol", "model", "reid"])
def test_beginning_of_another_search_is_refused(
    world: PersonSearchDataset, tmp_path: Path, change: str, reid: nn.Module | None
) -> None:
    folder = tmp_path / "predictions"
    with pytest.raises(RuntimeError):
        search_into(Guided(dies_after=100), world, folder, reid=reid, keep=10, **SEARCH)
    before = files(folder)
    model, network = Guided(), Crops()
    nn.init.zeros_(network.weight)
    changes = {"keep": {"keep": 11}, "protocol": {"protocol": "gallery-all"}, "reid": {"reid": network}, "model": {}}
    if change == "model":
        nn.init.zeros_(model.weight)
    with pytest.raises(InputError, match=r"Give another folder, or remove this one first"):
        search_into(model, world, folder, **SEARCH | {"reid": reid, "keep": 10} | changes[change])
    assert files(folder) == before


def test_beginning_of_another_ranking_is_refused(world: PersonSearchDataset, tmp_path: Path) -> None:
    one, other = (search_into(Guided(), world, tmp_path / str(n), keep=n, **SEARCH) for n in (20, 21))
    folder = tmp_path / "ranked"
    with pytest.raises(RuntimeError):
        rescore_into(Dying(after=100), world, folder, proposals=one, progress=False)
    for proposals, keep, differs in ((other, None, "proposals"), (one, 5, "keep")):
        with pytest.raises(InputError, match=rf"beginning of other predictions \({differs} differ\)"):
            rescore_into(Crops(), world, folder, proposals=proposals, keep=keep, progress=False)
    rescore_into(Crops(), world, folder, proposals=one, progress=False)


def test_nothing_that_is_there_is_written_over(world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = search_into(Guided(), world, tmp_path / "predictions", keep=3, **SEARCH)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    with pytest.raises(InputError, match=r"holds other predictions \(keep differ\)"):
        search_into(Guided(), world, folder, keep=4, **SEARCH)
    with pytest.raises(InputError, match="Give another folder, or remove this one first"):
        search_into(Guided(), world, folder, reid=Crops(), keep=3, **SEARCH)
    with pytest.raises(InputError, match="Give another folder, or remove this one first"):
        rescore_into(Crops(), world, folder, proposals=folder, progress=False)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
