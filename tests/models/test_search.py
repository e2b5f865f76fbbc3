"""Search by a query-guided model: the same as pair by pair, whatever the pieces, and then a re-ID network's ranking."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from typer.testing import CliRunner

import psbench
import psbench_data
from psbench import InputError, PairwisePredictions
from psbench.cli import app
from psbench.inference import rescore_into, search, search_into
from psbench.zoo.images import image_tensor, to_float
from psbench_data import PersonSearchDataset
from psbench_data.synthetic.prw import write_prw
from tests.conftest import SMALL_WORLD
from tests.models.guided import ANNA, Crops, Guided, assert_same, best, one_by_one, own_data, proposals_of
from tests.models.looks import files
from tests.models.small import SMALL


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which none is a whole number of scenes."""
    monkeypatch.setattr("psbench.inference.pairing.PIECE_PAIRS", 50)
    monkeypatch.setattr("psbench.inference.rescoring.PIECE_CROPS", 300)


@pytest.fixture(scope="module")
def prw(tmp_path_factory: pytest.TempPathFactory) -> PersonSearchDataset:
    """Its queries go over all other scenes, or those of some cameras; for some queries the person is nowhere."""
    root = tmp_path_factory.mktemp("prw") / "prw"
    write_prw(dataclasses.replace(SMALL_WORLD, test_scenes=24), root)
    return psbench_data.load("prw", root=root)


@pytest.fixture
def dataset(
    request: pytest.FixtureRequest, world: PersonSearchDataset, prw: PersonSearchDataset
) -> PersonSearchDataset:
    return {"cuhk_sysu": world, "prw": prw}[request.param]


SEARCHES = [("cuhk_sysu", "gallery-50"), ("prw", "regular"), ("prw", "multi-view"), ("prw", "same-camera")]


