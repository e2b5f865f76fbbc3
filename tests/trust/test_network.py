"""Nothing is asked of a network unless the user asks for something that lies there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import psbench
from psbench import InputError
from psbench.hub import weights_are_cached
from psbench.inference import predict
from psbench.leaderboard import submit
from psbench.leaderboard.rendering import render
from psbench.reporting.ranking import write_ranking
from psbench.reporting.viewing import chosen_scenes, write_view
from psbench.training import train
from psbench.zoo.layers.backbone import split_backbone
from psbench.zoo.weights import load_weights
from tests.leaderboard.making import card
from tests.models.own import save_run
from tests.models.test_training import TINY
from tests.test_layers import ROOT
from tests.tiny_plans import FEW, drawn

OFFLINE = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"):
        raise SystemExit(f"asked: {event} {arguments}")
sys.addaudithook(refuse)
"""
"""What ends a process that asks for anything outside it."""


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Whom a test connects to; to nobody, of which it hears at once."""
    asked: list[object] = []

    def refuse(*where: object, **_: object) -> None:
        asked.append(where[-1] if len(where) > 1 else where[0])
        raise OSError("Network is unreachable")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    return asked


def test_the_whole_path_asks_nobody(offline: list[object], tmp_path: Path) -> None:
    dataset = drawn(tmp_path / "data", FEW)
    run = train(TINY.override({"schedule.epochs": 1}), dataset, tmp_path / "run", progress=False)
    model = load_weights(tmp_path / "run/model.safetensors")
    made = predict(model, dataset, progress=False)
    folder, protocol = made.save(tmp_path / "predictions"), dataset.protocol(dataset.protocols[0])
    evaluation = psbench.evaluate(psbench.Predictions.load(folder), protocol)
    write_ranking(made, protocol, evaluation, tmp_path / "r.html", method="m", data="d", queries=2)
    write_view(chosen_scenes(dataset.split("test"), [], 2, 0), [], tmp_path / "v.html", title="t", data="d")
    submit(folder, dataset=dataset, card=card(), board=tmp_path / "board")
    render(tmp_path / "board")
    assert run.record.steps > 0
    assert np.isfinite(evaluation.map)
    assert offline == []


def test_importing_asks_nobody() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    program = f"{OFFLINE}\nimport psbench, psbench.cli, psbench.leaderboard, psbench_data, psbench_data.cli"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_who_asks_would_be_found_out() -> None:
    program = f"{OFFLINE}\nimport socket\nsocket.create_connection(('192.0.2.1', 9), 1)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "asked: socket." in done.stderr


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that has fetched nothing yet."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.file_download, "HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)


@pytest.mark.usefixtures("no_cache")
def test_pretrained_weights_are_announced_and_fetched_from_where_it_says(
    offline: list[object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(timm, "create_model", _unreachable(offline))
    assert not weights_are_cached("resnet50.tv_in1k")
    with pytest.raises(
        InputError, match=r"could not be fetched .* from https://huggingface\.co/timm/resnet50\.tv_in1k"
    ):
        split_backbone("resnet50.tv_in1k", pretrained=True)
    said = capsys.readouterr().err
    assert (
        said
        == "fetching the pretrained weights of resnet50.tv_in1k from https://huggingface.co/timm/resnet50.tv_in1k\n"
    )


def _unreachable(asked: list[object]) -> object:
    """timm's, but that it does not try again for a minute."""

    def create_model(*_: object, **__: object) -> None:
        socket.create_connection(("huggingface.co", 443))

    return create_model


@pytest.mark.usefixtures("no_cache")
def test_nothing_is_fetched_where_that_is_forbidden(
    offline: list[object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"could not be fetched .*unset HF_HUB_OFFLINE.*file that holds them"):
        split_backbone("resnet10t", pretrained=True)
    assert offline == []
    assert "fetching" not in capsys.readouterr().err


def test_weights_do_not_ask_for_others(offline: list[object], tmp_path: Path) -> None:
    """A file of weights says that its network starts from weights that lie elsewhere."""
    path = save_run(tmp_path / "run", "reid_resnet50") / "model.safetensors"
    with safe_open(path, "pt") as file:
        header = file.metadata()
    for asked in (True, str(tmp_path / "other.pth"), "https://attack.invalid/x.pth"):
        changed = header | {"options": json.dumps(json.loads(header["options"]) | {"pretrained": asked})}
        save_file(load_file(path), tmp_path / "other.safetensors", changed)
        assert load_weights(tmp_path / "other.safetensors").options.pretrained is False
    for backbone in (
        "hf-hub:attack/x",
        "hf_hub:attack/x",
        "local-dir:/etc",
        "resnet18@attack",
        "../x",
        "attack/resnet18",
    ):
        changed = header | {"options": json.dumps(json.loads(header["options"]) | {"backbone": backbone})}
        save_file(load_file(path), tmp_path / "other.safetensors", changed)
        with pytest.raises(InputError, match="timm has no backbone called"):
            load_weights(tmp_path / "other.safetensors")
    assert offline == []
