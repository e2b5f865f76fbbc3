"""The search as the field's evaluators run it: for each query, for each scene, a small product and a few lists.

With all that SeqNet's keeps for each query: the annotations searched for the person, the gallery put together, and the
scene and box of every detection listed beside its similarity.
"""

from collections.abc import Iterable

import numpy as np
from sklearn.metrics import average_precision_score

from psbench import Predictions
from psbench_data import Protocol


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    common = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def average_precisions(predictions: Predictions, protocol: Protocol, queries: Iterable[int]) -> list[float]:
    """The average precision of some queries, in the field's way."""
    names, found = protocol.scenes.names, {}
    people = [scene.person_ids for scene in protocol.scenes]
    for i, name in enumerate(predictions.scene_names):
        rows = np.arange(predictions.offsets[i], predictions.offsets[i + 1])
        rows = rows[predictions.scores[rows] >= 0.5]
        if len(rows):
            found[name] = predictions.boxes[rows], predictions.embeddings[rows]
    results = []
    for q in queries:
        if protocol.by_rule:
            person, own = protocol.queries.person_ids[q], names[protocol.queries.scenes[q]]
            with_person = [name for name, ids in zip(names, people, strict=True) if person in ids and name != own]
            gallery = [name for name in names if name != own]
            assert len(with_person) == protocol.truth_offsets[q + 1] - protocol.truth_offsets[q]
        else:
            gallery = [names[scene] for scene in protocol.gallery(q)]
        truth = {
            names[protocol.truth_scenes[t]]: protocol.truth_boxes[t]
            for t in range(protocol.truth_offsets[q], protocol.truth_offsets[q + 1])
        }
        labels: list[int] = []
        similarities: list[float] = []
        scenes: list[str] = []
        boxes: list[np.ndarray] = []
        by_scene: dict[str, np.ndarray] = {}
        right = 0
        for name in gallery:
            if name in found and name not in by_scene:
                embeddings = found[name][1]
                by_scene[name] = embeddings.reshape(embeddings.shape[:2]).dot(predictions.query_embeddings[q]).ravel()
        for name, of_scene in by_scene.items():
            candidates = found[name][0]
            label = np.zeros(len(of_scene), np.int32)
            if name in truth:
                box = truth[name]
                w, h = box[2] - box[0], box[3] - box[1]
                threshold = min(0.5, w * h / ((w + 10) * (h + 10)))
                order = np.argsort(of_scene)[::-1]
                of_scene, candidates = of_scene[order], candidates[order]
                for place, candidate in enumerate(candidates):
                    if _iou(candidate, box) >= threshold:
                        label[place] = 1
                        right += 1
                        break
            labels.extend(list(label))
            similarities.extend(list(of_scene))
            scenes.extend([name] * len(of_scene))
            boxes.extend(list(candidates))
        ap = average_precision_score(np.asarray(labels), np.asarray(similarities)) if right else 0.0
        results.append(float(ap) * right / len(truth))
    return results
