"""Boxes beyond the borders of their images: which do stick out, and when most of them are worth a note."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from psbench import PairwisePredictions, Predictions
from psbench.evaluation.borders import image_sizes, resized_note, sticking_out
from psbench_data import Scenes
from psbench_data.scenes import scenes_table

INSIDE, BEYOND = [0, 0, 5, 5], [0, 0, 50, 50]


def _scenes(
    sizes: list[tuple[int, int] | None], boxes: dict[int, list[list[int]]] | None = None, root: str = ""
) -> Scenes:
    """Of these heights and widths; of None the annotation says nothing."""
    names = [f"{i}.png" for i in range(len(sizes))]
    people = [np.array((boxes or {}).get(i, [])).reshape(-1, 4) for i in range(len(sizes))]
    known = {name: size for name, size in zip(names, sizes, strict=True) if size}
    table = scenes_table(names, names, people, [np.zeros(len(p)) for p in people], sizes=known)
    return Scenes(table, Path(root), ["somebody"])


def _pictures(folder: Path, count: int) -> Scenes:
    """Scenes whose sizes only their files tell: of one pixel."""
    test = _scenes([None] * count, root=str(folder))
    for path in test.paths:
        Image.new("L", (1, 1)).save(folder / path)
    return test


def _predictions(test: Scenes, boxes: dict[int, list[list[int]]]) -> Predictions:
    """Boxes by scene; the last scene comes first."""
    order = range(len(test))[::-1]
    found = [box for scene in order for box in boxes.get(scene, [])]
    return Predictions.from_arrays(
        [test.names[scene] for scene in order],
        counts=[len(boxes.get(scene, [])) for scene in order],
        boxes=np.array(found).reshape(-1, 4),
        scores=np.ones(len(found)),
        embeddings=np.ones((len(found), 1)),
        query_embeddings=[[1.0]],
    )


def _note(number: int, total: int) -> str:
    return f"{number} of {total} boxes stick out of their image: are they in pixels of a resized one?"


def test_boxes_stick_out_by_more_than_two_pixels() -> None:
    test = _scenes([(200, 100), None])
    cases: list[tuple[list[float], int, float, bool]] = [
        ([10, 20, 30, 40], 0, -10, False),
        ([-2, 0, 9, 9], 0, 2, False),
        ([-2.5, 0, 9, 9], 0, 2.5, True),
        ([0, -3, 9, 9], 0, 3, True),
        ([0, 0, 102, 202], 0, 2, False),
        ([0, 0, 102.5, 9], 0, 2.5, True),
        ([0, 0, 9, 203], 0, 3, True),
        ([5, 6, 999, 999], 1, -5, False),
        ([-4, 0, 999, 999], 1, 4, True),
        ([-4, 0, 9, 9], -1, 4, False),
    ]
    boxes = np.array([box for box, *_ in cases], np.float32)
    scene = np.array([scene for _, scene, *_ in cases])
    rows, over = sticking_out(boxes, scene, test, image_sizes(test, np.zeros(0, np.int64)))
    assert over.tolist() == [expected for _, _, expected, _ in cases]
    assert rows.tolist() == [i for i, case in enumerate(cases) if case[-1]]


def test_boxes_of_the_annotation_may_stick_out_in_its_scene() -> None:
    test = _scenes([(10, 10)] * 3, {0: [INSIDE], 1: [INSIDE, BEYOND]})
    boxes = np.array([BEYOND, BEYOND, BEYOND], np.float32)
    rows, _ = sticking_out(boxes, np.array([0, 1, 2]), test, test.sizes.astype(np.int64))
    assert rows.tolist() == [0, 2]


@pytest.mark.parametrize("pairwise", [False, True])
def test_a_note_counts_boxes_of_scenes_of_known_size(pairwise: bool, tmp_path: Path) -> None:
    test = _scenes([(10, 10), (100, 100), None], root=str(tmp_path))
    for out, inside in ((3, 2), (2, 2)):
        boxes = {0: [BEYOND] * out, 1: [BEYOND] * inside, 2: [BEYOND] * 9}
        given: Any = _predictions(test, boxes)
        if pairwise:
            given = PairwisePredictions.from_arrays(
                given.scene_names,
                queries=[0, 0, 1],
                scenes=[1, 2, 0],
                counts=[inside, out, 9],
                boxes=[BEYOND] * (inside + out + 9),
                similarities=np.zeros(inside + out + 9),
            )
        assert resized_note(given, test) == (_note(3, 5) if out == 3 else "")


def test_a_hundred_images_are_opened_and_the_last_one_among_them(tmp_path: Path) -> None:
    for count, opened in ((1, 1), (2, 2), (120, 100)):
        test = _pictures(tmp_path, count)
        assert resized_note(_predictions(test, {i: [BEYOND] for i in range(count)}), test) == _note(opened, opened)
    # The first and the last scene are always among them.
    most = {0: [BEYOND] * 150, 119: [BEYOND] * 250, **{i: [[0, 0, 1, 1]] for i in range(1, 119)}}
    assert resized_note(_predictions(test, most), test) == _note(400, 498)


def test_boxes_in_images_of_unknown_size_are_not_noted() -> None:
    test = _scenes([None], root="nowhere")
    assert resized_note(_predictions(test, {0: [BEYOND]}), test) == ""


def test_nothing_predicted_is_nothing_to_note() -> None:
    assert resized_note(_predictions(_scenes([]), {}), _scenes([(10, 10)])) == ""
    assert resized_note(_predictions(_scenes([(10, 10)]), {}), _scenes([(10, 10)])) == ""


def test_a_bar_is_shown_on_request_while_images_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden: list[bool] = []

    def bar(items: Iterable[Any], *_: object, disable: bool, **__: object) -> Iterator[Any]:
        hidden.append(disable)
        return iter(items)

    monkeypatch.setattr("tqdm.tqdm", bar)
    test = _pictures(tmp_path, 2)
    sizes = image_sizes(test, np.array([1]))
    assert (sizes.tolist(), sizes.dtype) == ([[0, 0], [1, 1]], np.int64)
    assert image_sizes(test, np.array([0, 1]), progress=True).tolist() == [[1, 1], [1, 1]]
    assert hidden == [True, False]
