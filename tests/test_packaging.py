"""What is installed: the wheel holds what the code needs and nothing else, from the tree and from the sdist alike."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Sequence
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("psbench", "psbench_data")
NEEDED_TO_TEST = (
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "DATA_LICENSES.md",
    "CITATION.cff",
    "Makefile",
    "pyproject.toml",
    ".ci/run",
    ".github/workflows/ci.yml",
    "docs/datasets.md",
    "leaderboards/published.csv",
    "reproduce/demo.py",
    "reproduce/table5.py",
    "tests/conftest.py",
    "tests/goldens/evaluation/expected.json",
    "tests/published/measurable_matrix.csv",
)


def _build(target: str, root: Path, folder: Path) -> Path:
    """The wheel or sdist of a tree, by the backend that pyproject.toml names, without network."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    return next(folder.glob("*.whl" if target == "wheel" else "*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _of_packages(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in contents.items() if ".dist-info/" not in name}


def test_wheel_holds_both_packages_and_their_data_and_nothing_else(wheel: Path) -> None:
    tree = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    found = _of_packages(_contents(wheel))
    assert found.keys() == tree.keys()
    assert found == tree
    for name in ("psbench/py.typed", "psbench_data/py.typed", "psbench/leaderboard/templates/index.html.jinja"):
        assert name in found
    assert sum(name.startswith("psbench/reporting/published/") for name in found) > 15
    assert {Path(name).suffix for name in found} <= {".py", ".typed", ".csv", ".md", ".jinja", ".html", ".css", ".js"}


