"""What the scripts of reproduce/ plan: each thing once, named by all that it depends on; what cannot be, and why."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from psbench import InputError
from psbench.reproduction import Cell, CostRow, MeasuredRow, Script, Workspace
from psbench.reproduction.jobs import Job, evaluation_of, network_of, prediction_of, protocol_digests
from psbench.reproduction.planning import Plan, Planner
from psbench.reproduction.tasks import Make
from psbench.training import recipe_for
from psbench.zoo.seqnet import SeqNetOptions
from psbench_data import PersonSearchDataset
from tests.conftest import SMALL_WORLD
from tests.tiny_script import CELLS, ROWS, TINY, tiny, write

RECIPE = recipe_for("seqnet-demo").override(TINY)


def plan(root: Path, rows: Any, cells: Any = CELLS, folder: Path = Path("nowhere"), **more: Any) -> Plan:
    return Planner(Workspace(folder), root).plan([Script(rows=rows, cells=cells, write=write, **more)])


def test_rows_share_a_network(world_root: Path) -> None:
    """SeqNet with and without CBGM are one training and one prediction, NAE on annotated boxes another prediction."""
    planned = plan(world_root.parent, ROWS)
    assert [job.network.recipe["model"] for job in planned.jobs] == ["seqnet", "nae"]
    seqnet, nae = planned.jobs
    [found] = seqnet.predictions
    assert found.context
    assert [(e.protocol, e.cbgm) for e in found.evaluations] == [
        (cell.protocol, cbgm) for cbgm in (False, True) for cell in CELLS
    ]
    assert [prediction.ground_truth_boxes for prediction in nae.predictions] == [False, True]
    assert not any(prediction.context for prediction in nae.predictions)
    names = {one.evaluation.name for one in planned.asked[0]}  # type: ignore[union-attr]
    assert len(names) == len(ROWS) * len(CELLS)


def test_scripts_share_a_network(world_root: Path) -> None:
    scripts = [Script(rows=ROWS[:1], cells=[cell], write=write) for cell in CELLS]
    together = Planner(Workspace(Path("nowhere")), world_root.parent).plan(scripts)
    assert len(together.jobs) == 1
    [prediction] = together.jobs[0].predictions
    assert len(prediction.evaluations) == 2
    assert [len(asked) for asked in together.asked] == [1, 1]


def test_what_a_result_depends_on_is_in_its_name(
    world: PersonSearchDataset, golden: PersonSearchDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of(RECIPE, world)
    assert network_of(RECIPE.override({"workers": 3}), world) != network
    assert network_of(RECIPE.override({"workers": 3}), world).name.endswith(network.name[-16:])
    others = [
        network_of(RECIPE.override({"seed": 5}), world),
        network_of(RECIPE, golden),
    ]
    with monkeypatch.context() as patch:
        patch.setattr("psbench.reproduction.jobs.RESULTS", 2)
        others.append(network_of(RECIPE, world))
    # The recipe says nothing of this option, whose default is another one now.
    assert "nms_thresh_test" not in RECIPE.model_options
    changed = dataclasses.make_dataclass(
        "Changed", [("nms_thresh_test", float, 0.3)], bases=(SeqNetOptions,), frozen=True, kw_only=True
    )
    monkeypatch.setattr("psbench.zoo.seqnet.SeqNet.options_type", changed)
    others.append(network_of(RECIPE, world))
    assert len({network.name[-16:], *(other.name[-16:] for other in others)}) == 5


def test_what_a_network_starts_from_is_in_its_name(world: PersonSearchDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for seed in (1, 2):
        before = RECIPE.override({"seed": seed})
        monkeypatch.setattr("psbench.reproduction.jobs.recipe_for", {"before": before}.__getitem__)
        network = network_of(RECIPE.override({"starts_from": "before"}), world)
        [start] = network.needs
        assert start == network_of(before, world)
        names.append(network.name)
    assert len(set(names)) == 2


def test_evaluations_are_named_by_protocol_and_procedure(world: PersonSearchDataset) -> None:
    network, digests = network_of(RECIPE, world), protocol_digests(world)
    ways: list[dict[str, Any]] = [{}, {"cbgm": True}, {"ground_truth_boxes": True}, {"keep": 5}, {"reid": network}]
    names = {
        evaluation_of(network, name, digests, **way).name for way in ways for name in ("gallery-50", "gallery-all")
    }
    assert len(names) == 2 * len(ways)
    # A gallery of other scenes under the same name is another one, and so are the predictions for its queries.
    other = digests | {"gallery-50": "another"}
    assert evaluation_of(network, "gallery-50", other).name not in names
    assert evaluation_of(network, "gallery-all", other).name in names
    assert prediction_of(network, other).name != prediction_of(network, digests).name


def test_recipes_are_for_the_datasets_that_their_names_say(world_root: Path) -> None:
    """{dataset} is every dataset; a recipe for one leaves the others' cells out, without a word."""
    row = MeasuredRow(method="PCNet", recipe="pcnet_ablation-prw", demo_recipe="pcnet-demo")
    assert not plan(world_root.parent, [row]).jobs
    row = MeasuredRow(method="PCNet", recipe="pcnet-{dataset}", demo_recipe="pcnet-demo")
    [job] = plan(world_root.parent, [row]).jobs
    assert job.network.recipe["name"] == "pcnet-cuhk_sysu"


