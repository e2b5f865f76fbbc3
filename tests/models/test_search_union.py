"""One search of several protocols: to each of them the same as a search of its own, and no pair is searched twice."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import psbench
import psbench_data
from psbench import InputError, PairwisePredictions
from psbench.inference import rescore_into, search, search_into
from psbench.inference.search_cost import read_cost
from psbench_data import PersonSearchDataset
from psbench_data.synthetic.formats import write
from tests.conftest import SMALL_WORLD
from tests.models.guided import ANNA, Crops, Guided, assert_same, one_by_one, own_data, proposals_of
from tests.models.small import SMALL

NAMES = {"cuhk_sysu": ("gallery-50", "gallery-100", "gallery-500"), "prw": ("multi-view", "same-camera", "mini")}
"""One's galleries lie in one another; the other's are of different queries, and two have no scene in common."""
WORLDS = {
    "cuhk_sysu": dataclasses.replace(SMALL_WORLD, gallery_entries=(6, 12, 24)),
    "prw": dataclasses.replace(SMALL_WORLD, test_scenes=24, test_identities=14, places=3),
}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psbench.inference.pairing.PIECE_PAIRS", 50)
    monkeypatch.setattr("psbench.inference.rescoring.PIECE_CROPS", 300)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PersonSearchDataset]:
    folder = tmp_path_factory.mktemp("data")
    for name, spec in WORLDS.items():
        write(name, spec, folder / name)
    return {name: psbench_data.load(name, root=folder / name) for name in WORLDS}


@pytest.fixture(params=list(NAMES))
def dataset(request: pytest.FixtureRequest, datasets: dict[str, PersonSearchDataset]) -> PersonSearchDataset:
    return datasets[request.param]


@functools.cache
def alone(dataset: PersonSearchDataset, protocol: str) -> PairwisePredictions:
    """What a search of one protocol finds."""
    return search(Guided(), dataset, protocol=protocol, progress=False)


@functools.cache
def together(dataset: PersonSearchDataset) -> PairwisePredictions:
    """What one search of all of them finds."""
    return search(Guided(), dataset, protocol=NAMES[dataset.name], progress=False)


@pytest.fixture
def cuhk(datasets: dict[str, PersonSearchDataset]) -> PersonSearchDataset:
    return datasets["cuhk_sysu"]


@pytest.fixture
def prw(datasets: dict[str, PersonSearchDataset]) -> PersonSearchDataset:
    return datasets["prw"]


def pairs_of(dataset: PersonSearchDataset, protocol: str) -> set[tuple[str, bytes, int]]:
    """Of the queries' scenes and boxes with scenes, one by one."""
    task = dataset.protocol(protocol)
    return {
        (query.scene, query.box.tobytes(), scene)
        for q, query in enumerate(task.queries)
        for scene in np.flatnonzero(task.searched(q)).tolist()
    }


def pairs_in(found: PairwisePredictions, dataset: PersonSearchDataset) -> list[tuple[str, bytes, int]]:
    """Those that predictions list."""
    positions = dataset.split("test").positions
    return [
        (found.query_scenes[q], found.query_boxes[q].tobytes(), positions[found.scene_names[s]])
        for q, s in zip(found.pair_queries, found.pair_scenes, strict=True)
    ]


def test_each_protocol_finds_what_a_search_of_its_own_does(dataset: PersonSearchDataset) -> None:
    names, model = NAMES[dataset.name], Guided()
    found = search(model, dataset, protocol=names, progress=False)
    wanted = [pairs_of(dataset, name) for name in names]
    pairs = pairs_in(found, dataset)
    assert set(pairs) == set.union(*wanted)
    assert len(pairs) == len(set(pairs)) == model.asked["pairs"] < sum(map(len, wanted))
    assert model.asked["queries"] == found.num_queries == len({pair[:2] for pair in pairs})
    for name in names:
        of_it = found.within(dataset.protocol(name))
        assert_same(of_it, alone(dataset, name))
        by_hand = one_by_one(Guided(), dataset, name)
        assert [proposals_of(of_it, q, dataset) for q in range(of_it.num_queries)] == by_hand


def test_order_of_protocols_does_not_matter(prw: PersonSearchDataset, tmp_path: Path) -> None:
    first, second = (
        search_into(Guided(), prw, tmp_path / str(i), protocol=names, progress=False)
        for i, names in enumerate((["multi-view", "mini"], ("mini", "multi-view", "mini")))
    )
    assert_same(PairwisePredictions.load(first), PairwisePredictions.load(second))


