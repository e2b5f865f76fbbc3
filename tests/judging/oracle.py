"""The evaluator once more, written as plainly as possible: loops over queries, scenes and detections.

Written from the description of the published evaluators, with scikit-learn's average precision and every assignment
tried out; shares no code with psbench. Similarities are float64, correctly rounded.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from sklearn.metrics import average_precision_score

from psbench import CBGM, Predictions
from psbench_data import Protocol, Scenes

Found = list[tuple[np.ndarray, float]]
"""The detections of a scene: boxes and similarities."""


@dataclass(frozen=True)
class Evaluator:
    """What the descriptions say of an evaluator; the defaults are SeqNet's rules with its defects mended."""

    thresholds: tuple[float, float] = (0.5, 0.5)
    """Of the search: with galleries from lists, and by rule."""
    detection_threshold: float = 0.01
    scores_repeats: bool = False
    skips_own_scene: bool = False
    boxes_by_identity: bool = False
    scores_lists_again: bool = False
    asks_with_detection: bool = False
    """Which also scales all embeddings to length one."""
    cbgm_mean: bool = False
    positive_identities_only: bool = False


EVALUATORS = {
    "default": Evaluator(),
    "seqnet": Evaluator(scores_lists_again=True),
    "glcnet": Evaluator(scores_lists_again=True),
    "nae": Evaluator(scores_repeats=True, positive_identities_only=True),
    "oim": Evaluator(scores_repeats=True, positive_identities_only=True, detection_threshold=0.5),
    "pcnet": Evaluator(scores_repeats=True, skips_own_scene=True, boxes_by_identity=True),
    "alignps": Evaluator(thresholds=(0.2, 0.15), scores_repeats=True, asks_with_detection=True),
    "pstr": Evaluator(thresholds=(0.25, 0.3), scores_repeats=True, asks_with_detection=True, cbgm_mean=True),
}


@dataclass(frozen=True)
class Answer:
    """What a query is worth.

    Attributes:
        ap: average precision; NaN where the query is left out.
        rank: of the first right detection, from 1, infinite without one; of equals, wrong detections stand first, and
            second copies of right ones last.
        rank_range: the lowest and the highest rank that it could have, were the order of equals left to chance.
        matches: the true boxes in the query's gallery.
        found: those with a detection.
    """

    ap: float
    rank: float
    rank_range: tuple[float, float]
    matches: int
    found: int


