"""The folder that scripts of reproduce/ work in: what is there is not made again, what is missing is."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from psbench import InputError
from psbench.reporting.measured import Measured, MeasuredCost
from psbench.reproduction import Script, Workspace
from psbench.reproduction.given import given_weights
from psbench.reproduction.jobs import cost_job
from psbench.reproduction.planning import Plan, Planner
from psbench.reproduction.script import Policy, works_to_do
from psbench.reproduction.tasks import Make
from psbench.training import Run, recipe_for
from psbench.zoo.weights import WEIGHTS_FILE, describe, file_digest, read_info, save_weights
from psbench_data import PersonSearchDataset, load
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from tests.models.golden import Golden
from tests.tiny_script import CELLS, ROWS, TINY, WORLD, tiny, write

RECIPE = recipe_for("seqnet-demo").override(TINY)
NAE = recipe_for("nae-demo").override(TINY)
PROTOCOLS = [cell.protocol for cell in CELLS]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> PersonSearchDataset:
    """Drawn people, fewer than elsewhere."""
    root = tmp_path_factory.mktemp("data") / "cuhk_sysu"
    write_cuhk_sysu(WORLD, root)
    return load("cuhk_sysu", root=root)


@pytest.fixture(scope="module")
def made(world: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """With everything that the tiny script asks for, made in this process."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"), progress=False)
    for job in _plan(workspace, world).jobs:
        workspace.carry_out(job)
    return workspace


@pytest.fixture
def copy(made: Workspace, tmp_path: Path) -> Workspace:
    """The same, to be changed."""
    return Workspace(shutil.copytree(made.folder, tmp_path / "copy"), progress=False)


@pytest.fixture
def nothing_made(monkeypatch: pytest.MonkeyPatch) -> None:
    _forbid(monkeypatch, "psbench.training.train", "psbench.inference.predict_into")


