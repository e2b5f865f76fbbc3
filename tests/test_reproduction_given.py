"""Weights that are given to the scripts of reproduce/: nothing is trained then."""

import dataclasses
import json
import shlex
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from psbench import InputError, evaluate
from psbench.cli import app
from psbench.cli_training import parsed_changes
from psbench.inference import predict
from psbench.reproduction import MeasuredRow, Workspace, run_script
from psbench.reproduction.given import given_weights
from psbench.training import recipe_for
from psbench.zoo.weights import WEIGHTS_FILE, describe, file_digest, read_info, save_weights
from tests.models.golden import Golden
from tests.tiny_plans import FEW, drawn, forbid, numbers_of, plan_of
from tests.tiny_script import CELLS, ROWS, TINY, write

_SMALL: dict[str, Any] = {"min_size": 64, "max_size": 96, "rpn_post_nms_top_n_test": 4}


def _digest_of(row: MeasuredRow) -> str:
    return recipe_for(row.recipe).override(row.changes).digest


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


def test_given_weights_need_no_training(
    golden: Golden, golden_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers are those that the same weights give by `predict` and `evaluate`."""
    forbid(monkeypatch, "psbench.training.train")
    few, workspace = drawn(tmp_path / "data", FEW), Workspace(tmp_path / "workspace", progress=False)
    given = given_weights(tmp_path / "released", tmp_path / "converted")
    rows = [dataclasses.replace(ROWS[0], recipe="seqnet-{dataset}", changes={}), ROWS[2]]
    plan = plan_of(workspace, few, rows=rows, given=given)
    [job] = plan.jobs
    [(reason, cells)] = plan.impossible.items()
    assert "no weights of nae-demo-changed. Put there, under any name, the RUN of `psbench train nae" in reason
    assert len(cells) == 2
    # The command trains what would be taken.
    words = shlex.split(reason.split("`")[1])
    changes = parsed_changes([value for option, value in pairwise(words) if option == "--set"])
    assert recipe_for(words[words.index("--recipe") + 1]).override(changes).digest == _digest_of(rows[1])
    workspace.carry_out(job)
    measured = numbers_of(plan, workspace)[0]
    assert measured.weights_digest == file_digest(golden_weights)
    assert (measured.recipe, measured.hardware, measured.seconds) == ("", "", None)
    assert "no recipe known" in measured.provenance
    model = golden.model(**_SMALL)
    direct = evaluate(predict(model, few, progress=False), few.protocol(CELLS[0].protocol))
    assert measured.map == pytest.approx(100 * direct.map)
    # Other weights under the same name are another network.
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    save_weights(model, golden_weights, read_info(golden_weights))
    assert plan_of(workspace, few, rows=rows, given=given).jobs[0].network.name != job.network.name


def test_own_runs_are_found_by_what_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed recipe's run, in a folder of any name."""
    few, trained = drawn(tmp_path / "data", FEW), Workspace(tmp_path / "trained", progress=False)
    run = trained.run(recipe_for("nae-demo").override(TINY), few)
    before = plan_of(trained, few, rows=ROWS[2:3])
    trained.carry_out(before.jobs[0])
    forbid(monkeypatch, "psbench.training.train")
    shutil.copytree(run.folder, tmp_path / "runs" / "a run of mine")
    workspace = Workspace(tmp_path / "workspace", progress=False)
    plan = plan_of(workspace, few, rows=ROWS[2:3], given=given_weights(tmp_path / "runs", tmp_path))
    [job] = plan.jobs
    workspace.carry_out(job)
    assert numbers_of(plan, workspace) == numbers_of(before, trained)


def test_without_any_weights_all_cells_stay_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = drawn(tmp_path / "data", FEW)
    (tmp_path / "nothing").mkdir()
    words = ["--data-root", few.root.parent, "--checkpoints", tmp_path / "nothing", "--output", tmp_path / "results"]
    for more in ([], ["--plan"]):
        monkeypatch.setattr("sys.argv", ["tiny", *map(str, words), *more])
        run_script("A table.", ROWS, CELLS, write)
        said = capsys.readouterr()
        where = said.out if more else said.err
        assert where.count("has no weights of seqnet-demo-changed. Put there") == 1
        assert where.count("has no weights of nae-demo-changed. Put there") == 1
    assert json.loads((tmp_path / "results" / "table.json").read_text()) == []


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
    # The command that is named where there is nothing makes what is taken.
    words = shlex.split(given.advice(recipe).split("`")[1])
    imported = CliRunner().invoke(app, [str(source) if word == "FILE" else word for word in words[1:]])
    assert imported.exit_code == 0, imported.output
    assert given.weights(recipe) == folder / "seqnet-cuhk_sysu" / WEIGHTS_FILE
    (folder / "seqnet-cuhk_sysu" / WEIGHTS_FILE).unlink()
    shutil.copy(source, folder / "seqnet-cuhk_sysu" / "model.pth")
    with pytest.raises(InputError, match="several checkpoints of seqnet-cuhk_sysu"):
        given.weights(recipe)
    with pytest.raises(InputError, match="does not exist"):
        given_weights(tmp_path / "nowhere", tmp_path)
