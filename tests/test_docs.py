"""The README's and docs/' commands and Python run, and print what stands beneath them.

They run on drawn people in place of the data at /data/..., and with networks that have learnt nothing. What cannot run
so is parsed (tests/test_readme.py) and listed in `_PARSED`; pages that have a test of their own are in `_ELSEWHERE`.
"""

import contextlib
import io
import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import psbench
import psbench_data
from psbench.cli import app
from psbench.zoo.weights import describe, save_weights
from psbench_data.cli import app as data_app
from tests.models.small import SMALL
from tests.test_leaderboards_page import WALK, filled

ROOT = Path(__file__).parent.parent
PROGRAMS: dict[str, Any] = {"psbench": app, "psbench-data": data_app}
STEP = re.compile(
    r"^```(\w+)\n(.*?)^```(?:\n+```text\n(.*?)^```)?|^ {4,8}((?:psbench|psbench-data) [^\n]+)$", re.M | re.S
)
_FOLDERS = {"cuhk_sysu": "CUHK-SYSU", "prw": "PRW-v16.04.20", "lsps": "LSPS-v1.0", "movienet_cs": "MovieNet-PS"}
_ELSEWHERE = {
    "leaderboards.md": "tests/test_leaderboards_page.py",
    "predictions.md": "tests/test_predictions_page.py",
    "training.md": "tests/test_training_page.py",
    "several_gpus.md": "tests/test_training_page.py",
    "own_method.md": "tests/test_own_method.py",
    "quickstart.zh.md": "the commands are those of quickstart.md",
}
_PARSED = {
    r"psbench train (?!.*-demo .*data/small)": "a paper's recipe takes a GPU and hours, a small one minutes",
    r"psbench predict weights/|\.pth\b": "the weights are their authors'",
    r"psbench (cost|efficiency) ": "full networks on full images",
    r"psbench view-points ": "tests/models/test_view_points.py runs it",
    r"psbench (search|index) |\"holiday\"": "pictures of the reader's; tests/models/test_searching_command.py runs it",
    r"--official": "official size",
    r"person_id=track_id": "for a file with other keys than the page's",
    r"^(accelerate|torchrun|make|pip|python|python3|\.) ": "several processes, or an installation",
    r"synthesize cuhk_sysu data/cuhk_sysu|summary cuhk_sysu data/cuhk_sysu": "test_readme_draws_what_it_says runs it",
    r"=\.\.\.,": "a form to fill in",
    r"verify leaderboards/entries/prw/": "an entry of drawn people has another place; tests/leaderboard verifies those",
}
"""What is only parsed, and why."""
_SAYS_WHAT_IT_PRINTS = ("quickstart.md", "faq.md", "ethics.md")
"""Pages whose commands' output is compared; that of others is of the README's demo, on more people."""


def _pages() -> dict[str, str]:
    pages = {path.relative_to(ROOT / "docs").as_posix(): path for path in sorted((ROOT / "docs").rglob("*.md"))}
    pages |= {name: ROOT / name for name in ("README.md", "CONTRIBUTING.md")}
    texts = {name: path.read_text() for name, path in pages.items() if name not in _ELSEWHERE}
    return {name: text for name, text in texts.items() if STEP.search(text)}


