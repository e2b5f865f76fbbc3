"""Writes a synthetic world as the CUHK-SYSU archive: same folders, same variables, same integer types."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from psbench_data.atomic import new_folder
from psbench_data.dataset import SYNTHETIC_MARKER
from psbench_data.errors import InputError
from psbench_data.synthetic.places import draw_scene
from psbench_data.synthetic.world import PlannedScene, WorldSpec, plan_split

GALLERY_SIZES = (50, 100, 500, 1000, 2000, 4000)
"""The official gallery sizes; those are written that the test scenes suffice for."""


def write_cuhk_sysu(spec: WorldSpec, root: Path, *, images: bool = True, progress: bool = False) -> None:
    """Plan, draw and write a world.

    The folder appears whole or not at all: it is written beside `root` and renamed at the end.

    Args:
        spec: the world.
        root: the folder to make; it must not exist, or be empty.
        images: whether to draw the pictures; without them, only annotations are written.
        progress: whether to show a progress bar.

    Raises:
        InputError: `root` has content, or the spec cannot be planned.
    """
    if spec.test_scenes <= GALLERY_SIZES[0]:
        raise InputError(
            f"synthesize: test_scenes={spec.test_scenes}: the smallest official gallery has {GALLERY_SIZES[0]} scenes "
            f"besides the query's own. Ask for at least {GALLERY_SIZES[0] + 1}."
        )
    splits = {split: plan_split(spec, split) for split in ("train", "test")}
    # Official names carry arbitrary numbers: train and test scenes alternate without order.
    numbers = np.random.default_rng([spec.seed, 3]).permutation(spec.train_scenes + spec.test_scenes) + 1
    names = [f"s{number}.jpg" for number in numbers]
    named = {
        "train": dict(zip(names[: spec.train_scenes], splits["train"], strict=True)),
        "test": dict(zip(names[spec.train_scenes :], splits["test"], strict=True)),
    }
    with new_folder(root) as partial:
        _write_annotations(named, spec, partial / "annotation")
        if images:
            _write_images(named, spec, partial / "Image" / "SSM", progress)
        marker = {"written_by": "psbench-data synthesize", "format": "cuhk_sysu", **dataclasses.asdict(spec)}
        (partial / SYNTHETIC_MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")


def _write_images(splits: dict[str, dict[str, PlannedScene]], spec: WorldSpec, folder: Path, progress: bool) -> None:
    from tqdm import tqdm

    folder.mkdir(parents=True)
    scenes = {name: scene for split in splits.values() for name, scene in split.items()}
    for name, scene in tqdm(scenes.items(), desc="drawing scenes", unit="scene", disable=not progress):
        rng = np.random.default_rng([spec.seed, 4, int(name[1:-4])])
        draw_scene(scene.place, scene.figures, spec.image_size, rng).save(folder / name, quality=92)


def _write_annotations(splits: dict[str, dict[str, PlannedScene]], spec: WorldSpec, folder: Path) -> None:
    lists = folder / "test" / "train_test"
    lists.mkdir(parents=True)
    scenes = splits["train"] | splits["test"]
    names = sorted(scenes, key=lambda name: int(name[1:-4]))
    images = [(n, len(scenes[n].boxes), _structs(_BOX, [(_xywh(b), _flag(0)) for b in scenes[n].boxes])) for n in names]
    _save(folder / "Images.mat", "Img", _structs(("imname", "nAppear", "box"), images))
    _save(folder / "pool.mat", "pool", _cells(list(splits["test"])))
    people = [
        _structs(("idname", "nAppear", "scene"), [(_id_name(i), len(places), _structs(_ENTRY, _entries(places)))])
        for i, places in enumerate(_appearances(splits["train"], spec.train_identities))
    ]
    _save(lists / "Train.mat", "Train", _cells(people))
    rows = _search_rows(splits["test"], spec)
    for size in GALLERY_SIZES:
        if size <= spec.test_scenes - 1:
            galleries = [(query, _structs(_ENTRY, gallery[:size])) for query, gallery in rows]
            _save(lists / f"TestG{size}.mat", f"TestG{size}", _structs(("Query", "Gallery"), galleries))


_BOX = ("idlocate", "ishard")
_ENTRY = ("imname", "idlocate", "ishard")
_Place = tuple[str, np.ndarray]


def _search_rows(test: dict[str, PlannedScene], spec: WorldSpec) -> list[tuple[np.ndarray, list[tuple]]]:
    """Per query: its struct and the whole pool as gallery entries, the person's scenes first, then the others.

    Every gallery size takes the front of this list, so a larger gallery contains the smaller ones.
    """
    rng = np.random.default_rng([spec.seed, 5])
    pool = np.array(list(test))
    rows = []
    for i, places in enumerate(_appearances(test, spec.test_identities)):
        chosen = int(rng.integers(len(places)))
        name, box = places.pop(chosen)
        query = _structs((*_ENTRY, "idname"), [(name, _xywh(box), _flag(0), f"p{1 + spec.train_identities + i}")])
        without = set(pool.tolist()) - {name} - {place[0] for place in places}
        others = [n for n in rng.permutation(pool).tolist() if n in without]
        empty = np.zeros((1, 0))
        rows.append((query, [*_entries(places), *((n, empty, empty) for n in others)]))
    return rows


def _appearances(scenes: dict[str, PlannedScene], identities: int) -> list[list[_Place]]:
    """Per identity: the scenes that it is in, each with its box."""
    places: list[list[_Place]] = [[] for _ in range(identities)]
    for name, scene in scenes.items():
        for box, person_id in zip(scene.boxes, scene.person_ids, strict=True):
            if person_id is not None:
                places[person_id].append((name, box))
    return places


def _entries(places: Iterable[_Place]) -> list[tuple]:
    return [(name, _xywh(box), _flag(0)) for name, box in places]


def _id_name(row: int) -> str:
    return f"p{row + 1}"


def _xywh(box: np.ndarray) -> np.ndarray:
    """As in the genuine files: uint8 where the four values fit, else uint16."""
    values = np.concatenate([box[:2], box[2:] - box[:2]])
    return values[None].astype(np.uint8 if values.max() <= 255 else np.uint16)


def _flag(value: int) -> np.ndarray:
    return np.array([[value]], np.uint8)


def _structs(names: Sequence[str], rows: Sequence[tuple]) -> np.ndarray:
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in names])
    for i, row in enumerate(rows):
        array[0, i] = tuple(_cells([value])[0, 0] if isinstance(value, str) else value for value in row)
    return array


def _cells(values: Sequence) -> np.ndarray:
    array = np.empty((len(values), 1), dtype=object)
    for i, value in enumerate(values):
        # The genuine files wrap every name in a cell of its own.
        array[i, 0] = np.array([value], dtype=object) if isinstance(value, str) else value
    return array


def _save(path: Path, variable: str, value: np.ndarray) -> None:
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, {variable: value}, do_compression=True)
    content = stream.getbuffer()
    # The header's free text holds the time of writing; without it, equal worlds are equal bytes.
    content[:116] = b"MATLAB 5.0 MAT-file, written by psbench-data synthesize".ljust(116)
    path.write_bytes(content)