@pytest.mark.parametrize("protocol", ["gallery-50", ["gallery-50"]])
def test_one_protocol_is_searched_as_ever(cuhk: PersonSearchDataset, protocol: str | list[str]) -> None:
    found = search(Guided(), cuhk, protocol=protocol, keep=5, progress=False)
    whole = search(Guided(), cuhk, protocol="gallery-50", progress=False)
    assert_same(found, whole.keep(5))
    assert_same(whole.within(cuhk.protocol("gallery-50")), whole)


def test_igpn_finds_the_same_to_the_bit(cuhk: PersonSearchDataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    igpn = psbench.zoo.create("igpn", num_identities=6, **SMALL["igpn"])
    own = own_data(cuhk, tmp_path / "own", [ANNA, ANNA | {"image_id": 7, "bbox": [48, 29, 16, 40]}])
    names = ("gallery-2", "gallery-5", "regular")
    how = {"queries_at_once": 1, "progress": False}
    found = search(igpn, own, protocol=names, **how)
    for name in names:
        expected = search(igpn, own, protocol=name, **how)
        assert_same(found.within(own.protocol(name)), expected)
        assert len(expected.boxes)
    assert len(found.pair_queries) == len(set.union(*(pairs_of(own, name) for name in names)))


@pytest.mark.parametrize("at_once", [2**23, 100])
def test_what_any_protocol_keeps_is_kept(
    dataset: PersonSearchDataset, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pieces are put together at once; nothing else is, and all pairs stay listed."""
    monkeypatch.setattr("psbench.inference.search_pieces._BOXES_AT_ONCE", at_once)
    names = NAMES[dataset.name]
    every = together(dataset)
    fewer = dict(zip(names, (3, None, 2), strict=False))
    for keep in (3, fewer):
        of_each = keep if isinstance(keep, dict) else dict.fromkeys(names, keep)
        found = search(Guided(), dataset, protocol=names, keep=keep, progress=False)
        assert pairs_in(found, dataset) == pairs_in(every, dataset)
        wanted = [set() for _ in range(found.num_queries)]
        known = {key: q for q, key in enumerate(zip(found.query_scenes, map(bytes, found.query_boxes), strict=True))}
        for name in names:
            task, n = dataset.protocol(name), of_each[name]
            expected, of_it = (
                some if n is None else some.keep(n) for some in (alone(dataset, name), found.within(task))
            )
            assert_same(of_it, expected)
            for q, key in enumerate(zip(expected.query_scenes, map(bytes, expected.query_boxes), strict=True)):
                wanted[known[key]] |= set(proposals_of(expected, q, dataset))
        assert [set(proposals_of(found, q, dataset)) for q in range(found.num_queries)] == wanted
        assert len(found.boxes) == sum(map(len, wanted)) < len(every.boxes)


@pytest.mark.parametrize("keep", [None, 1, 4])
def test_evaluation_is_that_of_a_search_of_its_own(dataset: PersonSearchDataset, keep: int | None) -> None:
    """What other galleries have is not ranked, and is not among the best that are kept."""
    found, others = together(dataset), 0
    tasks = [dataset.protocol(name) for name in NAMES[dataset.name]]
    for task, evaluation in zip(tasks, psbench.evaluate_all(found, tasks, keep=keep), strict=True):
        of_it = alone(dataset, task.name)
        expected = psbench.evaluate(of_it if keep is None else of_it.keep(keep), task)
        pd.testing.assert_frame_equal(evaluation.per_query, expected.per_query)
        np.testing.assert_equal(evaluation.map, expected.map)
        others += keep is not None and len(found.keep(keep).within(task).boxes) < len(of_it.keep(keep).boxes)
    # They would be, if the best of all were chosen before.
    assert others or keep is None


@pytest.mark.parametrize(("dataset", "keep"), [("cuhk_sysu", None), ("cuhk_sysu", 6), ("prw", 3)], indirect=["dataset"])
def test_ranking_of_a_protocol_is_that_of_its_own_search(
    dataset: PersonSearchDataset, keep: int | None, tmp_path: Path
) -> None:
    found = together(dataset).save(tmp_path / "together")
    for name in NAMES[dataset.name]:
        own = search_into(Guided(), dataset, tmp_path / name, protocol=name, keep=keep, progress=False)
        expected = rescore_into(Crops(), dataset, tmp_path / f"{name}-ranked", proposals=own, progress=False)
        folder, reid = tmp_path / f"{name}-of-all", Crops()
        rescore_into(reid, dataset, folder, proposals=found, protocol=name, keep=keep, progress=False)
        ranked = PairwisePredictions.load(folder)
        assert_same(ranked, PairwisePredictions.load(expected))
        # The queries of this protocol and its proposals, and no others.
        assert reid.asked == ranked.num_queries + len(ranked.boxes)


def test_search_and_ranking_in_one_go(cuhk: PersonSearchDataset) -> None:
    """What any protocol keeps is ranked."""
    names = NAMES["cuhk_sysu"]
    found = search(Guided(), cuhk, protocol=names, keep=3, reid=Crops(), progress=False)
    for name in names:
        expected = search(Guided(), cuhk, protocol=name, keep=3, reid=Crops(), progress=False)
        assert_same(found.within(cuhk.protocol(name)).keep(3), expected)


def test_ranking_of_galleries_that_were_not_searched_is_refused(
    cuhk: PersonSearchDataset, prw: PersonSearchDataset, tmp_path: Path
) -> None:
    found = search_into(Guided(), cuhk, tmp_path / "found", protocol="gallery-50", progress=False)
    how = {"proposals": found, "progress": False}
    with pytest.raises(InputError, match=r"found: no search of all of gallery-500: query 0 .* was not searched in"):
        rescore_into(Crops(), cuhk, tmp_path / "ranked", protocol="gallery-500", **how)
    with pytest.raises(InputError, match=r"no protocol 'galery-50'"):
        rescore_into(Crops(), cuhk, tmp_path / "ranked", protocol="galery-50", **how)
    with pytest.raises(InputError, match=r"found: no search of all of mini: dataset is 'cuhk_sysu', expected 'prw'"):
        rescore_into(Crops(), prw, tmp_path / "ranked", protocol="mini", **how)
    mini = search_into(Guided(), prw, tmp_path / "mini", protocol="mini", progress=False)
    with pytest.raises(InputError, match=r"no search of all of multi-view: query \d+ .* is not among those"):
        rescore_into(Crops(), prw, tmp_path / "ranked", proposals=mini, protocol="multi-view", progress=False)
    assert not (tmp_path / "ranked").exists()


@pytest.mark.parametrize("keep", [None, 5, {"gallery-50": 3, "gallery-500": 6}])
def test_interrupted_search_is_continued(cuhk: PersonSearchDataset, tmp_path: Path, keep: int | None) -> None:
    folder, names = tmp_path / "predictions", NAMES["cuhk_sysu"]
    expected = search(Guided(), cuhk, protocol=names, keep=keep, progress=False)
    with pytest.raises(RuntimeError, match="out of memory"):
        search_into(Guided(dies_after=100), cuhk, folder, protocol=names, keep=keep, progress=False)
    # Other galleries, or other numbers, are other work.
    for other, kept in ((names[:1], None), ((*names[:2], "gallery-all"), 5), (names, {"gallery-50": 4})):
        with pytest.raises(InputError, match=r"holds the beginning of other predictions"):
            search_into(Guided(), cuhk, folder, protocol=other, keep=kept, progress=False)
    again = Guided()
    search_into(again, cuhk, folder, protocol=names[::-1], keep=keep, queries_at_once=2, progress=False)
    assert_same(PairwisePredictions.load(folder), expected)
    count = len(expected.pair_queries)
    assert count - 100 <= again.asked["pairs"] <= count - 100 + 60
    assert read_cost(folder).pairs == count


def test_ranking_of_another_protocol_is_another_one(cuhk: PersonSearchDataset, tmp_path: Path) -> None:
    class Dying(Crops):
        def embed(self, *_: object) -> list[torch.Tensor]:
            raise RuntimeError("out of memory")

    names = NAMES["cuhk_sysu"]
    found = search_into(Guided(), cuhk, tmp_path / "found", protocol=names, progress=False)
    how = {"proposals": found, "keep": 3, "progress": False}
    dying = Dying()
    with pytest.raises(RuntimeError, match="out of memory"):
        rescore_into(dying, cuhk, tmp_path / "ranked", protocol=names[0], **how)
    for other in (None, names[1]):
        with pytest.raises(InputError, match=r"beginning of other predictions \(protocol differ\)"):
            rescore_into(dying, cuhk, tmp_path / "ranked", protocol=other, **how)


def test_what_cannot_be_searched_is_told_at_once(cuhk: PersonSearchDataset, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    with pytest.raises(InputError) as error:
        search_into(Guided(), cuhk, folder, protocol=["galery-50", "gallery-50", "galery-all"])
    assert [name in fault for name, fault in zip(("'galery-50'", "'galery-all'"), error.value.faults, strict=True)]
    with pytest.raises(InputError, match=r"no protocol is given to search\. Name at least one of gallery-50"):
        search_into(Guided(), cuhk, folder, protocol=[])
    with pytest.raises(InputError, match="keep is 0"):
        search_into(Guided(), cuhk, folder, protocol=["gallery-50", "gallery-500"], keep={"gallery-500": 0})
    with pytest.raises(InputError, match=r"keep: galery-50: not searched"):
        search_into(Guided(), cuhk, folder, protocol=["gallery-50", "gallery-500"], keep={"galery-50": 3})
    assert not folder.exists()