def iou(a: np.ndarray, b: np.ndarray, extra: int = 0) -> float:
    """Of two boxes, `extra` pixels added to every side."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + extra
    height = min(a[3], b[3]) - max(a[1], b[1]) + extra
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    areas = (a[2] - a[0] + extra) * (a[3] - a[1] + extra) + (b[2] - b[0] + extra) * (b[3] - b[1] + extra)
    return common / (areas - common)


def dot(a: np.ndarray, b: np.ndarray) -> float:
    return math.fsum(a.astype(float) * b.astype(float))


def search(
    predictions: Predictions,
    protocol: Protocol,
    preset: str = "default",
    det_threshold: float | None = None,
    cbgm: CBGM | None = None,
) -> list[Answer]:
    """Every query's answer; the predictions' queries are those of the protocol, in its order."""
    rules = EVALUATORS[preset]
    threshold = rules.thresholds[protocol.by_rule] if det_threshold is None else det_threshold
    lists_again = rules.scores_lists_again and not protocol.by_rule
    embeddings = predictions.embeddings
    if rules.asks_with_detection:
        embeddings = np.array([_unit(e) for e in embeddings]).reshape(embeddings.shape)
    names = protocol.scenes.names
    everything = {name: range(*predictions.offsets[i : i + 2]) for i, name in enumerate(predictions.scene_names)}
    answers = []
    for q in range(len(protocol.queries)):
        listed, rest, matches = _gallery(protocol, q, rules, cbgm is not None)
        company = _company(predictions, protocol, q, threshold, embeddings, rules)
        if company is None or not matches:
            answers.append(Answer(np.nan, np.inf, (np.inf, np.inf), matches, 0))
            continue
        asked = company[0] if rules.asks_with_detection else predictions.query_embeddings[q]
        rows = {
            scene: [d for d in everything[names[scene]] if predictions.scores[d] >= threshold]
            for scene in {*(scene for scene, _ in listed), *rest}
        }
        plain = {scene: [dot(asked, embeddings[d]) for d in of_scene] for scene, of_scene in rows.items()}
        similarities = plain
        if cbgm is not None:
            revisable = {scene for scene, _ in listed} | set([] if lists_again else rest)
            people = {scene: [embeddings[d] for d in rows[scene]] for scene in revisable}
            similarities = plain | _revised(plain, people, company, cbgm, rules.cbgm_mean)
        visits = [(scene, box, _boxed(predictions, rows[scene], similarities[scene])) for scene, box in listed]
        again = {scene for scene, _ in listed} & set(rest)
        visits += [(s, None, _boxed(predictions, rows[s], similarities[s])) for s in rest if s not in again]
        copies = [(scene, _boxed(predictions, rows[scene], plain[scene])) for scene in again]
        answers.append(judge(visits, matches, copies, np.float32 if rules.boxes_by_identity else float))
    return answers


def judge(
    visits: Sequence[tuple[int, np.ndarray | None, Found]],
    matches: int,
    copies: Sequence[tuple[int, Found]] = (),
    dtype: type = float,
) -> Answer:
    """Score one query.

    Args:
        visits: the scenes that are searched, with the true box or None, and what was found there.
        matches: how many true boxes there are.
        copies: scenes that are searched once more, with everything wrong.
        dtype: of the overlaps.
    """
    wrong, right, copy = range(3)
    ranking: list[tuple[float, int]] = []
    right_in: dict[int, int] = {}
    for scene, box, found in visits:
        hit = None
        if box is not None:
            width, height = float(box[2]) - float(box[0]), float(box[3]) - float(box[1])
            least = min(0.5, width * height / ((width + 10) * (height + 10)))
            for i in sorted(range(len(found)), key=lambda i: -found[i][1]):
                if float(iou(box.astype(dtype), found[i][0].astype(dtype))) >= least:
                    hit = right_in[scene] = i
                    break
        ranking += [(similarity, right if i == hit else wrong) for i, (_, similarity) in enumerate(found)]
    for scene, found in copies:
        ranking += [(s, copy if i == right_in.get(scene) else wrong) for i, (_, s) in enumerate(found)]
    hits = sum(kind == right for _, kind in ranking)
    if not hits:
        return Answer(0.0, np.inf, (np.inf, np.inf), matches, 0)
    labels, similarities = [kind == right for _, kind in ranking], [similarity for similarity, _ in ranking]

    def first_right(order: tuple[int, ...]) -> int:
        ordered = sorted(ranking, key=lambda item: (-item[0], order.index(item[1])))
        return [kind for _, kind in ordered].index(right) + 1

    return Answer(
        ap=average_precision_score(labels, similarities) * hits / matches,
        rank=first_right((wrong, right, copy)),
        rank_range=(first_right((right, wrong, copy)), first_right((wrong, copy, right))),
        matches=matches,
        found=hits,
    )


def detection(
    predictions: Predictions,
    scenes: Scenes,
    preset: str = "default",
    det_threshold: float | None = None,
    labeled_only: bool = False,
) -> tuple[float, float]:
    """Recall and average precision; a person numbered 0 is unlabelled where only positive identities count."""
    rules = EVALUATORS[preset]
    threshold = rules.detection_threshold if det_threshold is None else det_threshold
    position = {name: i for i, name in enumerate(predictions.scene_names)}
    people = matched = 0
    labels: list[bool] = []
    scores: list[float] = []
    for scene in scenes:
        boxes = scene.boxes
        if labeled_only:
            boxes = boxes[scene.person_ids >= (1 if rules.positive_identities_only else 0)]
            if not len(boxes):
                continue
        rows = range(*predictions.offsets[position[scene.name] :][:2])
        found = [d for d in rows if predictions.scores[d] >= threshold]
        people += len(boxes)
        overlaps = np.zeros((len(boxes), len(found)), np.float32)
        for i, box in enumerate(boxes):
            for j, d in enumerate(found):
                overlaps[i, j] = iou(box.astype(float), predictions.boxes[d].astype(float))
        for j, d in enumerate(found):
            hit = any(
                overlaps[i, j] >= 0.5 and overlaps[:, j].argmax() == i and overlaps[i].argmax() == j
                for i in range(len(boxes))
            )
            labels.append(hit)
            scores.append(predictions.scores[d])
            matched += hit
    recall = matched / people if people else 0.0
    return recall, average_precision_score(labels, scores) * recall if matched else 0.0


def _gallery(
    protocol: Protocol, q: int, rules: Evaluator, with_cbgm: bool
) -> tuple[list[tuple[int, np.ndarray | None]], list[int], int]:
    """The listed scenes with the true box or None, the other scenes, and how many true boxes there are."""
    scenes, own = protocol.scenes, int(protocol.queries.scenes[q])
    mine = protocol.truth_queries == q
    truth = dict(zip(protocol.truth_entries[mine].tolist(), protocol.truth_boxes[mine], strict=True))
    listed: list[tuple[int, np.ndarray | None]] = []
    for entry, scene in enumerate(protocol.listed(q).tolist()):
        if rules.skips_own_scene and scene == own:
            continue
        box = truth.get(entry)
        if rules.boxes_by_identity:
            people = range(scenes.offsets[scene], scenes.offsets[scene + 1])
            boxes = [
                scenes.annotated_boxes[p] for p in people if scenes.person_ids[p] == protocol.queries.person_ids[q]
            ]
            box = boxes[0] if boxes else None
        listed.append((scene, box))
    matches = sum(box is not None for _, box in listed)
    if with_cbgm or not rules.scores_repeats:
        first: dict[int, np.ndarray | None] = {}
        for scene, box in listed:
            first.setdefault(scene, box)
        listed = list(first.items())
    rest = []
    for scene in protocol.pool.tolist():
        same_camera = scenes.camera_ids[scene] == scenes.camera_ids[own]
        by_rule = {"none": False, "all": True, "other-cameras": not same_camera, "same-camera": same_camera}
        again = rules.scores_lists_again and not protocol.by_rule
        if by_rule[protocol.rest] and scene != own and (again or scene not in dict(listed)):
            rest.append(scene)
    return listed, rest, matches


def _company(
    predictions: Predictions,
    protocol: Protocol,
    q: int,
    threshold: float,
    embeddings: np.ndarray,
    rules: Evaluator,
) -> list[np.ndarray] | None:
    """The embeddings of the people in the query's scene, the query first; None where a query cannot be asked."""
    if not rules.asks_with_detection:
        context = predictions.context
        return [] if context is None else list(context.embeddings[context.offsets[q] : context.offsets[q + 1]])
    i = predictions.scene_names.index(protocol.queries.scene_names[q])
    rows = range(predictions.offsets[i], predictions.offsets[i + 1])
    if not rows:
        return None
    box = protocol.queries.boxes[q].astype(float)
    own = max(rows, key=lambda d: iou(predictions.boxes[d].astype(float), box, extra=1))
    others = [d for d in rows if d != own and predictions.scores[d] >= threshold]
    return [embeddings[d] for d in (own, *sorted(others, key=lambda d: -predictions.scores[d]))]


