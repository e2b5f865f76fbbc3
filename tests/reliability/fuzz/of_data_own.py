"""One's own data as COCO-style JSON, its exported galleries, and trees that say they are drawn."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import psbench_data
from psbench_data.exporting.coco import export_coco
from tests.data.own_data import own_document
from tests.reliability.fuzz.grammar_tables import parquet_changed
from tests.reliability.fuzz.of_data_official import touch, write_small
from tests.reliability.fuzz.target import Target
from tests.reliability.fuzz.words import odd_text

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_SCENES = 6


def _document() -> dict[str, Any]:
    """All that a file may have: sizes, cameras, categories, people, queries, and what it was exported from."""
    document = own_document()
    images = document["images"][:_SCENES]
    annotations = [row for row in document["annotations"] if row["image_id"] < 100 + _SCENES]
    for row in annotations:
        row |= {"category_id": 1, "iscrowd": 0, "area": 450.0, "attributes": {"id": row["person_id"]}}
    return {
        "info": {"description": "mine", "dataset": "coco", "restricted": False},
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "car"}],
        "people": sorted({row["person_id"] for row in annotations}),
        "images": [{**image, "name": f"scene {image['id']}"} for image in images],
        "annotations": annotations,
        "queries": [{"annotation_id": 0}, {"image_id": 101, "bbox": [20, 5, 15, 30], "person_id": "p2"}],
    }


def _make(folder: Path, *, test: str = "test.json", **changes: Any) -> None:
    (folder / test).write_text(json.dumps(_document() | changes))
    (folder / "train.json").write_text(json.dumps(_document() | changes, indent=1))


def _read(folder: Path, **options: Any) -> int:
    dataset = psbench_data.load("coco", root=folder, **options)
    looked = touch(dataset) + len(dataset.terms_name) + dataset.restricted
    if dataset.protocols:
        looked += len(dataset.summary()) + len(dataset.protocol_summary())
    return looked


def _make_exported(folder: Path) -> None:
    write_small("prw", folder / "prw")
    export_coco(psbench_data.load("prw", root=folder / "prw"), folder / "mine")


def _read_exported(folder: Path) -> int:
    return touch(psbench_data.load("coco", root=folder / "mine"))


def _damaged_parquet(random: Random, files: dict[str, bytes]) -> dict[str, bytes]:
    name = random.choice(list(files))
    return {name: parquet_changed(random, files[name])}


def _read_marked(folder: Path) -> int:
    return touch(psbench_data.load("synthetic", root=folder)) + touch(
        psbench_data.load("synthetic", root=folder, format="lsps", seed=0)
    )


def drawn() -> SearchStrategy[dict[str, bytes]]:
    """Documents of the right form, in which anything may stand where a value should."""
    from hypothesis import strategies as st

    odd = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.builds(odd_text, st.randoms()),
        st.lists(st.integers(-2, 3), max_size=5), st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
    )  # fmt: skip

    def mostly(usual: SearchStrategy[Any]) -> SearchStrategy[Any]:
        return st.integers(0, 99).flatmap(lambda chance: odd if chance == 99 else usual)

    def rows(needed: dict[str, Any], optional: dict[str, Any]) -> SearchStrategy[Any]:
        """With ids, from 0."""
        row = st.fixed_dictionaries(needed, optional=optional)
        numbered = st.lists(row, max_size=8).map(lambda found: [{"id": i, **row} for i, row in enumerate(found)])
        return mostly(numbered).flatmap(spoilt)

    def spoilt(found: Any) -> SearchStrategy[Any]:
        """A row or a value of one replaced, now and then."""
        if not isinstance(found, list) or not found:
            return st.just(found)
        place = st.tuples(st.integers(0, 5), st.integers(0, len(found) - 1), st.integers(0, 9), odd)
        return place.map(lambda drawn: [_with(row, drawn) if i == drawn[1] else row for i, row in enumerate(found)])

    image = st.integers(0, 7)
    side = st.one_of(st.integers(1, 60), st.integers(1, 60), st.floats(1, 60), st.integers(-2, 2))
    box = st.lists(side, min_size=4, max_size=4)
    person = st.one_of(st.integers(-1, 3), st.sampled_from(["a", "1", "", "p"]), st.none())
    names = st.builds("{}.jpg".format, st.uuids())
    sizes = {"width": st.integers(1, 70), "height": st.integers(1, 70), "camera_id": st.integers(0, 3)}
    annotations = rows(
        {"image_id": st.integers(0, 1), "bbox": box}, {"person_id": person, "iscrowd": st.integers(0, 1)}
    )
    queries = rows({}, {"annotation_id": image, "image_id": image, "bbox": box, "person_id": person})
    document = st.fixed_dictionaries(
        {"images": rows({"file_name": names}, sizes), "annotations": annotations},
        optional={"queries": queries, "people": mostly(st.lists(person, max_size=4)), "info": odd},
    )
    return mostly(document).map(lambda value: {"test.json": json.dumps(value).encode()})


def _with(row: Any, drawn: tuple[int, int, int, Any]) -> Any:
    """A row, in one of six cases with something else under one of its keys."""
    chance, _, place, value = drawn
    keys = list(row) if isinstance(row, dict) else []
    return {**row, keys[place % len(keys)]: value} if keys and chance == 5 else row


def _coco(
    name: str, make: Callable[[Path], None], *damaged: str, by_hypothesis: bool = False, **options: Any
) -> Target:
    return Target(name, make, damaged, partial(_read, **options), drawn=drawn if by_hypothesis else None)


TARGETS = (
    _coco("COCO JSON", _make, "*.json", by_hypothesis=True),
    _coco("COCO JSON without queries", partial(_make, queries=[], people=[]), "test.json"),
    _coco(
        "COCO JSON, files and key named",
        partial(_make, test="val.json"),
        "val.json",
        test="val.json",
        images="pictures",
        person_id="attributes.id",
        seed=3,
    ),
    Target(
        "exported galleries (.parquet)", _make_exported, ("mine/protocols/*.parquet",), _read_exported, _damaged_parquet
    ),
    Target("synthetic.json", partial(write_small, "lsps"), ("synthetic.json",), _read_marked),
)
