"""The scripts of reproduce/, run as a user runs them."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(
    path.name for path in (ROOT / "reproduce").glob("*.py") if "run_script" in path.read_text(encoding="utf-8")
)


def _script(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "reproduce" / name), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_there_is_a_script_for_every_table() -> None:
    assert {f"table{number}.py" for number in range(1, 14)} | {"all.py"} <= set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_explain_themselves(name: str, tmp_path: Path) -> None:
    shown = " ".join(_script(name, "--help", cwd=tmp_path).stdout.split())
    for option in ("--demo", "--data-root", "--checkpoints", "--policy", "--plan", "--jobs", "--output"):
        assert option in shown
    refused = _script(name, "--data-root", "nowhere", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr == "error: nowhere: this folder does not exist. Give the one of the datasets.\n"


def test_without_the_models_packages_a_script_says_what_to_install(tmp_path: Path) -> None:
    """And can still be asked what it does."""
    hidden = ("torch", "torchvision", "timm", "accelerate", "safetensors", "simplejpeg")
    program = f"""
import pathlib, runpy, sys
from psbench import doctor
there, hidden = doctor._version, {hidden}
doctor._version = lambda package: None if package in hidden else there(package)
sys.modules |= dict.fromkeys(hidden)
sys.argv = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    for arguments, status, said in (
        ("--help", 0, "--data-root"),
        ("--demo", 1, "error: models need torch, torchvision"),
    ):
        command = [sys.executable, "-c", program, str(ROOT / "reproduce" / "all.py"), arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stderr
        assert "Traceback" not in done.stderr


def test_a_script_names_the_datasets_that_are_not_there(tmp_path: Path) -> None:
    """All of them, if there is none."""
    refused = _script("table5.py", "--data-root", ".", cwd=tmp_path)
    assert refused.returncode == 1
    for dataset in ("cuhk_sysu", "prw"):
        assert f"{dataset}: this folder does not exist" in refused.stderr
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
    for name in ("table5.md", "table5.csv", "ranking.html"):
        assert (tmp_path / "demo" / name).stat().st_size > 0


@pytest.mark.slow
def test_every_method_of_the_table_has_learnt(tmp_path: Path) -> None:
    """mAP on CUHK-SYSU, gallery 100, of all models that table 5 trains on drawn people; NAE+ half as much."""
    done = _script("table5.py", "--demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cells = pd.read_csv(tmp_path / "demo" / "table5.csv")
    measured = cells[(cells["kind"] == "synthetic") & (cells["dataset"] == "CUHK-SYSU")].set_index("method")["map"]
    assert {"OIM", "NAE+"} <= set(measured.index)
    for method, value in measured.items():
        assert value >= (17.5 if method == "NAE+" else 35), method
