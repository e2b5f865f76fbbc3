"""Scenes in the object-detection layout of Hugging Face: one row a scene, its people in lists.

    image      {bytes, path}     the file's path, or its bytes
    image_id   string            the scene's name, unique within the split
    width      int32             pixels, null where neither annotation nor file says
    height     int32
    camera_id  int64             null where the dataset does not say
    objects    {bbox             lists of 4 x float32: x, y, width, height, pixels
                person_id        lists of int64, -1 for a person without an identity
                identity}        lists of string, null for a person without an identity

`person_id` counts from 0 in each split anew: number 5 of train and number 5 of test are two people. `identity` is the
dataset's own label, by which somebody who is in both splits (PRW has such people) is recognised.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import datasets
import numpy as np
import pyarrow as pa

from psbench_data.errors import InputError
from psbench_data.images import opened_image
from psbench_data.scenes import UNLABELED, Scene, Scenes

VERSION = 1
"""Grows when an export's content changes for the same dataset."""
_THREADS = min(8, os.cpu_count() or 1)

T = TypeVar("T")
R = TypeVar("R")


def features(*, images: bool = True) -> datasets.Features:
    """The columns' types; without the column `image` if `images` is false."""
    value = datasets.Value
    columns = {
        "image": datasets.Image(),
        "image_id": value("string"),
        "width": value("int32"),
        "height": value("int32"),
        "camera_id": value("int64"),
        "objects": {
            "bbox": datasets.List(datasets.List(value("float32"), length=4)),
            "person_id": datasets.List(value("int64")),
            "identity": datasets.List(value("string")),
        },
    }
    return datasets.Features(columns if images else {k: v for k, v in columns.items() if k != "image"})


def scene_table(scenes: Scenes, *, images: bool = True) -> pa.Table:
    """The rows of a split, with the images as paths.

    Args:
        scenes: S scenes.
        images: whether to have the column `image`.

    Returns:
        S rows with the schema of `features`.
    """
    sizes, unknown = image_sizes(scenes), scenes.camera_ids < 0
    columns = {
        "image_id": pa.array(scenes.names, pa.string()),
        "width": pa.array(sizes[:, 1], pa.int32(), mask=sizes[:, 1] == 0),
        "height": pa.array(sizes[:, 0], pa.int32(), mask=sizes[:, 0] == 0),
        "camera_id": pa.array(scenes.camera_ids, pa.int64(), mask=unknown),
        "objects": _objects(scenes),
    }
    if images:
        columns["image"] = image_column(None, [str(path) for path in image_files(scenes)])
    schema = features(images=images).arrow_schema
    return pa.table([columns[name] for name in schema.names], schema=schema)


def image_column(contents: list[bytes] | None, paths: list[str]) -> pa.StructArray:
    """The column `image`: the files' bytes, or None for paths alone."""
    data = pa.array([None] * len(paths) if contents is None else contents, pa.binary())
    return pa.StructArray.from_arrays([data, pa.array(paths, pa.string())], ["bytes", "path"])


def image_files(scenes: Scenes) -> list[Path]:
    """Where the images are, absolute: an export lies in another folder than the program that reads it."""
    root = scenes.root.absolute()
    return [root / path for path in scenes.paths]


def image_sizes(scenes: Scenes) -> np.ndarray:
    """(S, 2) int32: height and width, pixels; from the image's header where the annotation does not say, else 0."""
    sizes = scenes.sizes.copy()
    unknown = np.flatnonzero((sizes == 0).any(axis=1))
    files = image_files(scenes)
    for i, size in zip(unknown, _at_once(_header, [files[i] for i in unknown]), strict=True):
        sizes[i] = size
    return sizes


def require_readable_images(splits: Mapping[str, Scenes], *, progress: bool = False) -> None:
    """Decode every image once.

    Args:
        splits: the scenes, by the name that the progress bar shows.
        progress: whether to show one.

    Raises:
        InputError: naming every image that is missing or does not decode.
    """
    from tqdm import tqdm

    faults: list[str] = []
    for split, scenes in splits.items():
        results = _at_once(_fault, scenes)
        bar = tqdm(results, total=len(scenes), desc=f"checking {split}", unit="image", disable=not progress)
        faults += [fault for fault in bar if fault]
    if faults:
        raise InputError(faults)


def _objects(scenes: Scenes) -> pa.StructArray:
    corners = scenes.boxes
    sides = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    people = scenes.person_ids
    labels = pa.array(scenes.identities, pa.string()).take(pa.array(people, mask=people == UNLABELED))
    offsets = pa.array(scenes.offsets, pa.int32())
    values = [pa.FixedSizeListArray.from_arrays(pa.array(sides.ravel()), 4), pa.array(people), labels]
    return pa.StructArray.from_arrays(
        [pa.ListArray.from_arrays(offsets, each) for each in values], ["bbox", "person_id", "identity"]
    )


def _at_once(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results in order, from threads: decoding releases Python's lock, and a network's disk answers late."""
    with ThreadPoolExecutor(_THREADS) as threads:
        yield from threads.map(function, items)


def _header(path: Path) -> tuple[int, int]:
    try:
        with opened_image(path, headers_only=True) as image:
            return image.height, image.width
    # Pillow meets damaged files with OSError, SyntaxError, TypeError, struct.error, ...
    except Exception:
        return 0, 0


def _fault(scene: Scene) -> str | None:
    try:
        scene.image()
    except InputError as error:
        return str(error)
    return None