PAGES = _pages()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages speak of: datasets in data/, runs/ and predictions/."""
    stage = tmp_path_factory.mktemp("stage")
    _draw(stage / "data")
    for run, name, dataset in [
        ("seqnet", "seqnet", "cuhk_sysu"),
        ("oim", "oim", "cuhk_sysu"),
        ("igpn", "igpn", "cuhk_sysu"),
        ("reid_pcb", "reid_pcb", "cuhk_sysu"),
        ("mine", "seqnet", "coco"),
    ]:
        torch.manual_seed(0)
        fewer = {"rpn_post_nms_top_n_test": 4} if name != "reid_pcb" else {}
        model = psbench.zoo.create(name, num_identities=4, **SMALL[name] | fewer)
        info = describe(model, name, num_identities=4, dataset=dataset, method=run)
        save_weights(model, stage / "runs" / run / "model.safetensors", info)
    for name, dataset, noise in [("seqnet", "cuhk_sysu", 0.5), ("true-boxes", "cuhk_sysu", 0.1), ("mine", "prw", 0.1)]:
        data = psbench_data.load(dataset, root=stage / "data" / _FOLDERS[dataset])
        arrays, queries = _arrays(data, noise), data.protocol(data.protocols[0]).queries
        predictions = psbench.Predictions.from_arrays(
            arrays.pop("scene_names"),
            **arrays,
            query_scenes=queries.scene_names,
            query_boxes=queries.boxes,
            dataset=dataset,
            fingerprint=data.protocol(data.protocols[0]).fingerprint,
            synthetic=True,
        )
        predictions.save(stage / "predictions" / name)
    shutil.copytree(stage / "data" / _FOLDERS["prw"], stage / "drawn/prw")
    return stage


def _draw(data: Path) -> None:
    """A tiny tree of each format where the pages say that the real one is, with all of its protocols."""
    world = {"train_scenes": 6, "test_scenes": 14, "train_identities": 4, "test_identities": 4, "appearances": (2, 3)}
    world |= {"people": (1, 2), "image_size": (96, 128), "places": 4}
    for name, options in [
        ("cuhk_sysu", {"gallery_entries": (3, 5, 7, 9, 11, 13)}),
        ("prw", {"places": 6, "test_identities": 8, "test_scenes": 24}),
        ("lsps", {"pseudo_views": 1}),
        ("movienet_cs", {"gallery_entries": (7, 8, 9)}),
    ]:
        psbench_data.load("synthetic", root=data / _FOLDERS[name], format=name, **world | options)
    (data / "cuhk_sysu").symlink_to(_FOLDERS["cuhk_sysu"])
    (data / "PRW").symlink_to(_FOLDERS["prw"])
    (data / "prw").symlink_to(_FOLDERS["prw"])
    (data / "movienet").symlink_to(_FOLDERS["movienet_cs"])
    own = (ROOT / "docs/own_data.md").read_text()
    (data / "mine").mkdir()
    (data / "mine/test.json").write_text(re.findall(r"```json\n(.*?)```", own, re.DOTALL)[0])
    for name in re.findall(r'"file_name": "(.*?)"', own):
        (data / "mine" / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (1920, 1080)).save(data / "mine" / name)


def _arrays(dataset: psbench_data.PersonSearchDataset, noise: float) -> dict[str, Any]:
    """What somebody's method found: the annotated people, known by noisy looks."""
    test, queries = dataset.split("test"), dataset.protocol(dataset.protocols[0]).queries
    rng = np.random.default_rng(0)
    looks = rng.standard_normal((test.num_identities + 1, 16))
    sides = np.repeat(test.sizes[:, [1, 0, 1, 0]], np.diff(test.offsets), axis=0)
    return {
        "scene_names": list(test.names),
        "counts": np.diff(test.offsets),
        "boxes": np.clip(test.boxes + rng.uniform(-1, 1, test.boxes.shape), 0, sides).astype("f4"),
        "scores": rng.uniform(0.5, 1, len(test.boxes)),
        "embeddings": looks[test.person_ids] + noise * rng.standard_normal((len(test.boxes), 16)),
        "query_embeddings": looks[queries.person_ids] + noise * rng.standard_normal((len(queries), 16)),
    }


def _given(page: str, stage: Path) -> dict[str, Any]:
    """What the reader of a page has already."""
    dataset = psbench_data.load("cuhk_sysu", root=stage / "data/CUHK-SYSU")
    arrays = _arrays(psbench_data.load("prw", root=stage / "data/PRW"), noise=0.1)
    given = {
        "README.md": arrays | {"e": arrays["embeddings"], "q": arrays["query_embeddings"]},
        "evaluation.md": {
            "psbench": psbench,
            "dataset": dataset,
            "predictions": psbench.Predictions.load(stage / "predictions/seqnet"),
        },
        "models/reid.md": {
            "dataset": dataset,
            "images": [torch.rand(3, 96, 128)],
            "boxes": [torch.tensor([[10.0, 10.0, 40.0, 80.0]])],
        },
        "reproduction.md": {"write": lambda measured, folder: []},
    }
    return given.get(page, {})


