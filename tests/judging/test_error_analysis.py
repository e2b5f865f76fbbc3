"""What the lost average precision is lost to, against plain loops and small cases worked out by hand."""

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

import psbench
import psbench_data
from psbench import CBGM, PRESETS, InputError, PairwisePredictions, Predictions
from psbench.evaluation.losses import CAUSES, ErrorAnalysis, error_analysis
from psbench_data import PersonSearchDataset, Protocol
from psbench_data.galleries import protocol_table
from psbench_data.protocol import Rest
from psbench_data.scenes import Scenes, scenes_table
from tests.conftest import EVALUATION
from tests.judging.oracle import iou

Causes = dict[str, float]
EXACT = 1e-12


def _causes(values: object) -> Causes:
    return {cause: getattr(values, cause) for cause in CAUSES}


def _check_sums(result: ErrorAnalysis, evaluation: psbench.Evaluation) -> None:
    """Every part is a share, and all together are what is lost: in the mean, by query and by box."""
    assert result.map == evaluation.map
    assert result.lost == 1 - evaluation.map
    assert sum(_causes(result).values()) == pytest.approx(result.lost, abs=EXACT)
    for table, lost in (
        (result.per_query, 1 - evaluation.per_query["ap"]),
        (result.per_box, 1 - evaluation.per_box["precision"]),
    ):
        assert table[list(CAUSES)].min(axis=None) >= 0
        assert table[list(CAUSES)].sum(axis=1, skipna=False).to_numpy() == pytest.approx(
            lost.to_numpy(), abs=EXACT, nan_ok=True
        )
        assert table["lost"].equals(lost.rename("lost"))
    assert (result.per_box["outcome"] == "found").tolist() == evaluation.per_box["found"].tolist()


