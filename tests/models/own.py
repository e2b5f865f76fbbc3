"""Folders of one's own pictures, and what tests of searches in them share."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from psbench import zoo
from psbench.matches import Match
from psbench.zoo.weights import describe, save_weights
from psbench_data import PersonSearchDataset
from tests.models.small import SMALL


def pictures(world: PersonSearchDataset, folder: Path, count: int = 12) -> Path:
    """A folder with scenes of the world, some of them below it."""
    scenes = world.split("test")[:count]
    (folder / "at the sea").mkdir(parents=True)
    for i, scene in enumerate(scenes):
        shutil.copy(scene.path, folder / ("at the sea" if i % 3 == 0 else "") / f"{i:02d}{scene.path.suffix}")
    return folder


def tensor(path: Path) -> torch.Tensor:
    """A picture as models take it, by Pillow and numpy alone."""
    with Image.open(path) as image:
        return torch.from_numpy(
            np.array(ImageOps.exif_transpose(image).convert("RGB")).transpose(2, 0, 1) / 255
        ).float()


def by_hand(
    model: Any, query: Path, box: Sequence[float], folder: Path, *, threshold: float = 0.5
) -> list[tuple[str, tuple[float, ...], float]]:
    """Path, box and similarity of everybody in a folder, most similar first: the model asked picture by picture."""
    model.eval()
    with torch.no_grad():
        (wanted,) = model.embed([tensor(query)], [torch.tensor([list(box)], dtype=torch.float32)])
        found = []
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        for name in sorted(files):
            if files[name].read_bytes() == query.read_bytes():
                continue
            (people,) = model.detect([tensor(files[name])])
            for at, score, embedding in zip(people.boxes, people.scores, people.embeddings, strict=True):
                if score >= threshold:
                    found.append((name, tuple(at.tolist()), float(embedding @ wanted[0])))
    return sorted(found, key=lambda one: -one[2])


def assert_ranked(matches: Sequence[Match], expected: Sequence[tuple[str, tuple[float, ...], float]]) -> None:
    """Whether matches are those of `by_hand`, but for the order of equals."""
    assert [match.similarity for match in matches] == sorted((m.similarity for m in matches), reverse=True)
    np.testing.assert_allclose([m.similarity for m in matches], [one[2] for one in expected], atol=1e-5)
    last = expected[-1][2] + 1e-5
    found = {(m.picture, *np.round(m.box.astype(float), 2)) for m in matches if m.similarity > last}
    assert found == {(name, *np.round(box, 2)) for name, box, similarity in expected if similarity > last}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def save_run(folder: Path, name: str, *, seed: int = 0, **changes: Any) -> Path:
    """A folder with a network that has learnt nothing."""
    torch.manual_seed(seed)
    model = zoo.create(name, num_identities=6, **SMALL[name] | changes)
    info = describe(model, name, num_identities=6, dataset="coco", method=f"tiny {name}")
    save_weights(model, folder / "model.safetensors", info)
    return folder
