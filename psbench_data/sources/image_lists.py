"""The lists that CUHK-SYSU and MovieNet-CS share: images with boxes, pools, people's appearances, search lists.

Both number people by their row in a list, and give an identity to the box of `Images.mat` that is exactly equal.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from psbench_data import matlab
from psbench_data.errors import InputError
from psbench_data.faults import COPY_AGAIN, RowFaults
from psbench_data.galleries import protocol_table
from psbench_data.names import safe_name
from psbench_data.pixels import pixels
from psbench_data.protocol import Rest
from psbench_data.scenes import UNLABELED, Scenes, scenes_table
from psbench_data.sources.search_lists import SearchRow, search_rows
from psbench_data.sources.source import Split

if TYPE_CHECKING:
    import pyarrow as pa

Place = tuple[str, np.ndarray]
"""A scene that a person is in, and the box there: (4,) int64, x y w h."""
Remarker = Callable[[Path, str, str, str], None]


@dataclass(frozen=True)
class Person:
    """A row of a list of people.

    Attributes:
        label: the raw id, for example `p123`.
        file, row: where it stands.
        places: where the person is.
    """

    label: str
    file: Path
    row: int
    places: list[Place]


def annotated_boxes(path: Path, remark: Remarker) -> dict[str, np.ndarray]:
    """Every scene of `Images.mat` with its boxes: (n, 4) int64, x y w h; boxes without area are left out."""
    scenes: dict[str, np.ndarray] = {}
    with RowFaults(path) as faults:
        for i, image in enumerate(matlab.read_variable(path, "Img")):
            with faults.row(i):
                name = scene_name(image["imname"])
                people = np.ravel(image["box"])
                boxes = np.array([xywh(person["idlocate"]) for person in people], np.int64).reshape(-1, 4)
                if name in scenes:
                    raise ValueError(f"scene {name!r} is listed a second time")
                whole = (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
                for box in boxes[~whole].tolist():
                    remark(path, f"row {i}", f"scene {name} has a box without area ({box})", "It is left out.")
                scenes[name] = boxes[whole]
    return scenes


def read_pool(path: Path, known: Container[str]) -> list[str]:
    """The scenes of a gallery pool, in its order."""
    pool: dict[str, None] = {}
    with RowFaults(path) as faults:
        for i, cell in enumerate(matlab.read_variable(path, "pool")):
            with faults.row(i):
                name = scene_name(cell)
                if name not in known:
                    raise ValueError(f"scene {name!r} is not in Images.mat")
                if name in pool:
                    raise ValueError(f"scene {name!r} is listed a second time")
                pool[name] = None
    return list(pool)


def _queries(path: Path, variable: str, progress: bool = False) -> Iterator[SearchRow]:
    """The rows of a search list that has some."""
    empty = True
    for row in search_rows(path, variable, progress):
        empty = False
        yield row
    if empty:
        raise InputError(f"{path}: holds no query. {COPY_AGAIN}")


def searched_people(paths: Iterable[Path]) -> list[Person]:
    """The people of search lists: one a row, with the query's and the gallery's boxes.

    A person of several lists is one, numbered where it is first met.
    """
    people: dict[str, Person] = {}
    for path in paths:
        for i, row in enumerate(_queries(path, path.stem)):
            person = people.setdefault(row.person, Person(row.person, path, i, []))
            person.places.append((row.query_scene, row.query_box))
            for entry in np.flatnonzero(row.gallery_present).tolist():
                person.places.append((row.gallery_scenes[entry], row.gallery_boxes[entry]))
    return list(people.values())


def labelled_split(
    names: Sequence[str],
    boxes: Mapping[str, np.ndarray],
    people: Sequence[Person],
    image_folder: str,
    sizes: Mapping[str, tuple[int, int]],
    remark: Remarker,
) -> Split:
    """Give every person's boxes its number, the position in `people`.

    Of two equal boxes in a scene the first is labelled; a box that two people claim goes to the later one, as in the
    reference readers.
    """
    identities = {name: np.full(len(boxes[name]), UNLABELED, np.int64) for name in names}
    for person_id, person in enumerate(people):
        for scene, box in person.places:
            if scene not in identities:
                what = "of the other split" if scene in boxes else "not in Images.mat"
                remark(person.file, f"row {person.row}", f"person {person.label}: scene {scene} is {what}", "Left out.")
                continue
            equal = np.flatnonzero((boxes[scene] == box).all(axis=1))[:1]
            if not len(equal):
                what = f"person {person.label}: box {box.tolist()} is none of scene {scene} in Images.mat"
                remark(person.file, f"row {person.row}", what, "The person stays unlabelled there.")
            identities[scene][equal] = person_id
    table = scenes_table(
        names=names,
        paths=[f"{image_folder}/{name}" for name in names],
        boxes=[xyxy(boxes[name]) for name in names],
        person_ids=[identities[name] for name in names],
        sizes=sizes,
    )
    return Split(table, [person.label for person in people])


def search_table(
    path: Path,
    test: Scenes,
    *,
    variable: str | None = None,
    rest: Rest = "none",
    pool: Sequence[str] | None = None,
    progress: bool = False,
) -> pa.Table:
    """The queries, galleries and true boxes of a search list, in its order.

    Args:
        path: the list.
        test: the test scenes; every listed one must be among them.
        variable: the list's variable; named as the file if not given.
        rest: what is searched besides the listed scenes.
        pool: the scenes that belong to the protocol; all of `test` if not given.
        progress: whether to show a progress bar.
    """
    ids = {label: person_id for person_id, label in enumerate(test.identities)}
    scenes, query_boxes, person_ids, listed, truth_entries, truth_boxes = [], [], [], [], [], []
    unknown: list[str] = []
    for i, row in enumerate(_queries(path, variable or path.stem, progress)):
        try:
            scenes.append(test.positions[row.query_scene])
            listed.append(np.array([test.positions[name] for name in row.gallery_scenes], np.int32))
            person_ids.append(ids[row.person])
        except KeyError as error:
            what = f"person {row.person!r} is in no other list"
            if error.args[0] != row.person:
                what = f"scene {error.args[0]!r} is not in annotation/pool.mat"
            unknown.append(f"{path}: row {i}: {what}. Use the files of one release.")
        query_boxes.append(row.query_box)
        truth_entries.append(np.flatnonzero(row.gallery_present))
        truth_boxes.append(xyxy(row.gallery_boxes[row.gallery_present]))
    if unknown:
        raise InputError(unknown)
    return protocol_table(
        scenes=scenes,
        boxes=xyxy(np.array(query_boxes)),
        person_ids=person_ids,
        listed=listed,
        truth_entries=truth_entries,
        truth_boxes=truth_boxes,
        rest=rest,
        pool=None if pool is None else [test.positions[name] for name in pool],
    )


def scene_name(value: Any) -> str:
    """The name of an image, out of the cells around it."""
    return safe_name(matlab.text(value), "the image folder")


def xywh(idlocate: Any) -> np.ndarray:
    """(4,) int64 of a field `idlocate`."""
    box = np.ravel(idlocate)
    if box.size != 4 or box.dtype.kind not in "iuf":
        raise ValueError(f"idlocate has {box.size} values where x, y, w, h were expected")
    # The files hold uint8 wherever the four values fit, and x + w overflows there.
    return pixels(box).astype(np.int64)


def xyxy(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) x1 y1 x2 y2 of (n, 4) x y w h."""
    boxes = boxes.reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
