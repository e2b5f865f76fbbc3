"""The folder that scripts of reproduce/ work in: what is there is not made again, what is missing is."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from psbench import InputError, PairwisePredictions, zoo
from psbench.reporting.measured import Measured, MeasuredCost
from psbench.reproduction import MeasuredRow, Script, Workspace
from psbench.reproduction.jobs import Data, Job, cost_job, given_network
from psbench.reproduction.planning import Planner
from psbench.reproduction.script import Policy, works_to_do
from psbench.reproduction.tasks import Make
from psbench.reproduction.timing import time_job, timing_of
from psbench.training import Run, recipe_for
from psbench.training.card import CARD_FILE
from psbench.training.run import CHECKPOINTS
from psbench.zoo.weights import WEIGHTS_FILE, describe, file_digest, save_weights
from psbench_data import PersonSearchDataset
from tests.models.guided import assert_same
from tests.tiny_plans import FEW, drawn, forbid, numbers_of, plan_of
from tests.tiny_script import CELLS, ROWS, TINY, tiny, write

RECIPE = recipe_for("seqnet-demo").override(TINY)
NAE = recipe_for("nae-demo").override(TINY)
PROTOCOLS = [cell.protocol for cell in CELLS]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> PersonSearchDataset:
    """Drawn people, fewer than elsewhere."""
    return drawn(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def made(world: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """With everything that the tiny script asks for, made in this process."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"), progress=False)
    for job in plan_of(workspace, world).jobs:
        workspace.carry_out(job)
    return workspace


@pytest.fixture
def copy(made: Workspace, tmp_path: Path) -> Workspace:
    """The same, to be changed."""
    return Workspace(shutil.copytree(made.folder, tmp_path / "copy"), progress=False)


@pytest.fixture
def nothing_made(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, "psbench.training.train", "psbench.inference.predict_into")


def test_everything_is_measured(made: Workspace, world: PersonSearchDataset) -> None:
    plan = plan_of(made, world)
    assert not plan.missing(made)
    measured = numbers_of(plan, made)
    assert [(m.method, m.protocol) for m in measured] == [(r.method, c.protocol) for r in ROWS for c in CELLS]
    first = measured[0]
    run = Run.load(made.run_folder(plan.jobs[0].network))
    assert first.synthetic
    assert (first.dataset, first.fingerprint) == ("CUHK-SYSU", world.fingerprint)
    assert (first.recipe, first.recipe_digest) == (run.recipe.name, run.recipe.digest)
    assert first.weights_digest == file_digest(run.folder / WEIGHTS_FILE)
    assert (first.hardware, first.seconds) == (run.record.hardware, run.record.seconds)
    assert first.psbench
    assert "CBGM (k1 10, k2 3)" in measured[2].provenance
    assert "annotated boxes" in measured[-1].provenance
    assert measured[-1].map > 0
    assert measured[-1].map_low <= measured[-1].map <= measured[-1].map_high