class _PlainLoops:
    """The analysis once more, from its description: loops over queries, searched scenes and detections."""

    def __init__(
        self, predictions: Predictions, protocol: Protocol, preset: str, det_threshold: float, cbgm: CBGM | None
    ) -> None:
        self.predictions, self.protocol, self.cbgm = predictions, protocol, cbgm
        # Searched with context matching, a scene is searched once by all of them.
        self.each_entry = preset == "oim" and cbgm is None
        self.lists_again = preset == "seqnet" and protocol.rest != "none" and not protocol.by_rule
        offsets = predictions.offsets.tolist()
        rows = {name: range(*offsets[i : i + 2]) for i, name in enumerate(predictions.scene_names)}
        self.detections = [
            [d for d in rows[name] if predictions.scores[d] >= det_threshold] for name in protocol.scenes.names
        ]
        self.boxes = predictions.boxes.astype(float)
        self.on_person = {
            d: any(iou(self.boxes[d], person.astype(float)) >= 0.5 for person in scene.boxes)
            for scene, found in zip(protocol.scenes, self.detections, strict=True)
            for d in found
        }

    def searches(self, q: int) -> Iterator[tuple[int, np.ndarray | None, bool]]:
        """Scenes, the true box that is looked for in each, and whether CBGM may revise similarities there."""
        protocol = self.protocol
        listed, own = protocol.listed(q).tolist(), int(protocol.queries.scenes[q])
        mine = slice(protocol.truth_offsets[q], protocol.truth_offsets[q + 1])
        truth = dict(zip(protocol.truth_entries[mine].tolist(), protocol.truth_boxes[mine].astype(float), strict=True))
        for entry, scene in enumerate(listed):
            if self.each_entry or scene not in listed[:entry]:
                yield scene, truth.get(entry), True
        cameras = protocol.scenes.camera_ids
        for scene in protocol.pool.tolist():
            rest = {"none": False, "all": True, "other-cameras": cameras[scene] != cameras[own]}.get(
                protocol.rest, cameras[scene] == cameras[own]
            )
            if rest and scene != own and (scene not in listed or self.lists_again):
                yield scene, None, not self.lists_again

    def revised(self, q: int, scenes: set[int]) -> dict[int, float]:
        """Similarities that CBGM changes."""
        p, context = self.predictions, self.predictions.context
        if self.cbgm is None or context is None:
            return {}
        of_scene = {d: scene for scene in scenes for d in self.detections[scene]}
        best = sorted(of_scene, key=lambda d: -self.similarity(q, d))[: self.cbgm.k1]
        company = context.embeddings[context.offsets[q] : context.offsets[q + 1]][: self.cbgm.k2]
        changed = {}
        for scene in {of_scene[d] for d in best}:
            people = self.detections[scene]
            weights = company.astype(float) @ p.embeddings[people].astype(float).T
            a, b = linear_sum_assignment(weights, maximize=True)
            if 0 in a:
                changed[people[b[a.tolist().index(0)]]] = float(weights[a, b].max())
        return changed

    def similarity(self, q: int, d: int) -> float:
        p = self.predictions
        return float(p.query_embeddings[q].astype(float) @ p.embeddings[d].astype(float))

    def cause(self, d: int, true_boxes: list[np.ndarray]) -> str:
        """What a wrong detection is, in a scene with these true boxes of the query."""
        overlaps = [(iou(self.boxes[d], box), self.threshold(box)) for box in true_boxes]
        if any(overlap >= threshold for overlap, threshold in overlaps):
            return "duplicates"
        if any(overlap >= 0.1 for overlap, _ in overlaps) and not self.on_person[d]:
            return "localisation"
        return "other_person" if self.on_person[d] else "background"

    @staticmethod
    def threshold(box: np.ndarray) -> float:
        w, h = box[2] - box[0], box[3] - box[1]
        return min(0.5, w * h / ((w + 10) * (h + 10)))

    def query(self, q: int) -> Causes:
        """The parts of what the query loses."""
        searches = list(self.searches(q))
        true_boxes: dict[int, list[np.ndarray]] = {scene: [] for scene, _, _ in searches}
        for scene, box, _ in searches:
            true_boxes[scene] += [] if box is None else [box]
        changed = self.revised(q, {scene for scene, _, revised in searches if revised})
        matches = int(np.diff(self.protocol.truth_offsets)[q])
        lost = dict.fromkeys(CAUSES, 0.0)
        lost["missed"] += matches - sum(map(len, true_boxes.values()))
        right: list[float] = []
        wrong: list[tuple[float, str]] = []
        for scene, box, revised in searches:
            similarity = {d: self.similarity(q, d) for d in self.detections[scene]}
            if revised:
                similarity |= {d: value for d, value in changed.items() if d in similarity}
            best = None
            if box is not None:
                enough = [d for d in similarity if iou(self.boxes[d], box) >= self.threshold(box)]
                best = max(enough, key=similarity.__getitem__, default=None)
                if best is None:
                    touched = any(iou(self.boxes[d], box) >= 0.1 and not self.on_person[d] for d in similarity)
                    lost["localisation" if touched else "missed"] += 1
            for d, value in similarity.items():
                if d == best:
                    right.append(value)
                else:
                    wrong.append((value, self.cause(d, true_boxes[scene])))
        for place in right:
            before = [cause for value, cause in wrong if value >= place]
            for cause in before:
                lost[cause] += 1 / (len(before) + sum(value >= place for value in right))
        return {cause: value / matches if matches else np.nan for cause, value in lost.items()}


@functools.cache
def _dataset(name: str) -> PersonSearchDataset:
    return psbench_data.load(name, root=EVALUATION / name)


def _random_predictions(dataset: PersonSearchDataset, seed: int, dim: int, levels: int | None) -> Predictions:
    """Detections on the people, beside them and elsewhere; with `levels`, similarities are coarse and ties common."""
    rng = np.random.default_rng(seed)
    boxes = []
    for scene in dataset.split("test"):
        near = np.repeat(scene.boxes, rng.integers(0, 4, len(scene.boxes)), axis=0)
        size = np.tile(near[:, 2:] - near[:, :2], 2)
        near = near + rng.choice([0.05, 0.6], (len(near), 1)) * size * rng.uniform(-1, 1, near.shape)
        found = np.concatenate([near, rng.uniform(0, 100, (rng.integers(0, 3), 4))]).round()
        boxes.append(np.hstack([np.minimum(found[:, :2], found[:, 2:]), np.maximum(found[:, :2], found[:, 2:])]))
    detections, queries = sum(map(len, boxes)), len(dataset.protocol(dataset.protocols[0]).queries)

    def embeddings(n: int) -> np.ndarray:
        return rng.normal(size=(n, dim)) if levels is None else rng.integers(-levels, levels + 1, (n, dim))

    query_embeddings, company = embeddings(queries), embeddings(3 * queries)
    company[::3] = query_embeddings
    return Predictions.from_arrays(
        dataset.split("test").names,
        counts=[len(b) for b in boxes],
        boxes=np.concatenate(boxes),
        scores=rng.integers(0, 5, detections) / 4,
        embeddings=embeddings(detections),
        query_embeddings=query_embeddings,
        context={
            "counts": np.full(queries, 3),
            "boxes": np.tile([[0, 0, 9, 9]], (3 * queries, 1)),
            "scores": np.ones(3 * queries),
            "embeddings": company,
        },
    )


