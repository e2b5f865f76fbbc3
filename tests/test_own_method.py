"""docs/own_method.md, from top to bottom as it stands: its files are written, its commands run, its Python executed."""

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import psbench
import psbench_data
from psbench import zoo
from psbench.cli import app
from psbench.training import Run
from psbench.zoo.weights import read_info
from psbench_data.cli import app as data_app

PAGE = (Path(__file__).parent.parent / "docs/own_method.md").read_text()
STEPS = re.findall(r"```(?:python|toml)\n(.*?)```|^    (psbench[^\n]*)$", PAGE, re.DOTALL | re.MULTILINE)


def _install(package: Path) -> None:
    """What `pip install -e` would do: the package's metadata on the path, beside its code."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = package / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


def _run(line: str, path: Path) -> None:
    """A command of the page; those that train in a process of their own, as users' do."""
    program, *words = shlex.split(line)
    if words[0] == "train":
        environment = os.environ | {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "error::UserWarning", "-m", "psbench", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return
    result = CliRunner().invoke(app if program == "psbench" else data_app, words)
    assert result.exit_code == 0, result.output


def _somebodys_arrays() -> dict[str, Any]:
    """The annotated boxes with made-up embeddings, by the names that the page has for them."""
    dataset = psbench_data.load("cuhk_sysu", root="data/people")
    test, queries = dataset.split("test"), dataset.protocol("gallery-50").queries
    vectors = np.eye(len(test.identities) + 1, dtype=np.float32)
    return {
        "counts": np.diff(test.offsets),
        "boxes": test.boxes,
        "scores": np.ones(len(test.boxes)),
        "embeddings": vectors[test.person_ids],
        "query_embeddings": vectors[queries.person_ids],
    }


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What all the page's Python leaves behind, by name."""
    top = tmp_path_factory.mktemp("page")
    package = top / "my-package"
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(top)
        patch.syspath_prepend(package)
        for code, command in STEPS:
            if command:
                _run(command, package)
                if "synthesize" in command:
                    names = _somebodys_arrays()
            elif file := re.match(r"# (\S+/\S+)\n", code):
                (top / file[1]).parent.mkdir(parents=True, exist_ok=True)
                (top / file[1]).write_text(code)
                if file[1].endswith("pyproject.toml"):
                    _install(package)
                importlib.invalidate_caches()
            else:
                if "mine.pth" in code:
                    torch.save(names["run"].model().state_dict(), "mine.pth")
                exec(code, names)
                names.setdefault("evaluated", []).append(names["predictions"])
        names["top"] = top
        yield names
    del sys.modules["my_package"]


def test_the_page_has_all_of_it() -> None:
    commands = [command for _, command in STEPS if command]
    assert {shlex.split(command)[1] for command in commands} == {"synthesize", "train", "predict", "evaluate"}
    assert len([code for code, _ in STEPS if code]) == 8


def test_arrays_are_judged(ran: dict[str, Any]) -> None:
    perfect = psbench.evaluate(ran["evaluated"][0], ran["dataset"].protocol("gallery-50"))
    assert perfect.map == pytest.approx(1)


def test_the_model_has_nothing_of_psbench_and_is_a_person_searcher(ran: dict[str, Any]) -> None:
    source = (ran["top"] / "my-package/my_package/__init__.py").read_text()
    assert "import psbench" not in source
    assert "from psbench" not in source
    assert 40 < len(source.splitlines()) < 90
    model = ran["MyModel"](num_identities=2)
    assert isinstance(model, zoo.PersonSearcher)
    assert not isinstance(model, zoo.ZooModel)


def test_the_context_of_a_query_begins_with_it(ran: dict[str, Any]) -> None:
    around = ran["around"]
    firsts = around.context.offsets[:-1]
    assert len(around.context.boxes) > len(firsts) > 0
    np.testing.assert_array_equal(around.context.boxes[firsts], around.query_boxes)
    assert (around.context.scores[firsts] == 1).all()
    np.testing.assert_allclose(around.context.embeddings[firsts], around.query_embeddings, atol=1e-5)


def test_a_run_of_the_command_is_a_run_as_any_other(ran: dict[str, Any]) -> None:
    run = Run.load(ran["top"] / "runs/mine")
    assert (run.recipe.model, run.record.steps, run.recipe.batch_size) == ("mymodel", 8, 3)
    assert run.recipe.optimizer.lr == 0.01
    info = read_info(run.folder / "model.safetensors")
    assert info.package == "my-package 0.1"
    assert info.options == {"dim": 128, "min_size": 120, "max_size": 176}
    card = (run.folder / "card.md").read_text()
    assert "psbench train mymodel --data cuhk_sysu --root ROOT --output RUN" in card
    assert isinstance(ran["run"].model(), ran["MyModel"])


def test_predictions_are_those_of_the_trained_model(ran: dict[str, Any]) -> None:
    mine, elsewhere = (psbench.Predictions.load(ran["top"] / "predictions" / name) for name in ("mine", "elsewhere"))
    assert len(mine.boxes) > 0
    assert mine.embeddings.shape[1] == elsewhere.embeddings.shape[1] == 128
    assert (mine.method, elsewhere.method) == ("mymodel-cuhk_sysu-changed", "mine")
    again = psbench.inference.predict(ran["run"].model(), ran["dataset"], progress=False)
    np.testing.assert_allclose(elsewhere.query_embeddings, again.query_embeddings, atol=1e-6)


def test_two_steps_take_boxes_from_wherever_they_come(ran: dict[str, Any]) -> None:
    mine = psbench.Predictions.load(ran["top"] / "predictions/mine")
    np.testing.assert_array_equal(ran["same"].boxes, mine.boxes)
    np.testing.assert_array_equal(ran["same"].scores, mine.scores)
    assert ran["same"].embeddings.shape == (len(mine.boxes), 18)
    assert ran["found"].embeddings.shape[1] == 18
    # Clothes have colours: of true boxes, most of the best matches are right.
    assert psbench.evaluate(ran["truth"], ran["dataset"].protocol("gallery-50")).top(1) > 0.4
