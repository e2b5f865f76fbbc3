"""The scripts of reproduce/, run as a user runs them."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from psbench.reproduction import Workspace
from psbench.zoo.weights import file_digest
from psbench_data import PersonSearchDataset
from tests.models.test_training import TINY

ROOT = Path(__file__).parent.parent


def _script(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "reproduce" / name), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_workspace_makes_everything_once(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, progress=False)
    first = workspace.measure("SeqNet", TINY, world, world.protocols)
    monkeypatch.setattr("psbench.training.train", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr("psbench.inference.predict_into", lambda *_, **__: pytest.fail("predicted again"))
    assert workspace.measure("SeqNet", TINY, world, world.protocols) == first
    assert first[0].synthetic
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        workspace.measure("SeqNet", TINY.override({"seed": 2}), world, world.protocols)


def test_workspace_goes_on_and_trains_what_a_recipe_starts_from(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = TINY.override({"schedule.epochs": 1})
    monkeypatch.setattr("psbench.reproduction.recipe_for", {"before": before}.__getitem__)
    recipe, workspace = TINY.override({"starts_from": "before"}), Workspace(tmp_path, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr("psbench.training.trainer.Trainer._finish", lambda _: pytest.fail("interrupted"))
        with pytest.raises(pytest.fail.Exception, match="interrupted"):
            workspace.run(recipe, world)
    run = workspace.run(recipe, world)
    first = workspace.run(before, world)
    assert (first.record.resumed, run.record.resumed) == (1, 0)
    assert run.record.started_from == file_digest(first.folder / "model.safetensors")


@pytest.mark.parametrize("name", ["table1.py", "table2.py", "table3.py", "table5.py", "gallery_curves.py"])
def test_scripts_explain_themselves(name: str, tmp_path: Path) -> None:
    shown = _script(name, "--help", cwd=tmp_path)
    assert "--demo" in shown.stdout
    refused = _script(name, "--data-root", "nowhere", cwd=tmp_path)
    assert refused.returncode == 1
    dataset = "prw" if name in ("table1.py", "table2.py", "table3.py") else "cuhk_sysu"
    assert f"nowhere/{dataset}: this folder does not exist" in refused.stderr
    assert f"DATA_ROOT/{dataset}" in shown.stdout
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_demo_has_learnt(tmp_path: Path) -> None:
    """The demo's promise: recall at least 0.75, and mAP at gallery 100 at least 0.35."""
    done = _script("demo.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    numbers = {
        line.split("  ")[1].strip(): line for line in done.stdout.splitlines() if line.endswith(" %") or "top-1" in line
    }
    value = {name: float(line.split("%")[0].split()[-1]) for name, line in numbers.items()}
    assert value["detection recall (score >= 0.5, IoU >= 0.5)"] >= 75
    assert value["mAP, gallery-100"] >= 35
    for name in ("table5.md", "table5.csv", "gallery_curves.png", "gallery_curves.csv", "ranking.html"):
        assert (tmp_path / "demo" / name).stat().st_size > 0


@pytest.mark.slow
def test_every_method_of_the_table_has_learnt(tmp_path: Path) -> None:
    """mAP at gallery 100 of all models that table 5 trains on drawn people; NAE+ half as much."""
    done = _script("table5.py", "--demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cells = pd.read_csv(tmp_path / "demo" / "table5.csv")
    measured = cells[cells["kind"] == "synthetic"].set_index("method")["map"]
    assert set(measured.index) == {"OIM", "NAE", "NAE+", "SeqNet", "GLCNet"}
    for method, value in measured.items():
        assert value >= (17.5 if method == "NAE+" else 35), method
