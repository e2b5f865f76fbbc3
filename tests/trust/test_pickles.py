"""A file that would run code if it were unpickled is refused wherever a file is taken, and nothing of it is run."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import psbench_data
from psbench import InputError, Predictions
from psbench.cli import app
from psbench.efficiency import Efficiency
from psbench.importing import import_detections
from psbench.importing.importing import FORMS
from psbench.leaderboard import Card
from psbench.leaderboard.entry import Entry
from psbench.own_gallery import OwnGallery, read_gallery, write_gallery
from psbench.own_pictures import decoded
from psbench.processes import this_process
from psbench.reproduction.given import given_weights
from psbench.shards import MANIFEST
from psbench.training import recipe_for
from psbench.training.checkpoints import newest, restore, restore_random_state
from psbench.training.run import PLAN_FILE, RUN_FILE, Run, find_plan
from psbench.zoo import create
from psbench.zoo.layers.backbone import split_backbone
from psbench.zoo.layers.pyramid import pyramid_backbone
from psbench.zoo.starting import start_from_weights
from psbench.zoo.weights import import_weights, load_weights, read_info
from psbench_data import PersonSearchDataset
from tests.conftest import EVALUATION
from tests.models.small import SMALL

GOLDEN = EVALUATION / "cuhk_sysu"


class Trap:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.mark,)


def _plain(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def _old(path: Path, content: object) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def _script(path: Path, content: object) -> None:
    """As TorchScript's archives are told from others."""
    torch.save(content, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{path.stem}/constants.pkl", pickle.dumps(content, protocol=2))


def _array(path: Path, content: object) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([content], object), allow_pickle=True)


def _arrays(path: Path, content: object) -> None:
    names = ("counts", "boxes", "scores", "embeddings", "query_embeddings")
    with path.open("wb") as file:
        np.savez(file, **dict.fromkeys(names, np.array([content], object)))


FORMS_OF_PICKLES: dict[str, Callable[[Path, object], None]] = {
    "zip": lambda path, content: torch.save(content, path),
    "old": _old,
    "plain": _plain,
    "script": _script,
    "npy": _array,
    "npz": _arrays,
}


def _import(path: Path) -> object:
    return import_weights("seqnet", path, path.parent / "imported/model.safetensors", dataset="cuhk_sysu")


def _given(path: Path) -> object:
    named = path.rename(path.parent / "seqnet-cuhk_sysu.pth")
    return given_weights(path.parent, path.parent / "converted").weights(recipe_for("seqnet-cuhk_sysu")) or named


def _start(path: Path) -> None:
    start_from_weights(
        create("reid_resnet50", num_identities=2, **SMALL["reid_resnet50"]), path, dataset="", fingerprint=""
    )


