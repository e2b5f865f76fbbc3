"""Prediction: a model over a dataset's test scenes and queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from psbench.predictions import Predictions
from psbench.zoo import Detections
from psbench.zoo.images import image_tensor, to_float
from psbench_data import InputError, PersonSearchDataset, Scenes


def predict(
    model: Any,
    dataset: PersonSearchDataset,
    *,
    protocols: Sequence[str] | None = None,
    ground_truth_boxes: bool = False,
    batch_size: int = 1,
    method: str = "",
    progress: bool = True,
) -> Predictions:
    """Detect and embed the people of every test scene, and embed the queries.

    Args:
        model: a `PersonSearcher` that is a torch module.
        dataset: its `test` split is predicted.
        protocols: whose queries to embed; all by default. A query that several share is embedded once.
        ground_truth_boxes: embed the annotated boxes, as queries are, with score 1, instead of detecting: what the
            embeddings would reach with a perfect detector.
        batch_size: scenes at once. Batches pad images to a common size, which moves results a little; 1 does not.
        method: a name to keep with the predictions.
        progress: whether to show progress bars.

    Returns:
        Predictions that fit each of the protocols.

    Raises:
        InputError: a protocol is unknown, or images are missing.
    """
    test = dataset.split("test")
    test.require_images()
    queries = _distinct_queries(dataset, dataset.protocols if protocols is None else protocols)
    device = Accelerator().device
    model = model.to(device).eval()
    detections: list[Detections] = []
    what = "embedding true boxes" if ground_truth_boxes else "detecting"
    for start, images in _batches(test, range(len(test)), batch_size, device, what, progress):
        if ground_truth_boxes:
            boxes = [torch.tensor(test[start + i].boxes, device=device) for i in range(len(images))]
            detections += [
                Detections(boxes=b, scores=b.new_ones(len(b)), embeddings=e)
                for b, e in zip(boxes, model.embed(images, boxes), strict=True)
            ]
        else:
            detections += model.detect(images)
    scenes = sorted(queries)
    embedded: dict[int, np.ndarray] = {}
    for start, images in _batches(test, scenes, batch_size, device, "embedding queries", progress):
        group = scenes[start : start + batch_size]
        boxes = [torch.tensor(np.stack(queries[scene]), device=device) for scene in group]
        embedded |= {s: e.cpu().numpy() for s, e in zip(group, model.embed(images, boxes), strict=True)}
    return Predictions.from_arrays(
        test.names,
        counts=[len(d.scores) for d in detections],
        boxes=_join([d.boxes for d in detections]),
        scores=_join([d.scores for d in detections]),
        embeddings=_join([d.embeddings for d in detections]),
        query_embeddings=np.concatenate([embedded[scene] for scene in scenes]),
        query_scenes=[test.names[scene] for scene in scenes for _ in queries[scene]],
        query_boxes=np.concatenate([np.stack(queries[scene]) for scene in scenes]),
        method=method,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        synthetic=dataset.synthetic,
    )


def _distinct_queries(dataset: PersonSearchDataset, protocols: Sequence[str]) -> dict[int, list[np.ndarray]]:
    """Per test scene: the boxes to embed in it, each once."""
    if not protocols:
        raise InputError("predict: no protocol given, so there are no queries. Name at least one of dataset.protocols.")
    boxes: dict[int, dict[bytes, np.ndarray]] = {}
    for name in protocols:
        queries = dataset.protocol(name).queries
        for scene, box in zip(queries.scenes.tolist(), queries.boxes, strict=True):
            boxes.setdefault(scene, {}).setdefault(box.tobytes(), box)
    return {scene: list(distinct.values()) for scene, distinct in boxes.items()}


def _batches(
    scenes: Scenes, indices: Sequence[int], batch_size: int, device: torch.device, what: str, progress: bool
) -> Iterator[tuple[int, list[Tensor]]]:
    """Decoded images, and the position in `indices` that each batch starts at."""
    with tqdm(total=len(indices), desc=what, unit="scene", disable=not progress) as bar:
        for start in range(0, len(indices), batch_size):
            group = indices[start : start + batch_size]
            yield start, [to_float(image_tensor(scenes[i]).to(device)) for i in group]
            bar.update(len(group))


def _join(tensors: list[Tensor]) -> np.ndarray:
    return torch.cat(tensors).float().cpu().numpy()