@pytest.mark.parametrize(("dataset", "protocol"), SEARCHES, indirect=["dataset"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_search_finds_what_every_pair_by_itself_does(
    dataset: PersonSearchDataset, protocol: str, batch_size: int
) -> None:
    expected, task, model = one_by_one(Guided(), dataset, protocol), dataset.protocol(protocol), Guided()
    found = search(
        model, dataset, protocol=protocol, queries_at_once=3, batch_size=batch_size, method="guided", progress=False
    )
    assert found.query_scenes == task.queries.scene_names
    np.testing.assert_array_equal(found.query_boxes, task.queries.boxes)
    for q in range(len(task.queries)):
        pairs = found.pair_scenes[slice(*found.query_offsets[q : q + 2])]
        assert pairs.tolist() == np.flatnonzero(task.searched(q)).tolist()
        assert proposals_of(found, q, dataset) == expected[q]
    # Each query and scene is encoded once for all pairs, and the pairs are searched together as far as allowed.
    pairs = sum(int(task.searched(q).sum()) for q in range(len(task.queries)))
    assert model.asked == {"queries": len(task.queries), "scenes": len(task.needed), "pairs": pairs}
    assert model.most_at_once == 3
    assert (found.method, found.dataset, found.synthetic) == ("guided", dataset.name, True)
    assert found.fingerprint == dataset.split("test").fingerprint
    # Not in all scenes is somebody found, and not by all queries.
    assert 0 < (found.counts == 0).sum() < len(found.counts)


@pytest.mark.parametrize(("dataset", "protocol"), SEARCHES[:2], indirect=["dataset"])
@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize("at_once", [2**23, 100])
def test_best_of_the_whole_gallery_are_kept(
    dataset: PersonSearchDataset, protocol: str, keep: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pieces are put together at once; of equals those that come first, of which there are some."""
    monkeypatch.setattr("psbench.inference.search_pieces._BOXES_AT_ONCE", at_once)
    expected = one_by_one(Guided(), dataset, protocol)
    found = search(Guided(), dataset, protocol=protocol, keep=keep, progress=False)
    tied = 0
    for q, proposals in enumerate(expected):
        kept = best(proposals, keep)
        assert proposals_of(found, q, dataset) == kept
        last = min((proposal.similarity for proposal in kept), default=0)
        tied += sum(p.similarity == last for p in proposals) > sum(p.similarity == last for p in kept)
    assert tied
    # All pairs stay listed, and a search without `keep` gives any N.
    every = search(Guided(), dataset, protocol=protocol, progress=False)
    assert_same(found, every.keep(keep))
    assert len(found.pair_queries) == len(every.pair_queries)


def test_queries_that_are_too_many_come_in_turns(prw: PersonSearchDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = search(Guided(), prw, protocol="multi-view", keep=15, progress=False)
    monkeypatch.setattr("psbench.inference.pairing.QUERIES_AT_HAND", 8)
    model, task = Guided(), prw.protocol("multi-view")
    assert_same(search(model, prw, protocol="multi-view", keep=15, progress=False), expected)
    assert model.asked["queries"] == len(task.queries) > 16
    assert 0 < model.most_at_hand <= 8
    assert len(task.needed) < model.asked["scenes"] <= 3 * len(task.needed)


def test_gallery_of_one_and_query_whose_person_is_nowhere(world: PersonSearchDataset, tmp_path: Path) -> None:
    alone = {"image_id": 3, "bbox": [47, 18, 24, 60], "person_id": "3-7"}
    own = own_data(world, tmp_path / "own", [ANNA, alone])
    task = own.protocol("gallery-1")
    found = search(Guided(), own, protocol="gallery-1", reid=Crops(), keep=3, progress=False)
    assert np.diff(found.query_offsets).tolist() == [1, 1]
    assert [found.scene_names[s] for s in found.pair_scenes] == ["7.png", own.split("test").names[task.gallery(1)[0]]]
    assert 0 < len(found.boxes) <= 6
    evaluation = psbench.evaluate(found, task)
    assert evaluation.per_query["matches"].tolist() == [1, 0]
    assert evaluation.skipped == 1


def test_box_that_is_asked_for_twice_is_one_query(world: PersonSearchDataset, tmp_path: Path) -> None:
    """With the scenes of both galleries, so that both can be judged."""
    own = own_data(world, tmp_path / "own", [ANNA, ANNA])
    task = own.protocol("gallery-3")
    galleries = {own.split("test").names[s] for q in range(2) for s in task.gallery(q)}
    found = search(Guided(), own, protocol="gallery-3", progress=False)
    assert found.num_queries == 1
    assert {found.scene_names[s] for s in found.pair_scenes} == galleries
    assert len(galleries) > 3
    assert len(psbench.evaluate(found, task).per_query) == 2


def test_query_that_leaves_its_image_is_as_one_with_black_around(world: PersonSearchDataset, tmp_path: Path) -> None:
    beyond = {"image_id": 7, "bbox": [98, 20, 36, 80], "person_id": "anna"}
    inside = {"image_id": 7, "bbox": [130, 52, 36, 80], "person_id": "anna"}
    plain = own_data(world, tmp_path / "plain", [beyond])
    padded = own_data(world, tmp_path / "padded", [inside], margin=32)
    found, expected = (search(Guided(), own, protocol="regular", progress=False) for own in (plain, padded))
    assert len(found.boxes)
    for name in ("pair_scenes", "offsets", "boxes", "similarities"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_igpn_finds_what_its_own_search_does(world: PersonSearchDataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    igpn = psbench.zoo.create("igpn", num_identities=6, **SMALL["igpn"])
    own = own_data(world, tmp_path / "own", [ANNA, ANNA | {"bbox": [-6, 24, 18, 43]}])
    test, task = own.split("test"), own.protocol("regular")
    found = search(igpn, own, protocol="regular", batch_size=3, progress=False)
    for q, query in enumerate(task.queries):
        gallery = np.flatnonzero(task.searched(q))
        person = to_float(image_tensor(test[query.scene])), torch.tensor(query.box)
        alone = igpn.search(person, [to_float(image_tensor(test[int(scene)])) for scene in gallery])
        together = found.of_queries(np.array([q]))
        np.testing.assert_array_equal(together.pair_scenes, gallery)
        np.testing.assert_array_equal(together.offsets, alone.offsets)
        np.testing.assert_allclose(together.boxes, alone.boxes, atol=1e-3)
        np.testing.assert_allclose(together.similarities, alone.similarities, atol=1e-5)
    assert len(found.boxes)


@pytest.mark.parametrize("reid", [None, Crops()])
@pytest.mark.parametrize("keep", [None, 5])
def test_nothing_proposed_anywhere(world: PersonSearchDataset, reid: nn.Module | None, keep: int | None) -> None:
    blind = Guided()
    nn.init.constant_(blind.weight, 9.0)
    found = search(blind, world, protocol="gallery-50", reid=reid, keep=keep, progress=False)
    assert (len(found.boxes), len(found.pair_queries)) == (0, 400)
    assert psbench.evaluate(found, world.protocol("gallery-50")).map == 0


@pytest.mark.parametrize(("dataset", "protocol"), SEARCHES[:2], indirect=["dataset"])
@pytest.mark.parametrize("keep", [None, 20])
def test_reid_ranks_what_is_kept(dataset: PersonSearchDataset, protocol: str, keep: int | None, tmp_path: Path) -> None:
    expected = search(Guided(), dataset, protocol=protocol, keep=keep, method="guided", progress=False)
    reid = Crops().eval()
    folder = tmp_path / "predictions"
    search_into(Guided(), dataset, folder, protocol=protocol, reid=reid, keep=keep, method="both", progress=False)
    kept = {"manifest.json", "scenes.parquet", "queries.parquet", "pairs-00000.parquet", "cost.json", "work.json"}
    assert files(folder) == kept
    found = PairwisePredictions.load(folder)
    test = dataset.split("test")
    similarities = []
    with torch.no_grad():
        for query, scene, *rows in zip(
            found.pair_queries, found.pair_scenes, found.offsets[:-1], found.offsets[1:], strict=True
        ):
            images = [to_float(image_tensor(test[name])) for name in (found.query_scenes[query], int(scene))]
            boxes = [
                torch.from_numpy(found.query_boxes[query : query + 1]),
                torch.from_numpy(found.boxes[slice(*rows)]),
            ]
            if len(boxes[1]):
                wanted, seen = reid.embed(images, boxes)
                similarities += F.cosine_similarity(wanted, seen).tolist()
    np.testing.assert_allclose(found.similarities, similarities, atol=1e-6)
    assert len(set(found.similarities.tolist())) > 10
    # All else is what the query-guided model found; its similarities stay beside.
    proposed = dataclasses.replace(found, similarities=found.proposal_similarities, proposal_similarities=None)
    assert_same(proposed, expected)
    assert found.method == "both"


def test_one_search_serves_several_networks(world: PersonSearchDataset, tmp_path: Path) -> None:
    proposals = search_into(Guided(), world, tmp_path / "search", protocol="gallery-50", keep=30, progress=False)
    for n, reid in enumerate((Crops(), Crops().requires_grad_(False))):
        nn.init.constant_(reid.weight, 1.0 + n)
        expected = search(Guided(), world, protocol="gallery-50", reid=reid, keep=10, progress=False)
        ranked = rescore_into(reid, world, tmp_path / f"{n}", proposals=proposals, keep=10, progress=False)
        assert_same(PairwisePredictions.load(ranked), expected)
        every = rescore_into(reid, world, tmp_path / f"all-{n}", proposals=proposals, progress=False)
        assert_same(PairwisePredictions.load(every).keep(10), expected)
    assert (proposals / "manifest.json").is_file()
    # What is ranked can be ranked again: the proposals are still chosen by the first stage.
    again = rescore_into(reid, world, tmp_path / "again", proposals=tmp_path / "all-0", keep=10, progress=False)
    assert_same(PairwisePredictions.load(again), expected)


def test_proposals_of_other_data_are_refused(
    world: PersonSearchDataset, prw: PersonSearchDataset, tmp_path: Path
) -> None:
    proposals = search_into(Guided(), prw, tmp_path / "search", protocol="mini", progress=False)
    with pytest.raises(InputError, match=r"search: proposals in other scenes than those of"):
        rescore_into(Crops(), world, tmp_path / "ranked", proposals=proposals, progress=False)
    found = PairwisePredictions.load(proposals)
    nameless = dataclasses.replace(found, query_scenes=None, query_boxes=None).save(tmp_path / "nameless")
    with pytest.raises(InputError, match=r"nameless: does not say which boxes"):
        rescore_into(Crops(), prw, tmp_path / "ranked", proposals=nameless, progress=False)
    with pytest.raises(InputError, match="not there"):
        rescore_into(Crops(), prw, tmp_path / "ranked", proposals=tmp_path / "nowhere", progress=False)
    assert not (tmp_path / "ranked").exists()


def test_folder_is_judged_as_it_is(world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = search_into(Guided(), world, tmp_path / "predictions", protocol="gallery-50", progress=False)
    assert json.loads((folder / "manifest.json").read_text())["kind"] == "pairwise"
    given = ["--root", str(world.root), "--protocol", "gallery-50", "--keep", "300", "--json", str(tmp_path / "e.json")]
    result = CliRunner().invoke(app, ["evaluate", str(folder), *given])
    assert result.exit_code == 0, result.output
    (said,) = json.loads((tmp_path / "e.json").read_text())["evaluations"]
    kept = search(Guided(), world, protocol="gallery-50", keep=300, progress=False)
    expected = psbench.evaluate(kept, world.protocol("gallery-50"))
    assert said["map"] == pytest.approx(expected.map) != 0


def test_what_cannot_be_right_is_not_written(world: PersonSearchDataset, tmp_path: Path) -> None:
    broken = Guided()
    nn.init.constant_(broken.weight, torch.nan)
    # NaN is not near anything: it must come from the model.
    broken.similar_from = -torch.inf
    with pytest.raises(InputError, match="NaN"):
        search_into(broken, world, tmp_path / "predictions", protocol="gallery-50", progress=False)
    assert files(tmp_path / "predictions") == {"work.json"}
    reid = Crops().eval()
    nn.init.constant_(reid.weight, torch.nan)
    with pytest.raises(InputError, match=r"scene 's.*jpg': the re-ID network gives an embedding that is not finite"):
        search_into(Guided(), world, tmp_path / "ranked", protocol="gallery-50", reid=reid, progress=False)
    assert files(tmp_path / "ranked") == {"work.json", "proposals"}


def test_models_that_are_for_something_else_are_refused(world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    with pytest.raises(InputError, match="Crops has no method encode_queries and no encode_scenes and no search_enc"):
        search_into(Crops(), world, folder, protocol="gallery-50")
    with pytest.raises(InputError, match=r"Guided has no method embed\. Give a re-ID network"):
        search_into(Guided(), world, folder, protocol="gallery-50", reid=Guided())
    with pytest.raises(InputError, match="no protocol 'galery'"):
        search_into(Guided(), world, folder, protocol="galery")
    with pytest.raises(InputError, match="keep is 0"):
        search_into(Guided(), world, folder, protocol="gallery-50", keep=0)
    assert not folder.exists()


def test_broken_image_stops_with_its_name(world_root: Path, tmp_path: Path) -> None:
    dataset = psbench_data.load("cuhk_sysu", root=shutil.copytree(world_root, tmp_path / "copy"))
    scenes, task = dataset.split("test"), dataset.protocol("gallery-50")
    broken = next(i for i in range(20, 54) if i not in task.queries.scenes)
    scenes[broken].path.write_bytes(scenes[broken].path.read_bytes()[:300])
    with pytest.raises(InputError, match=scenes[broken].name):
        search_into(Guided(), dataset, tmp_path / "predictions", protocol="gallery-50", progress=False)
    scenes[broken].path.unlink()
    with pytest.raises(InputError, match=r"this image is not there"):
        search_into(Guided(), dataset, tmp_path / "other", protocol="gallery-50", progress=False)


def test_training_goes_on_as_if_nothing_had_been(world: PersonSearchDataset) -> None:
    model, before = Guided().train(), torch.get_rng_state()
    with torch.autocast("cpu", torch.bfloat16):
        search(model, world, protocol="gallery-50", reid=Crops(), keep=3, workers=1, progress=False)
    assert model.training
    torch.testing.assert_close(torch.get_rng_state(), before)