def _revised(
    similarities: dict[int, list[float]],
    people: dict[int, list[np.ndarray]],
    company: Sequence[np.ndarray],
    cbgm: CBGM,
    mean: bool,
) -> dict[int, list[float]]:
    """Context bipartite graph matching: the similarities in the scenes of the k1 most similar detections."""
    most = sorted(((s, scene) for scene in people for s in similarities[scene]), reverse=True)[: cbgm.k1]
    revised = {}
    for scene in {scene for _, scene in most}:
        weights = [[dot(one, other) for other in people[scene]] for one in company[: cbgm.k2]]
        pairs = _assignment(weights)
        revised[scene] = list(similarities[scene])
        for i, j in pairs:
            if i == 0:
                largest = max(weights[a][b] for a, b in pairs)
                revised[scene][j] = (revised[scene][j] + largest) / 2 if mean else largest
    return revised


def _assignment(weights: list[list[float]]) -> list[tuple[int, int]]:
    """The pairs of rows and columns with the largest sum of weights, all of the smaller side matched."""
    rows, columns = range(len(weights)), range(len(weights[0]))
    if len(rows) <= len(columns):
        every = [list(zip(rows, chosen, strict=True)) for chosen in permutations(columns, len(rows))]
    else:
        every = [list(zip(chosen, columns, strict=True)) for chosen in permutations(rows, len(columns))]
    return max(every, key=lambda pairs: math.fsum(weights[i][j] for i, j in pairs))


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.float32(math.sqrt(dot(vector, vector)))
    return vector / length if length else vector


def _boxed(predictions: Predictions, rows: Sequence[int], similarities: Sequence[float]) -> Found:
    return list(zip(predictions.boxes[list(rows)], similarities, strict=True))