def why_only_parsed(step: str) -> str | None:
    """Why a command or snippet is not run, or None where it is."""
    return next((reason for pattern, reason in _PARSED.items() if re.search(pattern, step)), None)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("page", PAGES)
def test_page_runs(page: str, stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "argv", ["mine.py", "--data-root", f"{stage}/data", "--policy", "only-cache"])
    for folder in ("runs", "predictions", "drawn"):
        shutil.copytree(stage / folder, folder)
    names = _given(page, stage)
    for kind, block, printed, command in STEP.findall(PAGES[page]):
        if kind == "python" and not why_only_parsed(block):
            _clear(re.findall(r'(?:_into\(\w+(?:, \w+)?, |\.save\()"(.*?)"', block))
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(_moved(block, stage), names)
            assert not printed or _reads(out.getvalue(), printed), out.getvalue()
        elif kind == "console":
            for shown in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                line, _, output = shown.partition("\n")
                _type(line, output if page in _SAYS_WHAT_IT_PRINTS else "", stage)
        elif command:
            _type(command, "", stage)


def _moved(text: str, stage: Path) -> str:
    """With the drawn data in place of the real, and of the demo's, which is larger."""
    return re.sub(r"/(?:data|path/to)/|(?<=[\" ])data/(?=(?:cuhk_sysu|prw|movienet)\b)", f"{stage}/data/", text)


def _type(line: str, output: str, stage: Path) -> None:
    """Run a command of a page, and compare what it prints, if that is shown."""
    if line.startswith("rm "):
        Path(line.removeprefix("rm ")).unlink()
        return
    if why_only_parsed(line):
        return
    program, *words = shlex.split(_moved(line, stage))
    trained = "runs/quick" in line or "predictions/quick" in line
    if words[0] == "train":
        words += ["--set", "schedule.epochs=1", "--set", "schedule.milestones=[]"]
    made = {"synthesize": words[2:3], "predict": words[-1:]}
    _clear(made.get(words[0], []))
    done = CliRunner().invoke(PROGRAMS[program], words)
    assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
    assert _reads(done.stdout, output or "...", numbers=not trained), f"{line}\n{done.stdout}"
    if words[:2] == ["card", "new"]:
        card = Path("card.toml")
        card.write_text(filled(card.read_text(), next(block for kind, block in WALK if kind == "toml")))


def _clear(folders: Iterable[str]) -> None:
    """Take away what is about to be made, and is there because other pages read it."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _reads(printed: str, shown: str, *, numbers: bool = True) -> bool:
    """Whether something reads as it is shown; "..." stands for anything, and numbers, if so, for any other ones."""
    if not numbers:
        printed, shown = (re.sub(r"\d+(\.\d+)?", "0", text) for text in (printed, shown))
    pattern = re.escape(" ".join(shown.split())).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, " ".join(printed.split())) is not None


def test_readme_draws_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [block] = re.findall(r"^```console\n(\$ psbench-data synthesize.*?)^```", PAGES["README.md"], re.M | re.S)
    for shown in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:3]:
        line, _, output = shown.partition("\n")
        # The annotations are the same without the pictures.
        words = [*shlex.split(line)[1:], *(["--no-images"] if "synthesize" in line else [])]
        assert _reads(CliRunner().invoke(data_app, words).stdout, output)


def test_chinese_quickstart_shows_the_same_commands() -> None:
    pages = ((ROOT / "docs" / name).read_text() for name in ("quickstart.md", "quickstart.zh.md"))
    english, chinese = (re.findall(r"^```(?:bash|console|python)\n(.*?)^```", page, re.M | re.S) for page in pages)
    # Comments are translated.
    english, chinese = ([re.sub(r"#.*", "#", block) for block in blocks] for blocks in (english, chinese))
    assert english
    assert english == chinese


def test_what_is_only_parsed_is_there(stage: Path) -> None:
    """No pattern outlives what it was written for."""
    steps = [part for text in PAGES.values() for step in STEP.findall(text) for part in step]
    lines = [line for step in steps for line in (step, *re.findall(r"^\$ (.*)$", step, re.MULTILINE))]
    for pattern in _PARSED:
        assert any(re.search(pattern, line) for line in lines), pattern
