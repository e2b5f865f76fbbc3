"""The source itself: what could run, fetch, unpack or print a stranger's words has one home each, known here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for part in ("psbench", "psbench_data", "reproduce") for path in (ROOT / part).rglob("*.py"))

NEVER = (
    *(f"builtins.{name}" for name in ("eval", "exec", "compile", "__import__")),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code"),
    *("pandas.read_pickle", "pandas.eval", "yaml", "runpy", "imp", "xml", "lxml", "ctypes", "os.system", "os.popen"),
    *("os.exec", "os.spawn", "pty", "torch.hub.load", "torch.jit.load", "torch.package", "torch.classes"),
    *("tarfile", "shutil.unpack_archive", "zipfile.ZipFile.extractall", "tempfile.mktemp", "urllib.request", "urllib3"),
    *("http", "socket", "ssl", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "webbrowser", "xmlrpc"),
    *("huggingface_hub.hf_hub_download", "huggingface_hub.snapshot_download", "datasets.load_dataset"),
)
"""What nothing here calls or imports, nor anything below it."""

HOMES = {
    "torch.load": {"psbench/torch_files.py"},
    "timm.models.load_state_dict": {"psbench/zoo/layers/backbone.py"},
    "numpy.load": {"psbench/importing/npz.py"},
    "scipy.io.loadmat": set(),  # `psbench_data.matlab` reads these files itself.
    "pickle": {  # For what torch raises.
        "psbench/importing/array_lists.py",
        "psbench/zoo/released.py",
    },
    "subprocess": {
        "psbench/reproduction/pool.py",  # Starts jobs of its own.
        "psbench/reproduction/provenance.py",  # Asks git for the commit.
    },
    "importlib.import_module": {  # Of names that stand in these files.
        "psbench/__init__.py",
        "psbench/doctor.py",
        "psbench/leaderboard/__init__.py",
        "psbench/zoo/__init__.py",
        "psbench_data/registry.py",
    },
    "importlib.metadata.entry_points": {"psbench/zoo/plugins.py"},  # Of packages that the user installed.
    "huggingface_hub": {"psbench/hub.py"},  # Whether something is in its cache.
    "timm.create_model": {"psbench/zoo/layers/backbone.py"},  # Fetches weights that were asked for.
    "PIL.Image.open": {"psbench_data/images.py"},
    "simplejpeg.decode_jpeg": {"psbench/zoo/images.py"},  # After the home of images has looked at it.
    "zipfile": {"psbench/importing/npz.py", "psbench/torch_files.py"},  # Lists what is inside.
    "csv.DictWriter": {"psbench/reporting/records.py"},
    "csv.writer": set(),
    "jinja2.Environment": {"psbench/leaderboard/rendering.py", "psbench/reporting/pages.py"},
    "markupsafe.Markup": {"psbench/leaderboard/rendering.py"},  # The page's own script and style.
    "typer.echo": {"psbench_data/console.py"},
    "builtins.print": {
        "psbench/hub.py",  # Names of timm's.
        "psbench/reproduction/__main__.py",  # To the process that started it, which prints.
        "psbench/reproduction/locks.py",  # Names of its own.
    },
}
"""What is called or imported in these files alone, and why it may be."""

WITH = {
    "torch.load": ("weights_only", True),
    "timm.models.load_state_dict": ("weights_only", True),
    "numpy.load": ("allow_pickle", False),
}
"""What these calls must say."""

UNESCAPED = {
    "psbench/leaderboard/templates": set(),
    "psbench/reporting/templates": {
        "colours",  # Of `style.css_colours`.
        'curves["detection"]',  # matplotlib's SVG, without names.
        'curves["retrieval"]',
        'curves["similarities"]',
        "section.picture",  # matplotlib's SVG, which escapes names itself.
        "section.curves",  # JSON without `<`.
    },
}
"""What templates put into pages as it is."""


def uses(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Everything that is imported or called, by its whole name, and where."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}", node
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (found := _dotted(node.func)):
            first, _, rest = found.partition(".")
            if first in names:
                yield f"{names[first]}.{rest}" if rest else names[first], node
            elif not rest:
                yield f"builtins.{first}", node


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (of := _dotted(node.value)):
        return f"{of}.{node.attr}"
    return ""


def faults_of(text: str, file: str) -> list[str]:
    """What a file does that only others may, or nobody."""
    faults = []
    for name, node in uses(ast.parse(text)):
        where = f"{file}:{getattr(node, 'lineno', 0)}: {name}"
        if any(name == never or name.startswith(f"{never}.") for never in NEVER):
            faults.append(f"{where} is never used")
        faults += [
            f"{where} has another home"
            for home, files in HOMES.items()
            if (name == home or name.startswith(f"{home}.")) and file not in files
        ]
        if isinstance(node, ast.Call):
            said = {word.arg: word.value for word in node.keywords}
            if name in WITH:
                argument, value = WITH[name]
                given = said.get(argument)
                if not (isinstance(given, ast.Constant) and given.value is value):
                    faults.append(f"{where} without {argument}={value}")
            if name.startswith("subprocess.") and "shell" in said:
                faults.append(f"{where} with a shell")
            if name == "jinja2.Environment" and "autoescape" not in said:
                faults.append(f"{where} without autoescape")
    return faults


def test_nothing_dangerous_is_used_outside_its_home() -> None:
    assert len(SOURCES) > 200
    faults = [f for path in SOURCES for f in faults_of(path.read_text("utf-8"), path.relative_to(ROOT).as_posix())]
    assert not faults, "\n".join(faults)


def test_every_home_is_lived_in() -> None:
    for name, files in HOMES.items():
        for file in files:
            found = [used for used, _ in uses(ast.parse((ROOT / file).read_text("utf-8")))]
            assert any(used == name or used.startswith(f"{name}.") for used in found), (name, file)


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.load(path)",
        "from torch import load as read\nread(path, weights_only=False)",
        "import numpy as np\nnp.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "from pickle import loads\nloads(content)",
        "import pickle as p\np.Unpickler(file)",
        "eval('1')",
        "from importlib import import_module\nimport_module(name)",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "from urllib.request import urlopen",
        "import requests",
        "from huggingface_hub import hf_hub_download",
        "from PIL import Image as Images\nImages.open(path)",
        "import typer\ntyper.echo(name)",
        "from jinja2 import Environment\nEnvironment()",
        "import yaml\nyaml.safe_load(text)",
    ],
)
def test_each_kind_of_fault_would_be_found(text: str) -> None:
    assert faults_of(text, "psbench/new.py")
    assert faults_of(text, "psbench_data/sources/new.py")


def test_templates_put_in_nothing_unescaped_but_what_is_known() -> None:
    for folder, known in UNESCAPED.items():
        found = set()
        for path in (ROOT / folder).iterdir():
            text = path.read_text("utf-8")
            found |= {part.strip() for part in _before_safe(text)}
            assert "autoescape" not in text
            if path.suffix in (".js", ".html", ".jinja"):
                for taken_for_html in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
                    assert taken_for_html not in text, path
        assert found == known


def _before_safe(template: str) -> Iterator[str]:
    for part in template.split("}}")[:-1]:
        inside = part.rpartition("{{")[2]
        words, safe, _ = inside.partition("|safe")
        if safe or "| safe" in inside:
            yield words