def test_what_cannot_be_measured_is_said(world_root: Path) -> None:
    rows = [ROWS[0], MeasuredRow(method="GLCNet", recipe="glcnet-{dataset}", demo_recipe="glcnet-demo")]
    cells = [*CELLS, Cell("cuhk_sysu", "gallery-4000"), Cell("prw", "regular"), Cell("lsps", "regular")]
    planned = plan(world_root.parent, rows, cells)
    assert len(planned.asked[0]) == 4
    reasons = list(planned.impossible)
    assert any("no protocol 'gallery-4000', but gallery-50" in reason for reason in reasons)
    assert any(f"{world_root.parent / 'prw'}: this folder does not exist" in reason for reason in reasons)
    assert planned.impossible["psbench has no recipe glcnet-lsps"] == ["GLCNet on lsps, regular"]


def test_nothing_to_measure_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        plan(tmp_path, ROWS, [Cell("cuhk_sysu", "gallery-50"), Cell("prw", "regular")])
    assert error.value.faults == [f"{tmp_path / 'cuhk_sysu'}: this folder does not exist"]


def test_all_faults_are_told_at_once(world_root: Path) -> None:
    rows = [
        tiny("seqnet", "A"),
        dataclasses.replace(ROWS[0], changes={"model_options.min_siz": 3}),
        dataclasses.replace(ROWS[0], changes={"schedule.epoch": 3}),
        dataclasses.replace(ROWS[0], recipe="seqnet-dmo"),
    ]
    costs = [CostRow(method="B", recipe="pcnet-prwq", demo_recipe="pcnet-demo")]
    with pytest.raises(InputError) as error:
        plan(world_root.parent, rows, costs=costs)
    told = ("no option 'min_siz'", "no value 'schedule.epoch'", "no recipe 'seqnet-dmo'", "no recipe 'pcnet-prwq'")
    assert all(words in fault for words, fault in zip(told, error.value.faults, strict=True))


