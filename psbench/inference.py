"""Prediction: a model over a dataset's test scenes and queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from psbench.predictions import Predictions
from psbench.training.accelerator import single_process
from psbench.zoo import Detections
from psbench.zoo.images import image_tensor, to_float
from psbench_data import InputError, PersonSearchDataset, Scenes


@torch.no_grad()
def predict(
    model: Any,
    dataset: PersonSearchDataset,
    *,
    protocols: Sequence[str] | None = None,
    ground_truth_boxes: bool = False,
    context: bool = False,
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
        context: detect the people around each query, too, as CBGM needs it.
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
    query_scenes, query_boxes = _distinct_queries(dataset, dataset.protocols if protocols is None else protocols)
    device = single_process().device
    model = model.to(device).eval()
    boxes_on_device = torch.tensor(query_boxes, device=device)

    detections: list[Detections] = []
    what = "embedding true boxes" if ground_truth_boxes else "detecting"
    for now, images in _batches(test, range(len(test)), batch_size, device, what, progress):
        if ground_truth_boxes:
            boxes = [torch.tensor(test[i].boxes, device=device) for i in range(len(test))[now]]
            detections += [
                Detections(boxes=b, scores=b.new_ones(len(b)), embeddings=e)
                for b, e in zip(boxes, model.embed(images, boxes), strict=True)
            ]
        else:
            detections += model.detect(images)
    embeddings: list[Tensor] = []
    for now, images in _batches(test, query_scenes, batch_size, device, "embedding queries", progress):
        embeddings += model.embed(images, list(boxes_on_device[now, None]))
    around: list[Detections] = []
    if context:
        for now, images in _batches(test, query_scenes, batch_size, device, "detecting around queries", progress):
            around += model.detect(images, include=list(boxes_on_device[now, None]))
    return Predictions.from_arrays(
        test.names,
        **_columns(detections),
        query_embeddings=_join(embeddings),
        query_scenes=[test.names[scene] for scene in query_scenes],
        query_boxes=query_boxes,
        context=_columns(around) if context else None,
        method=method,
        dataset=dataset.name,
        fingerprint=test.fingerprint,
        synthetic=dataset.synthetic,
    )


def _distinct_queries(dataset: PersonSearchDataset, protocols: Sequence[str]) -> tuple[list[int], np.ndarray]:
    """The scene (index) and box of every query of the protocols, each once."""
    if not protocols:
        raise InputError("predict: no protocol given, so there are no queries. Name at least one of dataset.protocols.")
    distinct: dict[tuple[int, bytes], np.ndarray] = {}
    for name in protocols:
        queries = dataset.protocol(name).queries
        for scene, box in zip(queries.scenes.tolist(), queries.boxes, strict=True):
            distinct.setdefault((scene, box.tobytes()), box)
    return [scene for scene, _ in distinct], np.stack(list(distinct.values()))


def _batches(
    scenes: Scenes, indices: Sequence[int], batch_size: int, device: torch.device, what: str, progress: bool
) -> Iterator[tuple[slice, list[Tensor]]]:
    """The decoded images of some scenes, and which of `indices` each batch is."""
    with tqdm(total=len(indices), desc=what, unit="scene", disable=not progress) as bar:
        for start in range(0, len(indices), batch_size):
            now = slice(start, start + batch_size)
            images = [to_float(image_tensor(scenes[i]).to(device)) for i in indices[now]]
            yield now, images
            bar.update(len(images))


def _columns(detections: list[Detections]) -> dict[str, Any]:
    return {
        "counts": [len(d.scores) for d in detections],
        "boxes": _join([d.boxes for d in detections]),
        "scores": _join([d.scores for d in detections]),
        "embeddings": _join([d.embeddings for d in detections]),
    }


def _join(tensors: list[Tensor]) -> np.ndarray:
    return torch.cat(tensors).float().cpu().numpy()