def _restore(path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for name in ("model", "optimizer"):
        shutil.copy(path, path.parent / f"{name}.safetensors")
    restore(path.parent, module=network, optimizer=optimizer, average=None)


def _randomness(path: Path) -> None:
    restore_random_state(path.rename(path.parent / "random.safetensors").parent, this_process())


def _position(path: Path) -> object:
    folder = path.parent / "checkpoints/step-00000001"
    folder.mkdir(parents=True)
    path.rename(folder / "position.json")
    return newest(path.parent)


def _into(name: str, read: Callable[[Path], object]) -> Callable[[Path], object]:
    """Read a folder in which a file has this name."""
    return lambda path: read(path.rename(path.parent / name).parent)


def _shard(path: Path) -> object:
    """Predictions of which a shard is the file, as its manifest says."""
    ones = np.ones((1, 2), np.float32)
    folder = Predictions.from_arrays(
        ["a"], counts=[1], boxes=[[0, 0, 1, 1]], scores=[1], embeddings=ones, query_embeddings=ones
    ).save(path.parent / "predictions")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["queries"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    path.rename(folder / "queries.parquet")
    return Predictions.load(folder)


def _index(path: Path) -> object:
    nobody = np.zeros((0, 2), np.float32)
    people = Predictions.from_arrays(
        [], counts=[], boxes=nobody.reshape(0, 4), scores=[], embeddings=nobody, query_embeddings=nobody
    )
    folder = path.parent / "index"
    write_gallery(OwnGallery(path.parent, "m", "0" * 64, [], people), folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["pictures"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    path.rename(folder / manifest["pictures"]["file"])
    return read_gallery(folder)


def _in_tree(name: str, file: str) -> Callable[[Path], object]:
    """Open a dataset of which an annotation file is the file."""

    def read(path: Path) -> object:
        root = shutil.copytree(EVALUATION / name, path.parent / "tree")
        shutil.move(path, root / file)
        dataset = psbench_data.load(name, root=root)
        return [dataset.protocol(protocol) for protocol in dataset.protocols]

    return read


PLACES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "import-weights": ("x.pth", _import),
    "import-weights, as safetensors": ("x.safetensors", _import),
    "load_weights": ("model.safetensors", load_weights),
    "read_info": ("model.safetensors", read_info),
    "weights named pth": ("model.pth", load_weights),
    "start_from": ("model.safetensors", _start),
    "pretrained pth": ("x.pth", lambda path: split_backbone("test_resnet", pretrained=str(path))),
    "pretrained safetensors": ("x.safetensors", lambda path: split_backbone("test_resnet", pretrained=str(path))),
    "pretrained pyramid": ("x.pth", lambda path: pyramid_backbone("test_resnet", 3, pretrained=str(path))),
    "given checkpoints": ("x.pth", _given),
    "checkpoint, tensors": ("x", _restore),
    "checkpoint, random state": ("x", _randomness),
    "checkpoint, position": ("x", _position),
    "training.json": ("x", _into(PLAN_FILE, find_plan)),
    "run.json": ("x", _into(RUN_FILE, Run.load)),
    "manifest": ("x", _into(MANIFEST, Predictions.load)),
    "shard": ("x", _shard),
    "index, manifest": ("x", _into(MANIFEST, read_gallery)),
    "index, shard": ("x", _index),
    "entry": ("x.json", Entry.load),
    "card": ("card.toml", Card.load),
    "costs": ("x.json", Efficiency.load),
    "picture": ("x.jpg", decoded),
    "cuhk_sysu, images": ("x", _in_tree("cuhk_sysu", "annotation/Images.mat")),
    "cuhk_sysu, queries": ("x", _in_tree("cuhk_sysu", "annotation/test/train_test/TestG50.mat")),
    "own data": ("test.json", lambda path: psbench_data.load("coco", root=path.parent)),
}
"""What takes a file, and what that is called."""


@pytest.mark.parametrize("place", PLACES)
def test_nothing_in_a_file_is_run(place: str, tmp_path: Path) -> None:
    name, read = PLACES[place]
    # Trees take long to copy.
    for form in ("zip", "plain") if place.startswith("cuhk_sysu") else FORMS_OF_PICKLES:
        folder, mark = tmp_path / form, tmp_path / f"{form}-ran"
        folder.mkdir()
        FORMS_OF_PICKLES[form](folder / name, {"model": Trap(mark)})
        with pytest.raises(InputError) as refused:
            read(folder / name)
        assert not mark.exists(), (place, form)
        assert str(folder) in str(refused.value)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_in_a_dump_is_run(form: str, golden: PersonSearchDataset, tmp_path: Path) -> None:
    for kind, write in FORMS_OF_PICKLES.items():
        path = tmp_path / f"{kind}.pth"
        for content in (Trap(tmp_path / "ran"), {"gallery_dets": [Trap(tmp_path / "ran")]}):
            write(path, content)
            with pytest.raises(InputError) as refused:
                import_detections(form, path, golden)
            assert str(path) in str(refused.value)
    assert not (tmp_path / "ran").exists()


def test_the_files_do_run_code_where_that_is_let(tmp_path: Path) -> None:
    """Otherwise the other tests would be of harmless ones."""
    for form, write in FORMS_OF_PICKLES.items():
        write(tmp_path / form, {"model": Trap(tmp_path / f"{form}-ran")})
    for form in ("zip", "old"):
        torch.load(tmp_path / form, weights_only=False)
    pickle.loads((tmp_path / "plain").read_bytes())
    with zipfile.ZipFile(tmp_path / "script") as archive:
        pickle.loads(archive.read("script/constants.pkl"))
    for form in ("npy", "npz"):
        with (tmp_path / form).open("rb") as file:
            found = np.load(file, allow_pickle=True)
            _ = found["counts"] if form == "npz" else found
    assert {path.name.removesuffix("-ran") for path in tmp_path.glob("*-ran")} == set(FORMS_OF_PICKLES)


def test_what_is_kept_of_annotations_is_no_place_for_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path / "cache"))
    first = psbench_data.load("cuhk_sysu", root=GOLDEN).fingerprint
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert any(path.suffix == ".arrow" for path in files)
    for path in files:
        path.unlink()
        _plain(path, Trap(tmp_path / "ran"))
    assert psbench_data.load("cuhk_sysu", root=GOLDEN).fingerprint == first
    assert not (tmp_path / "ran").exists()


COMMANDS = {
    "import-weights": ("seqnet", "FILE", "--data", "prw", "-o", "out"),
    "predict": ("FILE", "--root", str(GOLDEN), "-o", "out"),
    "search": ("--weights", "FILE", "--query", "FILE", "--gallery", "pictures", "-o", "out.html", "--largest"),
    "index": ("--weights", "FILE", "--gallery", "pictures", "-o", "out"),
    "view-points": ("FILE", "--root", str(GOLDEN), "-o", "out"),
    "efficiency": ("seqnet", "--weights", "FILE"),
    "import-detections": ("seqnet", "FILE", "--root", str(GOLDEN), "-o", "out"),
    "evaluate": ("FOLDER", "--root", str(GOLDEN)),
    "submit": ("FOLDER", "--root", str(GOLDEN), "--card", "FILE", "--board", "out"),
}
"""What takes a file of weights, a dump, a card or predictions on the command line."""


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_runs_what_is_in_a_file(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    Image.new("RGB", (64, 48)).save("pictures/a.png")
    for form in ("zip", "plain"):
        folder = tmp_path / form
        folder.mkdir()
        for name in ("model.safetensors", "x.pth", MANIFEST):
            FORMS_OF_PICKLES[form](folder / name, {"model": Trap(tmp_path / "ran")})
        file = folder / "x.pth" if command.startswith("import") else folder
        words = [{"FILE": str(file), "FOLDER": str(folder)}.get(word, word) for word in COMMANDS[command]]
        found = CliRunner().invoke(app, [command, *words])
        assert found.exit_code == 1, found.output
        assert "error: " in found.output
        assert str(folder) in found.output
        assert found.exception is None or isinstance(found.exception, SystemExit)
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.glob("out*"))
