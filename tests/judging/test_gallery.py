"""Predictions in the order of scenes and queries, against plain loops, and what is said of those that do not fit."""

from pathlib import Path

import numpy as np
import pytest

import psbench
from psbench import PRESETS, InputError, PairwisePredictions, Predictions
from psbench.evaluation.gallery import (
    GalleryDetections,
    arrange,
    foreign_faults,
    foreign_query_faults,
    named_rows,
    query_rows,
    scene_faults,
    scenes_needed,
    unknown_faults,
)
from psbench_data import Protocol, Scenes
from psbench_data.galleries import protocol_table
from psbench_data.scenes import scenes_table

NAMES = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
BOX = [1.0, 2.0, 11.0, 22.0]
SCENES = Scenes(scenes_table(NAMES, NAMES, [np.array([BOX])] * 4, [np.array([0])] * 4), Path(), ["anna"])


def _protocol(queries: list[int], listed: list[int]) -> Protocol:
    """The same person is searched for from some scenes, in the same list."""
    count = len(queries)
    entries = [np.arange(len(listed))] * count
    table = protocol_table(
        queries,
        np.array([BOX] * count),
        [0] * count,
        [np.array(listed)] * count,
        entries,
        [np.array([BOX] * len(listed))] * count,
    )
    return Protocol("toy", table, SCENES, dataset="toys", synthetic=False, version=1)