def test_a_network_that_others_need_is_made_first(world_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = RECIPE.override({"seed": 7})
    monkeypatch.setattr("psbench.reproduction.jobs.recipe_for", {"before": before}.__getitem__)
    row = dataclasses.replace(ROWS[0], changes=TINY | {"starts_from": "before"})
    start, job = plan(world_root.parent, [row]).jobs
    assert not start.predictions
    assert [network.name for network in job.needs] == [start.network.name]


def _searching(world_root: Path, rows: list[MeasuredRow], monkeypatch: pytest.MonkeyPatch) -> Job:
    """The job of a model that searches query by query."""
    monkeypatch.setattr("psbench.reproduction.planning._searches", lambda model: model == "seqnet")
    return plan(world_root.parent, rows).jobs[-1]


def _igpn(keep: Any, **more: Any) -> MeasuredRow:
    return MeasuredRow(method=f"IGPN {keep}", recipe="seqnet-demo", demo_recipe="seqnet-demo", keep=keep, **more)


def test_a_pairwise_model_searches_once(world_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All galleries, and keeps of each what is enough for every row."""
    rows = [_igpn({"gallery-50": keep, "gallery-all": 2 * keep}) for keep in (5, 10)]
    [search] = _searching(world_root, rows, monkeypatch).predictions
    assert search.kept == {"gallery-50": 10, "gallery-all": 20}
    assert [(e.protocol, e.keep) for e in search.evaluations] == [
        ("gallery-50", 5), ("gallery-all", 10), ("gallery-50", 10), ("gallery-all", 20),
    ]  # fmt: skip
    # Without a number, there are all; of the other gallery as many as before.
    [search] = _searching(world_root, [*rows, _igpn({"gallery-50": 3})], monkeypatch).predictions
    assert search.kept == {"gallery-50": 10, "gallery-all": None}


def test_rankings_are_of_the_one_search(world_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reid = {"reid": "reid_resnet50-demo", "reid_demo": "reid_resnet50-demo"}
    rows = [_igpn({"gallery-50": 4, "gallery-all": 8}, **reid), _igpn(6, **reid)]
    job = _searching(world_root, rows, monkeypatch)
    assert [prediction.kept for prediction in job.predictions] == [{"gallery-50": 6}, {"gallery-all": 8}]
    searches = [prediction.proposals for prediction in job.predictions]
    assert searches[0] == searches[1]
    assert searches[0] is not None
    assert searches[0].kept == {"gallery-50": 6, "gallery-all": 8}
    # The same one where the model's own similarities are asked for, too.
    both = _searching(world_root, [*rows, _igpn(5)], monkeypatch).predictions
    assert [prediction.reid is None for prediction in both] == [False, False, True]
    assert both[2].model_copy(update={"evaluations": ()}) == both[0].proposals == searches[0]
    assert Make(job=job).searches == 2


@pytest.mark.parametrize(
    ("there", "asked", "serves"),
    [
        ({"gallery-50": 5}, {"gallery-50": 5}, True),
        ({"gallery-50": 5, "gallery-all": 5}, {"gallery-all": 4}, True),
        ({"gallery-50": None, "gallery-all": 5}, {"gallery-50": 7}, True),
        ({"gallery-50": None}, {"gallery-50": None}, True),
        ({"gallery-50": 5}, {"gallery-50": 6}, False),
        ({"gallery-50": 5}, {"gallery-50": None}, False),
        ({"gallery-50": None}, {"gallery-50": 5, "gallery-all": 5}, False),
    ],
)
def test_a_search_serves_who_asks_for_less(
    world: PersonSearchDataset, there: dict[str, int | None], asked: dict[str, int | None], serves: bool
) -> None:
    network, digests = network_of(RECIPE, world), protocol_digests(world)
    made, wanted = (prediction_of(network, digests, kept=kept) for kept in (there, asked))
    assert wanted.served_by(made.pairwise_name) == serves


def test_demo_asks_every_dataset_of_one_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On drawn people a recipe is for whichever dataset is asked for; the data are made once."""
    worlds = {"cuhk_sysu": SMALL_WORLD, "prw": dataclasses.replace(SMALL_WORLD, walking=2)}
    monkeypatch.setattr("psbench.reproduction.demo.demo_world", worlds.__getitem__)
    row = dataclasses.replace(ROWS[0], recipe="seqnet-{dataset}")
    cells = [Cell("cuhk_sysu", "gallery-50"), Cell("prw", "regular")]
    planner = Planner(Workspace(tmp_path, progress=False), None)
    planned = planner.plan([Script(rows=[row], cells=cells, write=write)])
    assert [job.data.name for job in planned.jobs] == ["cuhk_sysu", "prw"]
    assert [job.network.recipe["dataset"] for job in planned.jobs] == ["cuhk_sysu", "prw"]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    assert Planner(Workspace(tmp_path), None).plan([Script(rows=[row], cells=cells, write=write)]).jobs == planned.jobs
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == written

    monkeypatch.setattr("psbench.reproduction.demo.demo_world", lambda _: dataclasses.replace(SMALL_WORLD, seed=3))
    with pytest.raises(InputError, match="not the people that this version draws"):
        Workspace(tmp_path).demo_dataset()