def test_metadata_say_what_pyproject_says(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    contents = _contents(wheel)
    info = next(name.partition("/")[0] for name in contents if ".dist-info/" in name)
    metadata = message_from_bytes(contents[f"{info}/METADATA"])
    assert (metadata["Name"], metadata["Version"]) == ("psbench", project["version"])
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(required) == sorted(project["dependencies"])
    assert metadata.get_all("Provides-Extra") == ["zoo"]
    for name, target in project["scripts"].items():
        assert f"{name} = {target}" in contents[f"{info}/entry_points.txt"].decode()
    assert f"{info}/licenses/LICENSE" in contents


def test_sdist_builds_the_same_wheel_and_holds_what_tests_need(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    root = next(tmp_path.iterdir())
    assert [name for name in NEEDED_TO_TEST if not (root / name).is_file()] == []
    kept = {path.relative_to(ROOT) for part in ("tests", "reproduce") for path in (ROOT / part).rglob("*.py")}
    assert [str(name) for name in sorted(kept) if not (root / name).is_file()] == []
    unwanted = ("__pycache__", ".venv", ".git", "demo", "results", "runs", ".hypothesis", ".pytest_cache", "site")
    assert [path for path in root.rglob("*") if path.name in unwanted] == []
    again = _contents(_build("wheel", root, tmp_path / "again"))
    first = _contents(wheel)
    assert again.keys() == first.keys()
    assert again == first


def _environment(folder: Path, *, wheel: Path, requirements: Sequence[str], beside: Path | None = None) -> Path:
    """The folder of a fresh environment's commands, with the wheel in it.

    Args:
        folder: of the environment.
        wheel: to be installed.
        requirements: to be installed with it.
        beside: packages of another environment that it sees, too, after its own.
    """
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    if beside is not None:
        place = subprocess.run(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        )
        (Path(place.stdout.strip()) / "beside.pth").write_text(f"{beside}\n", encoding="utf-8")
        install.append("--no-deps")
    subprocess.run([*install, str(wheel)], check=True)
    return python.parent


def _run(commands: Path, cwd: Path, *words: str) -> str:
    """What an installed command prints; it sees nothing of the repository."""
    program = [str(commands / words[0]), *words[1:]]
    environment = {"PATH": f"{commands}:/usr/bin:/bin", "HOME": str(cwd), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(program, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    assert str(ROOT) not in done.stdout
    return done.stdout


_SMALL = ("--train-scenes", "10", "--test-scenes", "52", "--train-identities", "4", "--test-identities", "5")
_SIZE = ("--height", "96", "--width", "128")


@pytest.mark.slow
def test_plain_installation_judges_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    """Without torch, with what pip resolves."""
    here = tmp_path / "here"
    here.mkdir()
    commands = _environment(tmp_path / "plain", wheel=wheel, requirements=())
    said = _run(
        commands, here, "python", "-c",
        "import importlib.util as u, psbench; print(psbench.__file__, u.find_spec('torch'))",
    )  # fmt: skip
    assert str(tmp_path) in said
    assert "None" in said
    assert "Judging works" in _run(commands, here, "psbench", "doctor")
    _run(commands, here, "psbench-data", "synthesize", "cuhk_sysu", "data", *_SMALL, *_SIZE, "--no-images")
    assert "gallery-50" in _run(commands, here, "psbench-data", "summary", "cuhk_sysu", "data")
    (here / "make.py").write_text(
        "import numpy as np, psbench, psbench_data\n"
        "data = psbench_data.load('cuhk_sysu', root='data')\n"
        "test, rng = data.split('test'), np.random.default_rng(0)\n"
        "counts = [len(scene.boxes) for scene in test]\n"
        "boxes = np.concatenate([scene.boxes for scene in test]) + 1\n"
        "psbench.Predictions.from_arrays(test.names, counts=counts, boxes=boxes,\n"
        "    scores=rng.uniform(0.5, 1, sum(counts)), embeddings=rng.normal(size=(sum(counts), 8)),\n"
        "    query_embeddings=rng.normal(size=(5, 8)), method='random',\n"
        "    fingerprint=test.fingerprint).save('predictions')\n",
        encoding="utf-8",
    )
    _run(commands, here, "python", "make.py")
    assert "gallery-50" in _run(commands, here, "psbench", "evaluate", "predictions", "--root", "data")
    _run(commands, here, "psbench", "validate", "predictions", "--data", "cuhk_sysu", "--root", "data")
    _run(commands, here, "psbench", "card", "new", "card.toml")
    card = (here / "card.toml").read_text(encoding="utf-8")
    (here / "card.toml").write_text(card.replace('= "My ', '= "Some '), encoding="utf-8")
    entry = _run(commands, here, "psbench", "submit", "predictions", "--root", "data", "--card", "card.toml")
    assert "leaderboards/entries/" in entry
    assert "index.html" in _run(commands, here, "psbench", "leaderboard", "render")
    _run(commands, here, "psbench", "leaderboard", "check")
    for page in ("README.md", "index.html"):
        assert (here / "leaderboards" / page).stat().st_size > 1000


@pytest.mark.slow
def test_installation_with_models_runs_everything_and_the_demo_from_an_empty_folder(
    wheel: Path, tmp_path: Path
) -> None:
    """The wheel is alone in its environment; torch and the other dependencies are those that these tests run with."""
    import torch

    here = tmp_path / "here"
    here.mkdir()
    beside = Path(torch.__file__).parent.parent
    commands = _environment(tmp_path / "zoo", wheel=wheel, requirements=(), beside=beside)
    assert str(tmp_path) in _run(commands, here, "python", "-c", "import psbench; print(psbench.__file__)")
    _run(commands, here, "psbench", "doctor")
    _run(commands, here, "psbench-data", "synthesize", "cuhk_sysu", "data", *_SMALL, *_SIZE)
    tiny = {"schedule.epochs": 1, "batch_size": 3}
    tiny |= {f"model_options.{name}": value for name, value in {"min_size": 96, "max_size": 128}.items()}
    tiny |= {"model_options.score_thresh_test": 0.0, "model_options.rpn_post_nms_top_n_test": 8}
    sets = [word for name, value in tiny.items() for word in ("--set", f"{name}={value}")]
    train = ("train", "seqnet", "--recipe", "seqnet-demo", "--root", "data", "--output", "run", *sets)
    _run(commands, here, "psbench", *train)
    _run(commands, here, "psbench", "predict", "run", "--root", "data", "--output", "predictions")
    assert "gallery-50" in _run(
        commands, here, "psbench", "evaluate", "predictions", "--root", "data", "--det-threshold", "0"
    )
    page = ("--protocol", "gallery-50", "--queries", "3", "-o", "ranking.html")
    _run(commands, here, "psbench", "rank", "predictions", "--root", "data", *page)
    assert (here / "ranking.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    done = _run(commands, here, "psbench", "demo", "--output", "shown")
    assert "mAP, gallery-100, ceiling (true boxes)" in done
    for name in ("table5.md", "table5.csv", "gallery_curves.png", "ranking.html"):
        assert (here / "shown" / name).stat().st_size > 0