def _predictions(names: list[str], counts: list[int], seed: int = 0) -> Predictions:
    """With many equal scores and sides."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 2, (sum(counts), 2))
    return Predictions.from_arrays(
        names,
        counts=counts,
        boxes=np.hstack([corners, corners + rng.integers(1, 3, corners.shape)]),
        scores=rng.choice([0.25, 0.5, 0.75], sum(counts)),
        embeddings=np.ones((sum(counts), 2)),
        query_embeddings=np.ones((1, 2)),
    )


@pytest.mark.parametrize("ordered", [False, True, None])
@pytest.mark.parametrize("among", [None, [0, 2, 3]])
@pytest.mark.parametrize(
    ("names", "counts"),
    [(["c.jpg", "a.jpg", "b.jpg"], [30, 0, 12]), (["d.jpg", "b.jpg"], [9, 9]), (["b.jpg"], [7]), ([], [])],
)
def test_detections_come_in_the_order_of_the_scenes(
    names: list[str], counts: list[int], among: list[int] | None, ordered: bool | None
) -> None:
    p = _predictions(names, counts)
    options = {} if ordered is None else {"ordered": ordered}
    found = arrange(p, SCENES, 0.5, among=None if among is None else np.array(among), **options)
    rows: list[int] = []
    offsets = [0]
    for scene, name in enumerate(NAMES):
        if name in names and (among is None or scene in among):
            at = names.index(name)
            mine = [d for d in range(p.offsets[at], p.offsets[at + 1]) if p.scores[d] >= 0.5]
            rows += sorted(mine, key=lambda d: (-p.scores[d], *p.boxes[d])) if ordered else mine
        offsets.append(len(rows))
    assert found.rows.tolist() == rows
    assert found.offsets.tolist() == offsets
    assert found.predicted.tolist() == [name in names for name in NAMES]
    np.testing.assert_array_equal(found.boxes, p.boxes[rows])
    np.testing.assert_array_equal(found.scores, p.scores[rows])
    assert found.scenes.tolist() == [s for s in range(4) for _ in range(offsets[s + 1] - offsets[s])]
    assert (found.offsets.dtype, found.rows.dtype, found.scenes.dtype) == (np.int64, np.int64, np.int32)


def test_a_stretch_of_detections_tells_its_scenes_and_what_it_has_of_each() -> None:
    counts = [2, 0, 3, 1]
    offsets = np.cumsum([0, *counts])
    none = np.zeros(6)
    gallery = GalleryDetections(offsets, np.ones(4, bool), np.arange(6), np.zeros((6, 4)), none)
    scene_of = np.repeat(np.arange(4), counts)
    asked = np.array([3, 0, 2, 1])
    for start in range(6):
        for stop in range(start + 1, 7):
            stretch = range(start, stop)
            inside = gallery.scenes_of(slice(start, stop))
            assert (inside.start, inside.stop) == (scene_of[start], scene_of[stop - 1] + 1)
            first, count = gallery.within(asked, slice(start, stop))
            for scene, at, number in zip(asked, first, count, strict=True):
                mine = [d for d in stretch if scene_of[d] == scene]
                assert number == len(mine)
                assert not mine or at == mine[0]


def test_scenes_of_any_protocol_are_needed() -> None:
    protocols = [_protocol([0], [1]), _protocol([0], [3, 1]), _protocol([0, 1], [0])]
    assert scenes_needed(protocols).tolist() == [0, 1, 3]
    assert scenes_needed(protocols[:1]).tolist() == [1]


def test_scenes_that_are_unknown_or_missing_are_named() -> None:
    predictions = _predictions(["x.jpg", "a.jpg", "y.jpg"], [1, 1, 1])
    unknown = [
        f"scene {name!r} is not a test scene of this dataset. Predict on the dataset that is evaluated."
        for name in ("x.jpg", "y.jpg")
    ]
    missing = "predictions: scene 'c.jpg' is missing. Predict every test scene; one without detections has count 0."
    found = scene_faults(predictions, SCENES, np.array([0, 2]))
    assert found == [*(f"predictions: {fault}" for fault in unknown), missing]
    told = unknown_faults(predictions.scene_names, SCENES, lambda row: f"row {row}")
    assert told == [f"row 0: {unknown[0]}", f"row 2: {unknown[1]}"]


def test_names_of_which_none_is_known_are_one_fault() -> None:
    end = (
        "test scene of toys: expected names such as 'a.jpg', found 'a'. Name scenes as the annotation does, or give "
        "the dataset that was predicted on."
    )
    protocol = _protocol([0], [1])
    assert foreign_faults(["a", "b"], SCENES, "toys") == [f"predictions: none of its 2 scenes is a {end}"]
    assert foreign_query_faults(["a"], protocol) == [f"predictions: none of its 1 queries' scenes is a {end}"]
    assert foreign_query_faults(["a"], protocol, "file") == [f"file: none of its 1 queries' scenes is a {end}"]
    assert foreign_faults(["a", "b.jpg"], SCENES, "toys") == foreign_faults([], SCENES, "toys") == []
    nowhere = Scenes(scenes_table([], [], [], []), Path())
    assert foreign_faults(["a"], nowhere, "toys") == []


def test_queries_are_found_by_scene_and_box() -> None:
    protocol = _protocol([2, 0, 1], [3])
    boxes = np.array([BOX, BOX, [1, 2, 11, 23]], np.float32)
    rows = named_rows(["c.jpg", "b.jpg", "a.jpg"], boxes, protocol)
    assert rows.tolist() == [0, -1, 1]
    assert rows.dtype == named_rows([], boxes[:0], _protocol([], [])).dtype == np.int64


def _asked(kind: type, scenes: list[str] | None, number: int = 2) -> Predictions | PairwisePredictions:
    """Of so many queries, or of those in some scenes."""
    count = number if scenes is None else len(scenes)
    named = {"query_scenes": scenes, "query_boxes": None if scenes is None else [BOX] * count}
    if kind is PairwisePredictions:
        pairs: dict = {"queries": [], "scenes": [], "counts": [], "boxes": np.zeros((0, 4)), "similarities": []}
        return PairwisePredictions.from_arrays(NAMES, **pairs, num_queries=count, **named)
    none: dict = {"counts": [0] * 4, "boxes": np.zeros((0, 4)), "scores": [], "embeddings": np.zeros((0, 2))}
    return Predictions.from_arrays(NAMES, **none, query_embeddings=np.ones((count, 2)), **named)


@pytest.mark.parametrize(("kind", "what"), [(Predictions, "query embeddings"), (PairwisePredictions, "queries")])
def test_predictions_are_asked_for_every_query(kind: type, what: str) -> None:
    protocol = _protocol([2, 0, 1], [3])
    assert query_rows(_asked(kind, None, number=3), protocol).tolist() == [0, 1, 2]
    assert query_rows(_asked(kind, ["a.jpg", "d.jpg", "b.jpg", "c.jpg"]), protocol).tolist() == [3, 0, 2]
    for scenes, faults in [
        (None, [
            f"predictions: 2 {what} for 3 queries of toy. Give one for each of protocol.queries, in that order; or say "
            "which queries they are (query_scenes and query_boxes), so that the same predictions serve several "
            "protocols; or evaluate one protocol alone.",
        ]),
        (["x", "y"], [
            "predictions: none of its 2 queries' scenes is a test scene of toys: expected names such as 'a.jpg', found "
            "'x'. Name scenes as the annotation does, or give the dataset that was predicted on.",
        ]),
        (["a.jpg", "d.jpg"], [
            f"predictions: query {q} of toy (scene '{scene}', box [1.0, 2.0, 11.0, 22.0]) is not among those "
            "predicted. Predict every query of the protocol."
            for q, scene in [(0, "c.jpg"), (2, "b.jpg")]
        ]),
    ]:  # fmt: skip
        with pytest.raises(InputError) as error:
            query_rows(_asked(kind, scenes), protocol)
        assert error.value.faults == faults


@pytest.mark.parametrize("preset", PRESETS)
def test_a_protocol_without_queries_is_evaluated(preset: str) -> None:
    nobody = _protocol([], [])
    for kind in (Predictions, PairwisePredictions):
        for scenes in (None, ["a.jpg"]):
            found = psbench.evaluate(_asked(kind, scenes, number=0), nobody, preset=preset)
            assert (found.gallery_size, found.skipped, len(found.per_query), len(found.per_box)) == (0, 0, 0, 0)
