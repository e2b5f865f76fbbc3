"""Detections that other code dumped: .npz files, files of torch.save, lists of names."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import torch

from psbench import Predictions
from psbench.importing import import_detections, read_names
from tests.leaderboard.making import honest
from tests.reliability.fuzz.grammar import npy_changed, zip_changed
from tests.reliability.fuzz.of_psbench_predictions import dataset
from tests.reliability.fuzz.target import Target


def _made() -> Predictions:
    return honest(dataset())


def _make_npz(folder: Path) -> None:
    made = _made()
    queries = len(made.query_embeddings)
    np.savez(
        folder / "dump.npz",
        counts=made.counts,
        boxes=made.boxes,
        scores=made.scores,
        embeddings=made.embeddings,
        query_embeddings=made.query_embeddings,
        scene_names=np.array(made.scene_names),
        query_scenes=np.array(made.query_scenes),
        query_boxes=made.query_boxes,
        context_counts=np.ones(queries, int),
        context_boxes=made.query_boxes,
        context_scores=np.ones(queries),
        context_embeddings=made.query_embeddings,
    )


def _make_cache(folder: Path, **how: bool) -> None:
    made = _made()
    found = np.column_stack([made.boxes, made.scores])
    asked = np.column_stack([dataset().protocol(dataset().protocols[0]).queries.boxes])
    people = made.query_embeddings[: len(asked)]
    lists = {
        "gallery_dets": np.split(found, made.offsets[1:-1]),
        "gallery_feats": np.split(made.embeddings, made.offsets[1:-1]),
        "query_dets": [np.append(box, 1)[None] for box in asked],
        "query_feats": [person[None] for person in people],
        "query_box_feats": [person[None] for person in people],
    }
    torch.save(lists, folder / "dump.pth", **how)


def _make_old_cache(folder: Path) -> None:
    _make_cache(folder, _use_new_zipfile_serialization=False)


def _make_names(folder: Path) -> None:
    (folder / "names.txt").write_text("".join(f"{name}\n" for name in _made().scene_names), "utf-8")
    _make_npz(folder)


def _npz(folder: Path) -> object:
    return import_detections("npz", folder / "dump.npz", dataset())


def _cache(folder: Path) -> object:
    return import_detections("seqnet", folder / "dump.pth", dataset())


def _names(folder: Path) -> object:
    return import_detections("npz", folder / "dump.npz", dataset(), names=read_names(folder / "names.txt"))


def _npz_changed(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: zip_changed(random, content, npy_changed) for path, content in files.items()}


def _zip_changed(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: zip_changed(random, content) for path, content in files.items()}


TARGETS = (
    Target("detections in an .npz file", _make_npz, ("dump.npz",), _npz, _npz_changed),
    Target("detections of SeqNet's eval_cache.pth", _make_cache, ("dump.pth",), _cache, _zip_changed),
    Target("detections of eval_cache.pth before torch 1.6", _make_old_cache, ("dump.pth",), _cache),
    Target("list of scenes' names", _make_names, ("names.txt",), _names),
)