def _equals_plain_loops(name: str, protocol_name: str, seed: int, levels: int | None, **options: object) -> None:
    dataset = _dataset(name)
    protocol = dataset.protocol(protocol_name)
    predictions = _random_predictions(dataset, seed, 4, levels)
    result = error_analysis(predictions, protocol, **options)  # type: ignore[arg-type]
    _check_sums(result, psbench.evaluate(predictions, protocol, **options))  # type: ignore[arg-type]
    plain = _PlainLoops(predictions, protocol, result.preset, result.det_threshold, result.cbgm)
    expected = [plain.query(q) for q in range(len(protocol.queries))]
    for cause in CAUSES:
        values = [of_query[cause] for of_query in expected]
        assert result.per_query[cause].to_numpy() == pytest.approx(values, abs=EXACT, nan_ok=True), cause
        assert getattr(result, cause) == pytest.approx(np.nanmean(values), abs=EXACT)


GALLERIES = [("cuhk_sysu", "gallery-50"), ("cuhk_sysu", "gallery-all"), ("prw", "regular"), ("prw", "multi-view")]


@settings(max_examples=20, deadline=None)
@given(
    gallery=st.sampled_from(GALLERIES),
    seed=st.integers(0, 2**31),
    levels=st.sampled_from([None, 0, 1, 8]),
    det_threshold=st.sampled_from([0.0, 0.5, 1.0]),
    preset=st.sampled_from(["default", "seqnet", "oim"]),
)
def test_parts_equal_plain_loops(
    gallery: tuple[str, str], seed: int, levels: int | None, det_threshold: float, preset: str
) -> None:
    _equals_plain_loops(*gallery, seed, levels, det_threshold=det_threshold, preset=preset)


@pytest.mark.parametrize("gallery", GALLERIES)
@pytest.mark.parametrize("preset", ["default", "seqnet", "oim"])
def test_parts_equal_plain_loops_with_context_matching(gallery: tuple[str, str], preset: str) -> None:
    _equals_plain_loops(*gallery, 0, None, preset=preset, cbgm=CBGM(k1=8, k2=3))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["gallery-50", "gallery-all"])
def test_parts_add_up_under_every_preset(preset: str, name: str) -> None:
    protocol = _dataset("cuhk_sysu").protocol(name)
    predictions = _random_predictions(_dataset("cuhk_sysu"), 1, 4, 2)
    result = error_analysis(predictions, protocol, preset=preset)
    _check_sums(result, psbench.evaluate(predictions, protocol, preset=preset))


PERSON, OTHER, NOBODY = [0, 0, 100, 200], [300, 0, 400, 200], [600, 0, 700, 200]
SECOND, BESIDE = [2, 0, 102, 200], [50, 0, 150, 200]  # Both of the person; the second one with IoU 1/3.
HALF = [0, 0, 50, 200]
Found = list[tuple[list[int], float]]


def _stage(listed: list[int], entries: list[int], rest: Rest = "none", other: list[int] = OTHER) -> Protocol:
    """One query of scene 0; it and somebody without identity stand in scenes 1 and 2, nobody in scene 3."""
    names = ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    people, nobody = np.array([PERSON, other]), np.zeros((0, 4))
    table = scenes_table(names, names, [people] * 3 + [nobody], [np.array([0, -1])] * 3 + [np.zeros(0)])
    boxes = np.array([PERSON] * len(entries)).reshape(-1, 4)
    searched = protocol_table(
        [0], np.array([PERSON]), [0], [np.array(listed)], [np.array(entries, int)], [boxes], rest=rest
    )
    scenes = Scenes(table, Path(), ["person"])
    return Protocol("stage", searched, scenes, dataset="stage", synthetic=False, version=1)


