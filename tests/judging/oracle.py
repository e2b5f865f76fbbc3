"""The search evaluation once more, written as plainly as possible: loops over queries, scenes and detections.

Written from the description of SeqNet's evaluator, with scikit-learn's average precision; shares no code with psbench.
"""

import numpy as np
from sklearn.metrics import average_precision_score

from psbench import Predictions
from psbench_data import Protocol


def iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def search(predictions: Predictions, protocol: Protocol, det_threshold: float) -> list[tuple[float, float]]:
    """Per query: average precision and the rank of the first right detection (infinite without one)."""
    names = protocol.scenes.names
    rows = {
        name: range(predictions.offsets[i], predictions.offsets[i + 1])
        for i, name in enumerate(predictions.scene_names)
    }
    results = []
    for q in range(len(protocol.queries)):
        entries = protocol.listed(q).tolist()
        for scene in range(len(names)):
            camera, own = protocol.scenes.camera_ids[scene], protocol.scenes.camera_ids[protocol.queries.scenes[q]]
            by_rule = {
                "none": False,
                "all": True,
                "other-cameras": camera != own,
                "same-camera": camera == own,
            }[protocol.rest]
            if by_rule and scene in protocol.pool and scene != protocol.queries.scenes[q] and scene not in entries:
                entries.append(scene)
        truth = dict(
            zip(
                protocol.truth_entries[protocol.truth_queries == q].tolist(),
                protocol.truth_boxes[protocol.truth_queries == q].astype(float),
                strict=True,
            )
        )
        labels: list[int] = []
        similarities: list[float] = []
        found, seen = 0, set()
        for position, scene in enumerate(entries):
            if scene in seen:
                continue
            seen.add(scene)
            detections = [d for d in rows[names[scene]] if predictions.scores[d] >= det_threshold]
            of_scene = [float(predictions.embeddings[d] @ predictions.query_embeddings[q]) for d in detections]
            right = None
            if position in truth:
                box = truth[position]
                w, h = box[2] - box[0], box[3] - box[1]
                threshold = min(0.5, w * h / ((w + 10) * (h + 10)))
                for i in sorted(range(len(detections)), key=lambda i: -of_scene[i]):
                    if iou(box, predictions.boxes[detections[i]].astype(float)) >= threshold:
                        right, found = i, found + 1
                        break
            labels += [int(i == right) for i in range(len(detections))]
            similarities += of_scene
        ap = average_precision_score(labels, similarities) * found / len(truth) if found else 0.0
        # Among equals, wrong detections stand first.
        order = sorted(range(len(labels)), key=lambda i: (-similarities[i], labels[i]))
        rank = next((place for place, i in enumerate(order, start=1) if labels[i]), np.inf)
        results.append((ap, rank))
    return results
