"""The lists that CUHK-SYSU and MovieNet-CS share: images with boxes, pools, people's appearances, search lists.

Both number people by their row in a list, and give an identity to the box of `Images.mat` that is exactly equal.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from psbench_data import matlab
from psbench_data.errors import InputError
from psbench_data.faults import ONE_RELEASE, Collected, RowFaults, require_some
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


class SearchedPeople(NamedTuple):
    """What search lists say of the test scenes.

    Attributes:
        people: one a row, with the query's and the gallery's boxes; somebody of several rows or lists is one, numbered
            where it is first met.
        scenes: every scene that is a query's or in a gallery, with the file and the row that list it first.
    """

    people: list[Person]
    scenes: dict[str, tuple[Path, int]]


def annotated_boxes(path: Path, remark: Remarker) -> dict[str, np.ndarray]:
    """Every scene of `Images.mat` with its boxes: (n, 4) int64, x y w h; boxes without area are left out."""
    scenes: dict[str, np.ndarray] = {}
    with RowFaults(path) as faults:
        for i, image in enumerate(matlab.read_list(path, "Img")):
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
    require_some(scenes, path, "scene")
    return scenes


def read_pool(path: Path, known: Container[str] | None = None) -> list[str]:
    """The scenes of a gallery pool, in its order, which must be among the known ones where those are known."""
    pool: dict[str, None] = {}
    with RowFaults(path) as faults:
        for i, cell in enumerate(matlab.read_list(path, "pool")):
            with faults.row(i):
                name = scene_name(cell)
                if known is not None and name not in known:
                    raise ValueError(f"scene {name!r} is not in Images.mat")
                if name in pool:
                    raise ValueError(f"scene {name!r} is listed a second time")
                pool[name] = None
    require_some(pool, path, "scene")
    return list(pool)


def require_once(person: str, row: int, rows: dict[str, int]) -> None:
    """Note the row of a person; raises ValueError where the list has the person in another row, too."""
    if rows.setdefault(person, row) != row:
        raise ValueError(f"person {person!r} is listed a second time (row {rows[person]})")


def _queries(path: Path, variable: str, remark: Remarker | None) -> Iterator[SearchRow]:
    """The rows of a search list; somebody who is searched for twice is a fault, or a remark where that is given."""
    rows: dict[str, int] = {}
    with RowFaults(path) as faults:
        for i, row in enumerate(search_rows(path, variable)):
            try:
                require_once(row.person, i, rows)
            except ValueError as error:
                if remark is None:
                    faults.add(f"row {i}", str(error))
                else:
                    remark(path, f"row {i}", str(error), "It is another query for the same person.")
            yield row
    require_some(rows, path, "query")


def searched_people(paths: Iterable[Path], remark: Remarker | None = None) -> SearchedPeople:
    """The people and scenes of search lists.

    Args:
        paths: the lists.
        remark: notes people whom one list searches for twice; without it they are a fault.
    """
    people: dict[str, Person] = {}
    scenes: dict[str, tuple[Path, int]] = {}

    def add(path: Path, i: int, row: SearchRow) -> None:
        person = people.setdefault(row.person, Person(row.person, path, i, []))
        person.places.append((row.query_scene, row.query_box))
        for entry in np.flatnonzero(row.gallery_present).tolist():
            person.places.append((row.gallery_scenes[entry], row.gallery_boxes[entry]))
        scenes.setdefault(row.query_scene, (path, i))
        # Of millions of entries, nearly all name a scene that was met before.
        if new := set(row.gallery_scenes).difference(scenes):
            scenes.update(dict.fromkeys((scene for scene in row.gallery_scenes if scene in new), (path, i)))

    with Collected() as faults:
        for path in paths:
            with faults.step():
                for i, row in enumerate(_queries(path, path.stem, remark)):
                    add(path, i, row)
    return SearchedPeople(list(people.values()), scenes)


def require_listed(scenes: Mapping[str, tuple[Path, int]], known: Container[str], where: str) -> None:
    """Refuse search lists with a scene that is not among the known ones, which are those of `where`."""
    if unknown := [(scene, *place) for scene, place in scenes.items() if scene not in known]:
        raise InputError(
            f"{path}: row {row}: scene {scene!r} is not in {where}. {ONE_RELEASE}" for scene, path, row in unknown
        )


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
    pool_file: Path,
    *,
    variable: str | None = None,
    rest: Rest = "none",
    pool: Sequence[str] | None = None,
    remark: Remarker | None = None,
) -> pa.Table:
    """The queries, galleries and true boxes of a search list, in its order.

    Args:
        path: the list.
        test: the test scenes; every listed one must be among them.
        pool_file: where the test scenes are from, for messages.
        variable: the list's variable; named as the file if not given.
        rest: what is searched besides the listed scenes.
        pool: the scenes that belong to the protocol; all of `test` if not given.
        remark: notes people who are searched for twice; without it they are a fault.
    """
    ids = {label: person_id for person_id, label in enumerate(test.identities)}
    scenes, query_boxes, person_ids, listed, truth_entries, truth_boxes = [], [], [], [], [], []
    with RowFaults(path, ONE_RELEASE) as faults:
        for i, row in enumerate(_queries(path, variable or path.stem, remark)):
            unknown = sorted({row.query_scene, *row.gallery_scenes}.difference(test.positions))
            for scene in unknown:
                faults.add(f"row {i}", f"scene {scene!r} is not in {pool_file.parent.name}/{pool_file.name}")
            if row.person not in ids:
                faults.add(f"row {i}", f"person {row.person!r} is in no other list")
            elif not unknown:
                scenes.append(test.positions[row.query_scene])
                listed.append(np.array([test.positions[name] for name in row.gallery_scenes], np.int32))
                person_ids.append(ids[row.person])
                query_boxes.append(row.query_box)
                truth_entries.append(np.flatnonzero(row.gallery_present))
                truth_boxes.append(xyxy(row.gallery_boxes[row.gallery_present]))
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
