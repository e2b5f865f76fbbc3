"""What SeqNet's evaluation leaves in data/eval_cache/eval_cache.pth, and GLCNet's after it.

    gallery_dets      a list of S arrays, (n, 5): x1, y1, x2, y2, score; pixels of the original images
    gallery_feats     a list of S arrays, (n, D)
    query_dets        a list of Q arrays, as gallery_dets: everybody around each query, the query's own box first
    query_feats       a list of Q arrays, as gallery_feats
    query_box_feats   a list of Q arrays of D numbers

Read in `evaluate_performance` of serend1p1ty/SeqNet (engine.py, commit 1e0c4e0) and ZhengPeng7/GLCNet (engine.py,
commit 09e737b). No names stand in it: scenes are in the order of the list of test scenes, queries in that of the query
list (their datasets/cuhk_sysu.py, prw.py and mvn.py), which is also the order of psbench_data.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from psbench.importing.array_lists import read_array_lists
from psbench.importing.dump import Dump
from psbench_data import InputError

_NEEDED = ("gallery_dets", "gallery_feats", "query_box_feats")
_CONTEXT = ("query_dets", "query_feats")


def read_eval_cache(path: Path) -> Dump:
    """Read such a file.

    Raises:
        InputError: listing everything that is wrong with it.
    """
    lists = read_array_lists(path, _NEEDED, _CONTEXT)
    queries = [array.ravel() for array in lists["query_box_feats"]]
    if not queries or not len(queries[0]):
        raise InputError(f"{path}: query_box_feats is empty, expected an array of D numbers for each query.")
    dim = len(queries[0])
    faults = [
        f"{path}: query_box_feats[{i}] has {len(query)} numbers, expected {dim}, as the first one has."
        for i, query in enumerate(queries)
        if len(query) != dim
    ]
    pairs = [("gallery_dets", "gallery_feats"), *([_CONTEXT] if all(name in lists for name in _CONTEXT) else [])]
    for dets, feats in pairs:
        faults += _pair_faults(path, dets, lists[dets], feats, lists[feats], dim)
    if faults:
        raise InputError(faults)
    gallery, *context = (_together(lists[dets], lists[feats], dim) for dets, feats in pairs)
    return Dump(
        counts=gallery["counts"],
        boxes=gallery["boxes"],
        scores=gallery["scores"],
        embeddings=gallery["embeddings"],
        query_embeddings=np.array(queries),
        context=context[0] if context else None,
    )


def _pair_faults(
    path: Path, dets_name: str, dets: list[np.ndarray], feats_name: str, feats: list[np.ndarray], dim: int
) -> list[str]:
    if len(dets) != len(feats):
        return [f"{path}: {len(dets)} {dets_name} and {len(feats)} {feats_name}, expected one of each an image."]
    faults = []
    for i, (det, feat) in enumerate(zip(dets, feats, strict=True)):
        if det.ndim != 2 or det.shape[1] != 5:
            faults.append(f"{path}: {dets_name}[{i}] has shape {det.shape}, expected (n, 5): x1, y1, x2, y2, score.")
        # Where nothing was found, SeqNet writes 0 x 256 whatever D is.
        elif feat.shape != (len(det), dim) and (len(det) or feat.size):
            faults.append(f"{path}: {feats_name}[{i}] has shape {feat.shape}, expected {(len(det), dim)}.")
    return faults


def _together(dets: list[np.ndarray], feats: list[np.ndarray], dim: int) -> dict[str, np.ndarray]:
    rows = np.concatenate([np.zeros((0, 5), np.float32), *dets])
    return {
        "counts": np.array([len(det) for det in dets], np.int64),
        "boxes": rows[:, :4],
        "scores": rows[:, 4],
        "embeddings": np.concatenate([np.zeros((0, dim), np.float32), *(feat for feat in feats if feat.size)]),
    }