def _forbid(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(name, lambda *_, name=name, **__: pytest.fail(f"{name} was called"))


def _plan(workspace: Workspace, world: PersonSearchDataset, rows: Any = ROWS, **more: Any) -> Plan:
    script = Script(rows=rows, cells=CELLS, write=write)
    return Planner(workspace, world.root.parent, **more).plan([script])


def _numbers(plan: Plan, workspace: Workspace) -> list[Any]:
    return [one.measured(workspace) for one in plan.asked[0]]


def test_everything_is_measured(made: Workspace, world: PersonSearchDataset) -> None:
    plan = _plan(made, world)
    assert not plan.missing(made)
    measured = _numbers(plan, made)
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
    before = _numbers(_plan(made, world), made)
    for job in _plan(made, world).jobs:
        made.carry_out(job)
    assert _numbers(_plan(made, world), made) == before
    # By its digest, whatever it is called: the folder may have been asked by other scripts.
    assert [m.map for m in made.measure("another name", RECIPE, world, PROTOCOLS)] == [m.map for m in before[:2]]
    with pytest.raises(pytest.fail.Exception, match="train was called"):
        made.run(RECIPE.override({"seed": 3}), world)


def test_evaluations_outlive_what_they_were_made_of(
    copy: Workspace, world: PersonSearchDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _numbers(_plan(copy, world), copy)
    shutil.rmtree(copy.folder / "runs")
    shutil.rmtree(copy.folder / "predictions")
    plan = _plan(copy, world)
    assert not plan.missing(copy)
    assert _numbers(plan, copy) == before
    # Without one of them, only its own network is needed again.
    (copy.folder / "evaluations" / f"{plan.asked[0][0].evaluation.name}.json").unlink()  # type: ignore[union-attr]
    assert [work.name for work in plan.missing(copy)] == [plan.jobs[0].network.name]


@pytest.mark.usefixtures("nothing_made")
@pytest.mark.parametrize("damage", [b"", b"{}", b"not json"])
def test_a_result_that_cannot_be_read_is_made_again(copy: Workspace, world: PersonSearchDataset, damage: bytes) -> None:
    """Out of the predictions, which are there."""
    plan = _plan(copy, world)
    before = _numbers(plan, copy)
    for path in (copy.folder / "evaluations").iterdir():
        path.write_bytes(damage)
    assert _numbers(plan, copy) == [None] * len(before)
    for job in plan.jobs:
        copy.carry_out(job)
    assert _numbers(plan, copy) == before


@pytest.mark.usefixtures("nothing_made")
def test_predictions_with_context_serve_those_who_need_none(copy: Workspace, world: PersonSearchDataset) -> None:
    """The script asked SeqNet with and without CBGM; another one asks without."""
    shutil.rmtree(copy.folder / "evaluations")
    plan = _plan(copy, world, rows=ROWS[:1])
    [job] = plan.jobs
    assert not job.predictions[0].context
    copy.carry_out(job)
    assert all(_numbers(plan, copy))


def test_everything_is_made_anew_if_that_is_asked(copy: Workspace, world: PersonSearchDataset) -> None:
    plan = _plan(copy, world, rows=ROWS[2:3])
    before = _numbers(plan, copy)
    [work] = works_to_do(plan, copy, Policy.ALWAYS)
    assert isinstance(work, Make)
    folder = copy.run_folder(work.job.network)
    old = (folder / "run.json").stat().st_ino
    copy.carry_out(work.job)
    assert (folder / "run.json").stat().st_ino != old
    assert [_lasting(m) for m in _numbers(plan, copy)] == [_lasting(m) for m in before]


def _lasting(measured: Measured) -> Measured:
    """What is the same again: the file's header has no order of its own."""
    return dataclasses.replace(measured, seconds=None, weights_digest="")


def test_policies(made: Workspace, world: PersonSearchDataset, tmp_path: Path) -> None:
    rows = [*ROWS, tiny("oim", "OIM")]
    plan = _plan(made, world, rows=rows)
    [work] = works_to_do(plan, made, Policy.ONLY_MISSING)
    assert work.name == plan.jobs[-1].network.name
    assert len(works_to_do(plan, made, Policy.ALWAYS)) == 3
    assert all(work.job.anew for work in works_to_do(plan, made, Policy.ALWAYS))
    assert works_to_do(plan, made, Policy.ONLY_CACHE) == []
    with pytest.raises(InputError, match=plan.jobs[-1].network.name):
        works_to_do(plan, made, Policy.NEVER)
    assert works_to_do(_plan(made, world), made, Policy.NEVER) == []


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


_SMALL: dict[str, Any] = {"min_size": 64, "max_size": 96, "rpn_post_nms_top_n_test": 4}


@pytest.fixture(scope="module")
def golden() -> Golden:
    """SeqNet with weights that are made up, which takes a while."""
    return Golden("seqnet")


@pytest.fixture
def golden_weights(golden: Golden, tmp_path: Path) -> Path:
    """The weights as `psbench import-weights` leaves them, for small images."""
    model = golden.model(**_SMALL)
    path = tmp_path / "released" / "seqnet-cuhk_sysu" / WEIGHTS_FILE
    path.parent.mkdir(parents=True)
    count = len(model.state_dict()["oim.table"])
    save_weights(model, path, describe(model, "seqnet", num_identities=count, dataset="cuhk_sysu", method="golden"))
    return path


@pytest.fixture
def few(tmp_path: Path) -> PersonSearchDataset:
    """Six test scenes, as much as a whole network can look at in a test."""
    world = dataclasses.replace(WORLD, test_scenes=6, test_identities=3, gallery_entries=(3,))
    write_cuhk_sysu(world, tmp_path / "data" / "cuhk_sysu")
    return load("cuhk_sysu", root=tmp_path / "data" / "cuhk_sysu")


def test_given_weights_need_no_training(
    golden: Golden, golden_weights: Path, few: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers are those that the same weights give by `predict` and `evaluate`."""
    from psbench import evaluate
    from psbench.inference import predict

    _forbid(monkeypatch, "psbench.training.train")
    workspace = Workspace(tmp_path / "workspace", progress=False)
    given = given_weights(tmp_path / "released", tmp_path / "converted")
    rows = [dataclasses.replace(ROWS[0], recipe="seqnet-{dataset}", changes={}), ROWS[2]]
    plan = _plan(workspace, few, rows=rows, given=given)
    [job] = plan.jobs
    [(reason, cells)] = plan.impossible.items()
    assert "no weights of nae-demo-changed, expected as a run of" in reason
    assert len(cells) == 2
    workspace.carry_out(job)
    measured = _numbers(plan, workspace)[0]
    assert measured.weights_digest == file_digest(golden_weights)
    assert (measured.recipe, measured.hardware, measured.seconds) == ("", "", None)
    assert "no recipe known" in measured.provenance
    model = golden.model(**_SMALL)
    direct = evaluate(predict(model, few, progress=False), few.protocol(PROTOCOLS[0]))
    assert measured.map == pytest.approx(100 * direct.map)
    # Other weights under the same name are another network.
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    save_weights(model, golden_weights, read_info(golden_weights))
    assert _plan(workspace, few, rows=rows, given=given).jobs[0].network.name != job.network.name


def test_own_runs_are_found_by_what_was_trained(
    made: Workspace, world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed recipe's run, in a folder of any name."""
    _forbid(monkeypatch, "psbench.training.train")
    [network] = [job.network for job in _plan(made, world).jobs if job.network.recipe["model"] == "nae"]
    shutil.copytree(made.run_folder(network), tmp_path / "runs" / "a run of mine")
    workspace = Workspace(tmp_path / "workspace", progress=False)
    plan = _plan(workspace, world, rows=ROWS[2:3], given=given_weights(tmp_path / "runs", tmp_path))
    [job] = plan.jobs
    workspace.carry_out(job)
    trained = _numbers(_plan(made, world, rows=ROWS[2:3]), made)
    assert _numbers(plan, workspace) == trained


def test_released_files_are_converted(golden: Golden, tmp_path: Path) -> None:
    state = {name: torch.from_numpy(np.array(value)) for name, value in golden.state_dict.items()}
    folder, source = tmp_path / "released", tmp_path / "released" / "seqnet-cuhk_sysu.pth"
    folder.mkdir()
    recipe, given = recipe_for("seqnet-cuhk_sysu"), given_weights(folder, tmp_path / "converted")
    assert given.weights(recipe) is None
    torch.save({"model": state}, source)
    path = given.weights(recipe)
    assert path is not None
    assert (read_info(path).model, read_info(path).source_sha256) == ("seqnet", file_digest(source))
    # Not a name of what it holds: its identity table says so.
    shutil.copy(source, folder / "seqnet-prw.pth")
    with pytest.raises(InputError, match="identity table has 5532 rows"):
        given.weights(recipe_for("seqnet-prw"))
    (folder / "seqnet-cuhk_sysu").mkdir()
    shutil.copy(source, folder / "seqnet-cuhk_sysu" / "model.pth")
    with pytest.raises(InputError, match="several checkpoints of seqnet-cuhk_sysu"):
        given.weights(recipe)
    with pytest.raises(InputError, match="does not exist"):
        given_weights(tmp_path / "nowhere", tmp_path)


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
    _forbid(monkeypatch, "psbench.efficiency.measuring.measure")
    workspace.measure_cost(job)
    assert cost_job(recipe_for("seqnet-demo"), (64, 97)).name != job.name
    assert json.loads((tmp_path / "costs" / f"{job.name}.json").read_text())["model"] == "seqnet"