@pytest.mark.usefixtures("nothing_made")
def test_what_is_there_is_not_made_again(
    made: Workspace, world: PersonSearchDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = numbers_of(plan_of(made, world), made)
    for job in plan_of(made, world).jobs:
        made.carry_out(job)
    assert numbers_of(plan_of(made, world), made) == before
    # By its digest, whatever it is called: the folder may have been asked by other scripts.
    assert [m.map for m in made.measure("another name", RECIPE, world, PROTOCOLS)] == [m.map for m in before[:2]]
    with pytest.raises(pytest.fail.Exception, match="train was called"):
        made.run(RECIPE.override({"seed": 3}), world)


@pytest.mark.usefixtures("nothing_made")
def test_a_run_that_was_stopped_in_the_end_is_completed(copy: Workspace, world: PersonSearchDataset) -> None:
    """As where the disk was full when its weights were there, but not its card."""
    folder = copy.run(RECIPE, world).folder
    (folder / CARD_FILE).unlink()
    (folder / CHECKPOINTS).mkdir()
    assert copy.run(RECIPE, world).folder == folder
    assert (folder / CARD_FILE).is_file()
    assert not (folder / CHECKPOINTS).exists()


def test_evaluations_outlive_what_they_were_made_of(
    copy: Workspace, world: PersonSearchDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = numbers_of(plan_of(copy, world), copy)
    shutil.rmtree(copy.folder / "runs")
    shutil.rmtree(copy.folder / "predictions")
    plan = plan_of(copy, world)
    assert not plan.missing(copy)
    assert numbers_of(plan, copy) == before
    # Without one of them, only its own network is needed again.
    (copy.folder / "evaluations" / f"{plan.asked[0][0].evaluation.name}.json").unlink()  # type: ignore[union-attr]
    assert [work.name for work in plan.missing(copy)] == [plan.jobs[0].network.name]


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize("damage", [b"", b"{}", b"not json"])
def test_a_result_that_cannot_be_read_is_made_again(copy: Workspace, world: PersonSearchDataset, damage: bytes) -> None:
    """Out of the predictions, which are there."""
    plan = plan_of(copy, world)
    before = numbers_of(plan, copy)
    for path in (copy.folder / "evaluations").iterdir():
        path.write_bytes(damage)
    assert numbers_of(plan, copy) == [None] * len(before)
    for job in plan.jobs:
        copy.carry_out(job)
    assert numbers_of(plan, copy) == before


@pytest.mark.usefixtures("nothing_made")
def test_predictions_with_context_serve_those_who_need_none(copy: Workspace, world: PersonSearchDataset) -> None:
    """The script asked SeqNet with and without CBGM; another one asks without."""
    shutil.rmtree(copy.folder / "evaluations")
    plan = plan_of(copy, world, rows=ROWS[:1])
    [job] = plan.jobs
    assert not job.predictions[0].context
    copy.carry_out(job)
    assert all(numbers_of(plan, copy))


def test_everything_is_made_anew_if_that_is_asked(copy: Workspace, world: PersonSearchDataset) -> None:
    plan = plan_of(copy, world, rows=ROWS[2:3])
    before = numbers_of(plan, copy)
    [work] = works_to_do(plan, copy, Policy.ALWAYS)
    assert isinstance(work, Make)
    folder = copy.run_folder(work.job.network)
    old = (folder / "run.json").stat().st_ino
    copy.carry_out(work.job)
    assert (folder / "run.json").stat().st_ino != old
    assert [_lasting(m) for m in numbers_of(plan, copy)] == [_lasting(m) for m in before]


def _lasting(measured: Measured) -> Measured:
    """What is the same again: the file's header has no order of its own."""
    return dataclasses.replace(measured, seconds=None, weights_digest="")


def test_policies(made: Workspace, world: PersonSearchDataset, tmp_path: Path) -> None:
    rows = [*ROWS, tiny("oim", "OIM")]
    plan = plan_of(made, world, rows=rows)
    [work] = works_to_do(plan, made, Policy.ONLY_MISSING)
    assert work.name == plan.jobs[-1].network.name
    assert len(works_to_do(plan, made, Policy.ALWAYS)) == 3
    assert all(work.job.anew for work in works_to_do(plan, made, Policy.ALWAYS))
    assert works_to_do(plan, made, Policy.ONLY_CACHE) == []
    with pytest.raises(InputError, match=plan.jobs[-1].network.name):
        works_to_do(plan, made, Policy.NEVER)
    assert works_to_do(plan_of(made, world), made, Policy.NEVER) == []


def test_it_goes_on_and_trains_what_a_recipe_starts_from(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = RECIPE.override({"schedule.epochs": 1, "schedule.milestones": []})
    monkeypatch.setattr("psbench.reproduction.jobs.recipe_for", {"before": before}.__getitem__)
    recipe, workspace = RECIPE.override({"starts_from": "before"}), Workspace(tmp_path, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr("psbench.training.trainer.Trainer._finish", lambda _: pytest.fail("interrupted"))
        with pytest.raises(pytest.fail.Exception, match="interrupted"):
            workspace.run(recipe, world)
    run = workspace.run(recipe, world)
    first = workspace.run(before, world)
    assert (first.record.resumed, run.record.resumed) == (1, 0)
    assert run.record.started_from == file_digest(first.folder / WEIGHTS_FILE)


@pytest.mark.parametrize("model", ["igpn", "reid_resnet50", "oim"])
def test_speed_is_found_out_of_models_of_every_kind(tmp_path: Path, model: str) -> None:
    recipe, path, few = recipe_for(f"{model}-demo"), tmp_path / WEIGHTS_FILE, drawn(tmp_path, FEW)
    made = zoo.create(model, num_identities=2, **recipe.model_options)
    save_weights(made, path, describe(made, model, num_identities=2, dataset="cuhk_sysu", method="fresh"))
    job = Job(
        network=given_network(recipe, few, path),
        data=Data(name=few.name, root=few.root, options={}),
    )
    workspace = Workspace(tmp_path / "workspace")
    assert timing_of(workspace, job) is None
    time_job(workspace, job)
    timing = timing_of(workspace, job)
    assert timing is not None
    assert timing.weights > 1e5
    assert (timing.samples, timing.training_rate) == (0, None)
    assert (timing.prediction_rate is None) == (model == "reid_resnet50")
    assert (timing.pair_rate is None) == (model != "igpn")


def test_costs_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path, progress=False)
    job = cost_job(recipe_for("seqnet-demo"), (64, 96))
    workspace.measure_cost(job)
    found = workspace.cost(job)
    assert found is not None
    cost = MeasuredCost.of(found, method="SeqNet", synthetic=True, row=3)
    assert (cost.input_max, cost.row, cost.kind) == ("96x64", 3, "synthetic")
    assert cost.params_m == found.parameters / 1e6
    assert cost.speed_fps == found.sizes[0].alone.images_per_second
    assert "not comparable" in cost.provenance
    forbid(monkeypatch, "psbench.efficiency.measuring.measure")
    workspace.measure_cost(job)
    assert cost_job(recipe_for("seqnet-demo"), (64, 97)).name != job.name
    assert json.loads((tmp_path / "costs" / f"{job.name}.json").read_text())["model"] == "seqnet"


def test_one_search_serves_all_who_rank_what_it_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IGPN alone and with a re-ID network that also learns from a detector's boxes, at two numbers of proposals."""
    short = {"schedule.epochs": 1, "schedule.milestones": [], "batch_size": 2}
    tiny_recipes = {
        "igpn-demo": recipe_for("igpn-demo").override(short),
        "reid_resnet50-demo": recipe_for("reid_resnet50-demo").override(short | {"detections_from": "oim-demo"}),
        "oim-demo": recipe_for("oim-demo").override(TINY),
    }
    for module in ("jobs", "planning"):
        monkeypatch.setattr(f"psbench.reproduction.{module}.recipe_for", tiny_recipes.__getitem__)
    alone = MeasuredRow(method="IGPN", recipe="igpn-demo", demo_recipe="igpn-demo", keep=6)
    ranked = dataclasses.replace(alone, reid="reid_resnet50-demo", reid_demo="reid_resnet50-demo", keep=3)
    rows = [alone, ranked, dataclasses.replace(ranked, keep=2)]
    few, workspace = drawn(tmp_path, FEW), Workspace(tmp_path / "workspace", progress=False)
    plan = plan_of(workspace, few, rows=rows)
    names = {job.network.recipe["model"]: job.network.name for job in plan.jobs}
    assert list(names) == ["oim", "reid_resnet50", "igpn"]
    needs = [{network.name for network in job.needs} for job in plan.jobs]
    assert needs == [set(), {names["oim"]}, {names["reid_resnet50"]}]
    for job in plan.jobs:
        workspace.carry_out(job)
    assert not plan.missing(workspace)
    measured = numbers_of(plan, workspace)
    assert [(m.keep, "ranked by" in m.procedure) for m in measured] == 2 * [(6, False)] + 2 * [(3, True)] + 2 * [
        (2, True)
    ]
    made = [path.name for path in (workspace.folder / "predictions").iterdir()]
    assert f"{names['oim']}-train" in made
    # One search of both protocols that keeps enough for all, and of each protocol one ranking.
    of_igpn = sorted(name.removeprefix(names["igpn"])[18:] for name in made if name.startswith(names["igpn"]))
    assert of_igpn == ["gallery-50-3", "gallery-50-6+gallery-all-6", "gallery-all-3"]
    assert Run.load(workspace.run_folder(plan.jobs[1].network)).record.detections is not None
    _numbers_are_those_of_single_searches(workspace, few, rows, monkeypatch)


def _numbers_are_those_of_single_searches(
    workspace: Workspace, few: PersonSearchDataset, rows: list[MeasuredRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same networks, each protocol in a folder of its own; where both are there, none is searched again."""
    measured = numbers_of(plan_of(workspace, few, rows=rows), workspace)
    for column, cell in enumerate(CELLS):
        other = Workspace(workspace.folder.with_name(cell.protocol), progress=False)
        shutil.copytree(workspace.folder / "runs", other.folder / "runs")
        plan = Planner(other, few.root.parent).plan([Script(rows=rows, cells=[cell], write=write)])
        for job in plan.jobs:
            other.carry_out(job)
        folders = sorted((other.folder / "predictions").glob(f"igpn-*-{cell.protocol}-*"))
        assert sorted(path.name[-2:] for path in folders) == ["-3", "-6"]
        # The ranking has the same name in both.
        [ranked] = (path for path in folders if path.name.endswith("-3"))
        both = (PairwisePredictions.load(one.folder / "predictions" / ranked.name) for one in (workspace, other))
        assert_same(*both)
        assert numbers_of(plan, other) == measured[column :: len(CELLS)]
    forbid(monkeypatch, "psbench.inference.search_into")
    shutil.rmtree(workspace.folder / "evaluations")
    plan = Planner(workspace, few.root.parent).plan([Script(rows=rows, cells=CELLS[1:], write=write)])
    assert plan.missing(workspace)
    for job in plan.jobs:
        workspace.carry_out(job)
    assert numbers_of(plan, workspace) == measured[1::2]
