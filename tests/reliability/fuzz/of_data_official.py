"""The readers of the four official formats, of search lists and of MATLAB files as such."""

from __future__ import annotations

import io
from functools import cache, partial
from pathlib import Path
from random import Random

import numpy as np

import psbench_data
from psbench_data import PersonSearchDataset, matlab
from psbench_data.sources.search_lists import search_rows
from psbench_data.synthetic.formats import default_spec, write
from tests.reliability.fuzz.mat_damage import damaged_mat
from tests.reliability.fuzz.target import Target


def write_small(format_name: str, root: Path, *, images: bool = False) -> None:
    """A tree of a handful of scenes, so that reading it takes milliseconds."""
    spec = default_spec(
        format_name,
        train_scenes=3,
        test_scenes=7,
        train_identities=2,
        test_identities=2,
        walking=0,
        appearances=(2, 3),
        people=(1, 2),
        image_size=(48, 64),
        last_place_size=None,
        places=2,
        pseudo_views=0,
        gallery_entries=(5,),
    )
    write(format_name, spec, root, images=images)


def touch(dataset: PersonSearchDataset) -> int:
    """Look at all that a user would: each scene, query and gallery, and the counts."""
    looked = 0
    for split in ("train", "test"):
        scenes = dataset.split(split)
        looked += sum(len(scene.boxes) + len(scene.person_ids) + len(scene.name) for scene in scenes)
        looked += int(scenes.annotated_boxes.sum()) + len(scenes.fingerprint) + len(scenes.identities)
    for name in dataset.protocols:
        protocol = dataset.protocol(name)
        looked += len(protocol.digest) + len(protocol.unanswerable) + len(protocol.needed)
        for q, query in enumerate(protocol.queries):
            looked += len(query.scene) + query.person_id + len(protocol.gallery(q))
            assert len(protocol.gallery(q)) <= len(dataset.split("test"))
    return looked


def _read(format_name: str, folder: Path) -> int:
    return touch(psbench_data.load(format_name, root=folder))


def _make_arrays(folder: Path) -> None:
    """Arrays of every kind that annotations have."""
    from scipy.io import savemat

    cells = np.empty((3, 2), object)
    for i in range(3):
        cells[i] = f"s{i}.jpg", np.arange(4, dtype=np.uint16)[None]
    rows = [(f"p{i}", np.ones((1, 4)), cells) for i in range(2)]
    people = np.array([rows], [(name, object) for name in ("id", "box", "cells")])
    savemat(folder / "arrays.mat", {"plain": np.arange(10.0).reshape(2, 5), "cells": cells, "people": people})


def _damaged_arrays(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    """Also files of other kinds, which scipy would read: big-endian ones, and those of version 4."""
    if random.random() < 0.8:
        return damaged_mat(random, files)
    return {name: random.choice((_big_endian(), _version_4())) for name in files}


@cache
def _big_endian() -> bytes:
    title = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    flags, dims, name = (6, 8, 6, 0), (5, 8, 1, 3), (1, 5)
    data = np.array([*flags, *dims, *name], ">u4").tobytes() + b"plain\0\0\0"
    data += np.array([9, 24], ">u4").tobytes() + np.arange(3, dtype=">f8").tobytes()
    return title + np.array([14, len(data)], ">u4").tobytes() + data


@cache
def _version_4() -> bytes:
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, {"plain": np.arange(10.0)}, format="4")
    return stream.getvalue()


def _read_arrays(folder: Path) -> list[np.ndarray]:
    return [matlab.read_any(folder / "arrays.mat", [name, "plain"]) for name in ("cells", "people", "missing")]


def _make_search_list(folder: Path) -> None:
    write_small("movienet_cs", folder)


def _read_search_list(folder: Path) -> int:
    rows = search_rows(folder / "annotation/test/train_test/TestG2000.mat", "TestG2000")
    return sum(len(row.gallery_scenes) + int(row.gallery_boxes.sum()) for row in rows)


def _official(name: str, format_name: str, *damaged: str, mat: bool = True) -> Target:
    return Target(
        name=name,
        make=partial(write_small, format_name),
        damaged=damaged,
        read=partial(_read, format_name),
        special=damaged_mat if mat else None,
    )


TARGETS = (
    _official("annotations of CUHK-SYSU (.mat)", "cuhk_sysu", "annotation/**/*.mat"),
    _official("annotations of MovieNet-CS (.mat)", "movienet_cs", "annotation/**/*.mat"),
    _official("annotations of PRW (.mat)", "prw", "*.mat", "annotations/*.mat"),
    _official("query_info.txt and image sizes of PRW", "prw", "query_info.txt", "*_shape.txt", mat=False),
    _official("annotations of LSPS (.txt)", "lsps", "*_frame_*.txt", "query_info.txt", "*_shape.txt", mat=False),
    Target("a search list (.mat)", _make_search_list, ("annotation/**/TestG*.mat",), _read_search_list, damaged_mat),
    Target("MATLAB arrays", _make_arrays, ("arrays.mat",), _read_arrays, _damaged_arrays),
)
