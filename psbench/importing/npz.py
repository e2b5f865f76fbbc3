"""The neutral form: one .npz file with the arrays of `Predictions.from_arrays` under their names, for code of any kind.

counts             (S,) whole numbers: detections of each scene
boxes              (N, 4): x1, y1, x2, y2, pixels of the original images, scene after scene
scores             (N,) in [0, 1]
embeddings         (N, D)
query_embeddings   (Q, D)
scene_names        (S,) text, optional: without them, the dataset's own order
query_scenes       (Q,) text, and query_boxes (Q, 4), optional: without them, the protocol's own order
context_counts     (Q,), context_boxes, context_scores, context_embeddings, optional: the detections around each
                   query, its own box first, for CBGM
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from psbench.importing.dump import Dump
from psbench_data import InputError

_NEEDED = ("counts", "boxes", "scores", "embeddings", "query_embeddings")
_QUERIES = ("query_scenes", "query_boxes")
_CONTEXT = ("context_counts", "context_boxes", "context_scores", "context_embeddings")
_TEXT = ("scene_names", "query_scenes")
_MOST_TIMES, _LEAST_BYTES = 30, 2**28
"""A file may unfold to so many times its size, or to so many bytes: embeddings hardly shrink by compression."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(path: Path) -> Dump:
    """Read such a file; nothing is unpickled, and nothing is made room for that the file does not hold.

    Raises:
        InputError: listing everything that is wrong with it.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file. Write one with numpy.savez.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = _names(path, archive)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names}
    except InputError:
        raise
    except Exception as error:
        # Of a damaged file, there is no telling what zipfile, zlib and NumPy raise.
        raise InputError(f"{path}: not a file of numpy.savez, or damaged ({error}). Write it again.") from None
    return Dump(
        counts=arrays["counts"],
        boxes=arrays["boxes"],
        scores=arrays["scores"],
        embeddings=arrays["embeddings"],
        query_embeddings=arrays["query_embeddings"],
        scene_names=arrays["scene_names"].tolist() if "scene_names" in arrays else None,
        query_scenes=arrays["query_scenes"].tolist() if "query_scenes" in arrays else None,
        query_boxes=arrays.get("query_boxes"),
        context={name.removeprefix("context_"): arrays[name] for name in _CONTEXT if name in arrays} or None,
    )


def _names(path: Path, archive: zipfile.ZipFile) -> list[str]:
    """The arrays to read, all of them whole."""
    files = archive.infolist()
    members = {info.filename.removesuffix(".npy"): info for info in files}
    known = [*_NEEDED, "scene_names", *_QUERIES, *_CONTEXT]
    faults = [f"{path}: has no {name}, expected {', '.join(_NEEDED)}." for name in _NEEDED if name not in members]
    faults += [f"{path}: {name} is none of {', '.join(known)}. Leave it out." for name in members if name not in known]
    for group in (_QUERIES, _CONTEXT):
        there = [name for name in group if name in members]
        if there and len(there) < len(group):
            faults.append(f"{path}: has {', '.join(there)} alone. Give all of {', '.join(group)}, or none.")
    if len(members) < len(files) or not all(info.filename.endswith(".npy") for info in files):
        faults.append(f"{path}: holds other files than arrays, or an array twice. Write it again with numpy.savez.")
    size, most = path.stat().st_size, max(_LEAST_BYTES, _MOST_TIMES * path.stat().st_size)
    if (unfolded := sum(info.file_size for info in members.values())) > most:
        faults.append(f"{path}: would unfold from {size} to {unfolded} bytes. Write it again with numpy.savez.")
    if not faults:
        for name, info in members.items():
            with archive.open(info) as stream:
                faults += [f"{path}: {name} {fault}" for fault in _header_faults(stream, name, info.file_size)]
    if faults:
        raise InputError(faults)
    return list(members)


def _header_faults(stream: IO[bytes], name: str, size: int) -> list[str]:
    """What is wrong with an array, as its header tells; none of it is in memory yet."""
    try:
        read_header = _HEADERS[np.lib.format.read_magic(stream)]
        shape, _, dtype = read_header(stream)
    except (ValueError, KeyError) as error:
        return [f"is not an array ({error})."]
    kinds, expected = ("U", "text") if name in _TEXT else ("iuf", "numbers")
    if dtype.kind not in kinds:
        objects = " Python objects are not read." if dtype.hasobject else ""
        return [f"holds {dtype}, expected {expected}.{objects}"]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size - stream.tell():
        return [f"says that its shape is {shape}, and holds {size - stream.tell()} bytes. Write it again."]
    if not shape or (name in _TEXT and len(shape) != 1):
        return [f"has shape {shape}, expected {'one name a row' if name in _TEXT else 'rows'}."]
    return []