def _played(found: dict[int, Found], protocol: Protocol, preset: str = "default") -> ErrorAnalysis:
    """The analysis of detections with these boxes and similarities."""
    of_scene = [found.get(scene, []) for scene in range(4)]
    every = [one for some in of_scene for one in some]
    predictions = Predictions.from_arrays(
        protocol.scenes.names,
        counts=[len(some) for some in of_scene],
        boxes=np.array([box for box, _ in every]).reshape(-1, 4),
        scores=np.ones(len(every)),
        embeddings=np.array([[similarity] for _, similarity in every]).reshape(-1, 1),
        query_embeddings=[[1.0]],
    )
    return error_analysis(predictions, protocol, preset=preset)


RIGHT: dict[int, Found] = {1: [(PERSON, 0.75)], 2: [(PERSON, 0.5)]}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, {}, id="nothing wrong"),
        pytest.param({3: [(NOBODY, 0.25)]}, {}, id="wrong ones come last"),
        pytest.param({3: [(NOBODY, 0.9)]}, {"background": (1 / 2 + 1 / 3) / 2}, id="background first"),
        pytest.param({3: [(NOBODY, 0.5)]}, {"background": 1 / 6}, id="equals stand before"),
        pytest.param({1: [(PERSON, 0.75), (OTHER, 0.9)]}, {"other_person": (1 / 2 + 1 / 3) / 2}, id="confused"),
        pytest.param({1: [(PERSON, 0.75), (SECOND, 0.6)]}, {"duplicates": 1 / 6}, id="found twice"),
        pytest.param({1: [(PERSON, 0.75), (HALF, 0.6)]}, {"duplicates": 1 / 6}, id="half of the person is enough"),
        pytest.param({1: [(PERSON, 0.75), (BESIDE, 0.6)]}, {"localisation": 1 / 6}, id="a poor box before a right one"),
        pytest.param({1: [(NOBODY, 0.75)]}, {"missed": 1 / 2, "background": 1 / 4}, id="one missed"),
        pytest.param({1: [(BESIDE, 0.75)]}, {"localisation": 3 / 4}, id="one found poorly"),
        pytest.param({1: [], 2: []}, {"missed": 1}, id="nothing found"),
        pytest.param({1: [(BESIDE, 1)], 2: [(BESIDE, 1)]}, {"localisation": 1}, id="all boxes are poor"),
        pytest.param({1: [(OTHER, 1)], 2: [(OTHER, 1)]}, {"missed": 1}, id="all are other people"),
        pytest.param(
            {1: [(PERSON, 0.75), (SECOND, 0.9), (OTHER, 0.8)], 3: [(NOBODY, 0.7)]},
            # The second one is right, and before the other right one stand three wrong ones.
            {"duplicates": 1 / 10, "other_person": 1 / 10, "background": 1 / 10},
            id="one of each",
        ),
    ],
)
def test_each_mistake_has_its_cause(more: dict[int, Found], expected: Causes) -> None:
    result = _played({**RIGHT, **more}, _stage([1, 2, 3], [0, 1]))
    assert _causes(result) == pytest.approx(dict.fromkeys(CAUSES, 0.0) | expected, abs=EXACT)
    assert result.lost == pytest.approx(sum(expected.values()), abs=EXACT)


def test_a_detection_of_a_neighbour_is_no_attempt_at_the_person() -> None:
    neighbour = [60, 0, 160, 200]  # IoU 1/4 with the person.
    stage = _stage([1, 2, 3], [0, 1], other=neighbour)
    result = _played({1: [(neighbour, 0.9)], 2: [(PERSON, 0.5)]}, stage)
    assert _causes(result) == pytest.approx(dict.fromkeys(CAUSES, 0.0) | {"missed": 1 / 2, "other_person": 1 / 4})
    assert result.per_box["outcome"].tolist() == ["missed", "found"]
    assert result.per_box["best_iou"].tolist() == pytest.approx([1 / 4, 1])


def test_a_box_of_a_scene_that_is_listed_twice_is_missed_unless_each_entry_is_searched() -> None:
    protocol = _stage([1, 1, 2, 3], [0, 1, 2])
    result = _played(RIGHT, protocol)
    assert _causes(result) == pytest.approx(dict.fromkeys(CAUSES, 0.0) | {"missed": 1 / 3}, abs=EXACT)
    assert result.per_box["outcome"].tolist() == ["found", "found"]
    assert _played(RIGHT, protocol, "oim").lost == 0


