"""The three layers: imports go down, and the light packages stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODELS = ("torch", "torchvision", "timm", "accelerate")
HEAVY = (*MODELS, "datasets")
MAKING = ("psbench.zoo", "psbench.training", "psbench.inference")


def _imports(path: Path, *, when_loaded: bool = False) -> set[str]:
    """What a file imports: anywhere, or only the moment it is loaded itself."""
    found = set()
    tree = ast.parse(path.read_text())
    for node in tree.body if when_loaded else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("path", sorted((ROOT / "psbench_data").rglob("*.py")), ids=str)
def test_data_layer_imports_nothing_above_it(path: Path) -> None:
    assert not [name for name in _imports(path) if _within(name, ("psbench", *MODELS))]


NOT_JUDGING = (
    "cli",
    "cli_efficiency",
    "cli_looking",
    "cli_prediction",
    "cli_searching",
    "cli_training",
    "cli_weights",
    "processes",
)
JUDGING = [
    *(path for path in sorted((ROOT / "psbench").glob("*.py")) if path.stem not in NOT_JUDGING),
    *(
        path
        for sub in ("evaluation", "reporting", "leaderboard", "importing")
        for path in sorted((ROOT / "psbench" / sub).rglob("*.py"))
    ),
    *(ROOT / f"psbench/efficiency/{name}.py" for name in ("__init__", "result", "text")),
]


@pytest.mark.parametrize("path", JUDGING, ids=str)
def test_judging_layer_imports_no_models(path: Path) -> None:
    assert not [name for name in _imports(path) if _within(name, MAKING)]
    assert not [name for name in _imports(path, when_loaded=True) if _within(name, HEAVY)]


@pytest.mark.parametrize(
    ("module", "blocked"), [("psbench_data", (*HEAVY, "psbench")), ("psbench", HEAVY), ("psbench_data.cli", HEAVY)]
)
def test_light_packages_work_without_the_heavy_ones(module: str, blocked: tuple[str, ...]) -> None:
    program = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is blocked")
sys.meta_path.insert(0, Block())
import {module}
assert not set({blocked!r}) & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_models_are_loaded_when_used() -> None:
    program = (
        "import sys, psbench; assert 'torch' not in sys.modules; psbench.zoo.create; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_data_layer_loads_and_evaluator_judges_without_torch() -> None:
    program = f"""
import sys
sys.modules["torch"] = None
import numpy as np, psbench, psbench_data
dataset = psbench_data.load("cuhk_sysu", root={str(ROOT / "tests/goldens/evaluation/cuhk_sysu")!r})
names = dataset.split("test").names
nothing = psbench.Predictions.from_arrays(names, counts=np.zeros(len(names)), boxes=np.zeros((0, 4)), scores=[],
                                          embeddings=np.zeros((0, 8)), query_embeddings=np.ones((16, 8)))
assert psbench.evaluate(nothing, dataset.protocol("gallery-50")).map == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True)
