"""`psbench doctor`: an installation that works is called well, and every breakage is named with what to do."""

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from typer.testing import CliRunner

import psbench.doctor as doctor
from psbench import InputError
from psbench.cli import app

Patch = pytest.MonkeyPatch


def _with_versions(patch: Patch, **changed: str | None) -> None:
    """As if packages were of other versions, or (None) not there."""

    def said(package: str) -> str:
        found = changed[package] if package in changed else version(package)
        if found is None:
            raise PackageNotFoundError(package)
        return found

    patch.setattr(doctor, "version", said)


def _with_import(patch: Patch, name: str, error: Exception) -> None:
    """As if a package could not be loaded."""
    load = doctor.import_module

    def said(module: str) -> Any:
        if module == name:
            raise error
        return load(module)

    patch.setattr(doctor, "import_module", said)


def _only(problems: list[str], words: str) -> str:
    """The one problem in which words are, and no other is there."""
    assert [words in problem for problem in problems] == [True], problems
    return problems[0]


def test_this_installation_is_well() -> None:
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == 0, shown.output
    for words in ("fit together", version("torch"), "cores", "GiB free", "Nothing is broken."):
        assert words in shown.output
    told = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).output)
    assert told["ok"] is True
    assert told["packages"]["numpy"] == version("numpy")
    assert {"system", "packages", "devices", "models", "folders"} <= told.keys()


def test_without_models_it_is_well_and_says_how_to_get_them(monkeypatch: Patch) -> None:
    zoo = dict.fromkeys(("torch", "torchvision", "timm", "accelerate", "safetensors", "psutil"))
    _with_versions(monkeypatch, **zoo)
    found = doctor.diagnose()
    assert found.healthy, found.problems
    assert "Judging works" in found.text()
    assert found.facts["packages"]["torch"] == "not installed"
    with pytest.raises(InputError, match=r"models need torch, torchvision.*psbench\[zoo\]"):
        doctor.require_zoo()


def test_torch_alone_serves_judging(monkeypatch: Patch) -> None:
    _with_versions(monkeypatch, **dict.fromkeys(("torchvision", "timm", "accelerate", "safetensors", "psutil")))
    assert doctor.diagnose().healthy


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libtorch_cpu.so: undefined symbol"),
        OSError("libcudnn.so.9: cannot open shared object file"),
        RuntimeError("module compiled against ABI version 0x1000009"),
        AttributeError("partially initialized module"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_torch_that_cannot_be_loaded(monkeypatch: Patch, error: Exception) -> None:
    _with_import(monkeypatch, "torch", error)
    problem = _only(doctor.diagnose().problems, str(error))
    assert "torch cannot be loaded" in problem
    assert "pip install torch torchvision" in problem


def test_pair_that_does_not_fit(monkeypatch: Patch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torchvision.ops, "nms", fails)
    problem = _only(doctor.diagnose().problems, "torchvision::nms does not exist")
    assert "released in pairs" in problem
    shown = CliRunner().invoke(app, ["doctor", "--json"])
    assert shown.exit_code == 1
    assert json.loads(shown.output)["problems"] == [problem]


@pytest.mark.parametrize(
    ("package", "given", "remedy"),
    [("numpy", "1.20.3", "pip install 'numpy>="), ("torch", "1.13.1+cu117", "pip install torch torchvision")],
)
def test_version_that_is_too_old(monkeypatch: Patch, package: str, given: str, remedy: str) -> None:
    _with_versions(monkeypatch, **{package: given})
    problem = _only(doctor.diagnose().problems, f"{package} {given} is installed, psbench needs >=")
    assert remedy in problem


def test_package_that_is_missing_or_damaged(monkeypatch: Patch) -> None:
    _with_versions(monkeypatch, jinja2=None, timm=None)
    problems = doctor.diagnose().problems
    assert len(problems) == 2
    assert "pip install 'jinja2>=" in problems[0]
    assert "timm is not installed, and psbench needs it for models" in problems[1]
    monkeypatch.undo()
    _with_import(monkeypatch, "PIL", ImportError("libjpeg.so.62"))
    assert "--force-reinstall pillow" in _only(doctor.diagnose().problems, "libjpeg.so.62")


def test_cache_that_cannot_be_written(monkeypatch: Patch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path / "file/cache"))
    problem = _only(doctor.diagnose().problems, "file/cache: cannot be written")
    assert "Set PSBENCH_CACHE" in problem


def test_folders_that_are_not_there_yet_are_not_made(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path / "a/b"))
    assert doctor.diagnose().healthy
    assert list(tmp_path.iterdir()) == []


def test_account_without_a_home(monkeypatch: Patch) -> None:
    def none() -> Path:
        raise OSError("this account has no home folder")

    monkeypatch.setattr(doctor, "cache_folder", none)
    assert "Set PSBENCH_CACHE" in _only(doctor.diagnose().problems, "no home folder")


def test_full_disk(monkeypatch: Patch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5 * 2**20))
    problems = doctor.diagnose().problems
    assert problems
    assert all("5 MiB are free" in problem for problem in problems)


def _gpus(patch: Patch, available: Callable[[], bool], count: int = 0, **properties: Any) -> None:
    patch.setattr(torch.cuda, "is_available", available)
    patch.setattr(torch.cuda, "device_count", lambda: count)
    patch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(**properties))


@pytest.mark.parametrize(("major", "words"), [(9, "capability 9.0, bf16"), (7, "capability 7.0, no bf16")])
def test_gpus_are_described(monkeypatch: Patch, major: int, words: str) -> None:
    _gpus(monkeypatch, lambda: True, 1, name="Some GPU", total_memory=80 * 2**30, major=major, minor=0)
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda n, device: ones(n))
    found = doctor.diagnose()
    assert found.healthy, found.problems
    assert found.facts["devices"]["cuda:0"] == f"Some GPU, 80 GiB, {words}"


def test_gpu_that_does_not_compute(monkeypatch: Patch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel image is available for execution on the device")

    _gpus(monkeypatch, lambda: True, 1, name="Some GPU", total_memory=2**30, major=3, minor=5)
    monkeypatch.setattr(torch, "ones", fails)
    assert "CUDA_VISIBLE_DEVICES" in _only(doctor.diagnose().problems, "cuda:0 does not compute")


def test_driver_that_is_too_old(monkeypatch: Patch) -> None:
    def warns() -> bool:
        warnings.warn("The NVIDIA driver on your system is too old (found version 11040)", stacklevel=1)
        return False

    _gpus(monkeypatch, warns)
    assert "Install the driver" in _only(doctor.diagnose().problems, "driver on your system is too old")


def test_command_lives_where_torch_is_blocked() -> None:
    program = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['psbench', 'doctor']; from psbench.cli import app; app()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "torch cannot be loaded" in done.stdout
    assert "Traceback" not in done.stderr