def test_true_boxes_that_cannot_be_found_are_missed() -> None:
    result = _played(RIGHT, _stage([1, 1], [1]))
    assert _causes(result) == pytest.approx(dict.fromkeys(CAUSES, 0.0) | {"missed": 1})
    assert result.per_box.empty


@pytest.mark.parametrize(("width", "cause"), [(9, "missed"), (10, "localisation"), (49, "localisation")])
def test_a_tenth_of_the_person_is_a_poor_attempt(width: int, cause: str) -> None:
    strip = [0, 0, width, 200]
    result = _played({1: [(strip, 0.25)], 2: [(PERSON, 0.5)]}, _stage([1, 2, 3], [0, 1]))
    assert _causes(result) == pytest.approx(dict.fromkeys(CAUSES, 0.0) | {cause: 1 / 2})
    assert result.per_box["best_iou"].tolist() == pytest.approx([width / 100, 1])
    before = _played({1: [(PERSON, 0.25), (strip, 0.5)]}, _stage([1], [0]))
    wrong = "background" if cause == "missed" else cause
    assert _causes(before) == pytest.approx(dict.fromkeys(CAUSES, 0.0) | {wrong: 1 / 2})


def test_a_right_detection_that_is_searched_again_is_a_duplicate() -> None:
    protocol = _stage([1, 2], [0, 1], rest="all")
    assert _played(RIGHT, protocol).lost == 0
    expected = dict.fromkeys(CAUSES, 0.0) | {"duplicates": 1 / 2}
    assert _causes(_played(RIGHT, protocol, "seqnet")) == pytest.approx(expected, abs=EXACT)


def test_every_true_box_has_a_row_that_says_what_became_of_it() -> None:
    found = {1: [(BESIDE, 0.75)], 2: [(PERSON, 0.5), (BESIDE, 0.25)]}
    played = _played(found, _stage([1, 2, 3], [0, 1]))
    assert played.per_query.to_numpy().tolist() == [[0, 0.25, 0.75, 0, 0.75, 0, 0, 0]]
    assert played.per_query.columns.tolist() == ["query", "ap", "lost", *CAUSES]
    per_box = played.per_box
    assert per_box.columns.tolist()[:4] == ["query", "scene", "camera_id", "box_height"]
    assert per_box.columns.tolist()[4:] == ["outcome", "best_iou", "similarity", "lost", *CAUSES]
    assert per_box["query"].tolist() == [0, 0]
    assert per_box["scene"].tolist() == ["1.jpg", "2.jpg"]
    assert per_box["camera_id"].isna().all()
    assert per_box["box_height"].tolist() == [200, 200]
    assert per_box["outcome"].tolist() == ["localisation", "found"]
    assert per_box["best_iou"].tolist() == pytest.approx([1 / 3, 1])
    assert per_box["similarity"].tolist() == pytest.approx([np.nan, 0.5], nan_ok=True)
    assert per_box[["lost", *CAUSES]].to_numpy().tolist() == [[1, 0, 1, 0, 0, 0], [0.5, 0, 0.5, 0, 0, 0]]
    assert _played({}, _stage([1, 2, 3], [0, 1])).per_box["best_iou"].tolist() == [0, 0]


def test_a_query_without_true_boxes_is_in_no_mean() -> None:
    result = _played(RIGHT, _stage([3], []))
    assert result.per_query["missed"].isna().tolist() == [True]
    assert result.per_box.empty
    written = json.loads(result.to_json())
    assert all(written[name] is None for name in ("map", "lost", *CAUSES))


def test_json_has_numbers_at_full_precision() -> None:
    result = _played({**RIGHT, 3: [(NOBODY, 0.9)]}, _stage([1, 2, 3], [0, 1]))
    written = json.loads(result.to_json())
    assert {cause: written[cause] for cause in CAUSES} == _causes(result)
    assert (written["protocol"], written["preset"], written["det_threshold"]) == ("stage", "default", 0.5)


def test_pairwise_predictions_are_refused() -> None:
    protocol = _stage([1, 2, 3], [0, 1])
    pairwise = PairwisePredictions.from_arrays(
        protocol.scenes.names,
        queries=[],
        scenes=[],
        counts=[],
        boxes=np.zeros((0, 4)),
        similarities=[],
        num_queries=1,
    )
    with pytest.raises(InputError, match="pairwise"):
        error_analysis(pairwise, protocol)
    with pytest.raises(InputError, match="expected Predictions"):
        error_analysis(None, protocol)  # type: ignore[arg-type]
