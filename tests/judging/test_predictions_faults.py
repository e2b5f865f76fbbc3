"""Predictions that cannot be right: what is said of very many rows, of sums, and of things of another kind."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import psbench
import psbench_data
from psbench import InputError, Predictions
from psbench.cli import app
from psbench.evaluation.borders import resized_note
from psbench_data import PersonSearchDataset
from tests.judging.test_predictions import _context, _some
from tests.leaderboard.making import honest, pairwise, tree


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PersonSearchDataset:
    return psbench_data.load("cuhk_sysu", root=tree(tmp_path_factory.mktemp("faults") / "data"))


def test_very_many_faults_of_a_kind_are_one_that_counts_them_and_guesses() -> None:
    count = 60
    corner, rng = np.arange(count)[:, None] * [1.0, 1.0] + 100, np.random.default_rng(0)
    values: dict = {
        "counts": [count],
        "boxes": np.hstack([corner, corner + 5]),
        "scores": np.linspace(0, 1, count),
        "embeddings": np.eye(3)[rng.integers(0, 3, count)],
        "query_embeddings": np.eye(3),
        "unit_length": True,
    }
    Predictions.from_arrays(["a.jpg"], **values)
    for changes, words in [
        (
            {"boxes": np.hstack([corner, [[9, 9]] * count])},
            "60 of 60 boxes have x2 < x1 or y2 < y1: are they x, y, width",
        ),
        (
            {"scores": 1 + np.arange(count) / 2},
            "59 of 60 scores lie outside 0 to 1 (they go from 1.5 to 30.5: percent?).",
        ),
        ({"scores": np.arange(count) - 70.5}, "60 of 60 scores lie outside 0 to 1 (they go from -70.5 to -11.5)."),
        (
            {"embeddings": values["embeddings"] * np.linspace(2, 5, count)[:, None]},
            "60 of 60 embeddings are not of length 1, which unit_length claims (their lengths go from 2 to 5).",
        ),
    ]:
        with pytest.raises(InputError) as error:
            Predictions.from_arrays(["a.jpg"], **(values | changes))
        [fault] = error.value.faults
        assert fault.startswith(f"Predictions.from_arrays: {words}")
        assert "The first of them: scene 'a.jpg': the " in fault


def test_context_begins_with_the_querys_own_box(tmp_path: Path) -> None:
    boxes = np.array([[0, 0, 5, 5], [1, 1, 4, 9]])
    context = _context([2, 1]) | {"boxes": [[0, 0, 5, 4.5], [7, 7, 9, 9], [1, 1, 4, 9]]}
    some = _some(query_scenes=["a.jpg", "c.jpg"], query_boxes=boxes, context=context)
    folder = some.save(tmp_path / "some")
    assert some.context is not None
    some.context.boxes[2] = [11, 11, 14, 19]
    with pytest.raises(
        InputError, match=r"queries\.parquet: row 1: its own box \[1.0, 1.0, 4.0, 9.0\] was expected as"
    ):
        Predictions.load(some.save(tmp_path / "other"))
    Predictions.load(folder)


def test_counts_that_do_not_add_up_are_one_fault() -> None:
    with pytest.raises(InputError) as error:
        _some(counts=[3, 1, 2])
    [fault] = error.value.faults
    assert "counts add up to 6; boxes, scores and embeddings have 3 rows" in fault
    # Other faults are found beside it, and no row is said to be of a scene that it may not be of.
    with pytest.raises(InputError) as error:
        _some(counts=[3, 1, 2], scores=[0.5, 0.5, 7])
    assert error.value.faults[1].startswith("Predictions.from_arrays: row 2 of scores is 7")
    with pytest.raises(
        InputError, match="context counts add up to 4; context boxes, scores and embeddings have 3 rows"
    ):
        _some(context=_context([2, 1]) | {"counts": [2, 2]})


def test_unknown_field_of_the_manifest_is_to_be_removed(tmp_path: Path) -> None:
    path = _some().save(tmp_path / "some") / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"foo": 1}))
    with pytest.raises(InputError) as error:
        Predictions.load(path.parent)
    assert error.value.faults == [f"{path}: foo: unknown field. Remove it."]


@pytest.mark.parametrize("name", ["prw", "cuhk_syssu"])
def test_predictions_of_another_dataset_are_not_evaluated(dataset: PersonSearchDataset, name: str) -> None:
    protocol = dataset.protocol("gallery-50")
    with pytest.raises(InputError, match=f"predictions: dataset is '{name}', expected 'cuhk_sysu'"):
        psbench.evaluate(dataclasses.replace(honest(dataset), dataset=name), protocol)
    for changes in ({"dataset": ""}, {"dataset": "", "fingerprint": ""}, {"fingerprint": ""}):
        assert psbench.evaluate(dataclasses.replace(honest(dataset), **changes), protocol).map > 0


def test_names_written_in_another_way_are_one_fault(dataset: PersonSearchDataset) -> None:
    made, protocol = honest(dataset), dataset.protocol("gallery-50")
    expected = f"expected names such as '{dataset.split('test').names[0]}'"
    stems = [name.removesuffix(".jpg") for name in made.scene_names]
    asked = [name.removesuffix(".jpg") for name in made.query_scenes or []]
    for changes, words in [
        (
            {"query_scenes": asked},
            f"predictions: none of its {len(asked)} queries' scenes is a test scene of cuhk_sysu",
        ),
        (
            {"scene_names": stems, "query_scenes": asked},
            "predictions: none of its 52 scenes is a test scene of cuhk_sysu",
        ),
    ]:
        with pytest.raises(InputError) as error:
            psbench.evaluate(dataclasses.replace(made, **changes), protocol)
        [fault] = error.value.faults
        assert fault.startswith(f"{words}: {expected}")
    pairs = pairwise(dataset, ["gallery-50"])
    with pytest.raises(InputError) as error:
        psbench.evaluate(dataclasses.replace(pairs, scene_names=stems), protocol)
    [fault] = error.value.faults
    assert expected in fault


def test_boxes_of_resized_images_are_noted(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    made = honest(dataset)
    plain, thrice = (
        made.save(tmp_path / "plain"),
        dataclasses.replace(made, boxes=made.boxes * 3).save(tmp_path / "big"),
    )
    sizes = np.array([scene.size or (0, 0) for scene in dataset.split("test")])
    extent = np.repeat(sizes[:, ::-1], made.counts, axis=0)
    outside = (made.boxes[:, 2:] * 3 > extent + 2).any(axis=1).sum()
    assert outside > len(made.boxes) / 2
    command = ["--data", "cuhk_sysu", "--root", str(dataset.root), "--protocol", "gallery-50"]
    said = CliRunner().invoke(app, ["evaluate", str(thrice), *command]).output
    note = f"note: {outside} of {len(made.boxes)} boxes stick out of their image: are they in pixels of a resized one?"
    assert note in said
    assert "note:" not in CliRunner().invoke(app, ["evaluate", str(plain), *command]).output


def test_boxes_of_resized_images_are_noted_where_only_files_tell_sizes(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", images=True)
    for path in root.rglob("*shape*"):
        path.unlink()
    test = psbench_data.load("cuhk_sysu", root=root).split("test")
    assert not test.sizes.any()
    made = honest(psbench_data.load("cuhk_sysu", root=root))
    assert resized_note(made, test) == ""
    assert "boxes stick out of their image" in resized_note(dataclasses.replace(made, boxes=made.boxes * 3), test)
    shutil.rmtree(root / "Image")
    assert resized_note(dataclasses.replace(made, boxes=made.boxes * 3), test) == ""
