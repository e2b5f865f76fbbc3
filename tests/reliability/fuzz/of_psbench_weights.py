"""Weights: psbench's own files, those that authors released, and what a network's backbone starts from."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save_file

from psbench import zoo
from psbench.zoo.layers.backbone import feature_network
from psbench.zoo.official_names import OFFICIAL
from psbench.zoo.starting import start_from_weights
from psbench.zoo.weights import import_weights, load_weights, weights_path
from tests.models.own import save_run
from tests.models.small import SMALL
from tests.reliability.fuzz.grammar import safetensors_changed, zip_changed
from tests.reliability.fuzz.target import Target

_MODEL, _PEOPLE = "pcnet", 6
_BACKBONE = "test_resnet"


def _make_weights(folder: Path) -> None:
    save_run(folder / "run", _MODEL)


def _load(folder: Path) -> object:
    return load_weights(weights_path(folder / "run"))


def _start(folder: Path) -> None:
    model = zoo.create(_MODEL, num_identities=_PEOPLE, **SMALL[_MODEL])
    start_from_weights(model, weights_path(folder / "run"), dataset="coco", fingerprint="f")


def _released_state() -> dict[str, Any]:
    """A network's weights as its authors would have called them."""
    model, names = zoo.create(_MODEL, num_identities=_PEOPLE, **SMALL[_MODEL]), OFFICIAL[_MODEL].names
    theirs = {}
    for name, value in model.state_dict().items():
        official, ours = next((pair for pair in names if name.startswith(pair[1])), ("", ""))
        theirs[official + name.removeprefix(ours)] = value.clone()
    return theirs


def _make_released(folder: Path, **how: bool) -> None:
    torch.save({"model": _released_state(), "epoch": 19}, folder / "released.pth", **how)


def _make_released_tensors(folder: Path) -> None:
    save_file(_released_state(), folder / "released.safetensors")


def _import(name: str, folder: Path) -> object:
    overrides = {key: value for key, value in SMALL[_MODEL].items() if key not in ("embedding_dim", "oim_queue_size")}
    with tempfile.TemporaryDirectory() as scratch:
        return import_weights(
            _MODEL, folder / name, Path(scratch) / "model.safetensors", dataset="coco", overrides=overrides
        )


def _backbone_state() -> dict[str, Any]:
    import timm

    return timm.create_model(_BACKBONE).state_dict()


def _make_backbone(folder: Path) -> None:
    torch.save(_backbone_state(), folder / "backbone.pth")


def _make_backbone_tensors(folder: Path) -> None:
    save_file(_backbone_state(), folder / "backbone.safetensors")


def _take_backbone(name: str, folder: Path) -> object:
    return feature_network(_BACKBONE, str(folder / name))


def _tensors_changed(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: safetensors_changed(random, content) for path, content in files.items()}


def _zip_changed(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: zip_changed(random, content) for path, content in files.items()}


_OWN, _PTH, _TENSORS = ("run/model.safetensors",), ("*.pth",), ("*.safetensors",)
TARGETS = (
    Target("weights file", _make_weights, _OWN, _load, _tensors_changed),
    Target("weights file that a training starts from", _make_weights, _OWN, _start, _tensors_changed),
    Target("released checkpoint (.pth)", _make_released, _PTH, partial(_import, "released.pth"), _zip_changed),
    Target(
        "released checkpoint from before torch 1.6",
        partial(_make_released, _use_new_zipfile_serialization=False),
        _PTH,
        partial(_import, "released.pth"),
    ),
    Target(
        "released checkpoint (.safetensors)",
        _make_released_tensors,
        _TENSORS,
        partial(_import, "released.safetensors"),
        _tensors_changed,
    ),
    Target("backbone's weights (.pth)", _make_backbone, _PTH, partial(_take_backbone, "backbone.pth"), _zip_changed),
    Target(
        "backbone's weights (.safetensors)",
        _make_backbone_tensors,
        _TENSORS,
        partial(_take_backbone, "backbone.safetensors"),
        _tensors_changed,
    ),
)
