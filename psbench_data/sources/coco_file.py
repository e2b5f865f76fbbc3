"""A COCO-style JSON file: images and annotations with a `person_id`, checked and brought into columns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from psbench_data.errors import InputError
from psbench_data.faults import FaultsByKind
from psbench_data.galleries import QueryList
from psbench_data.names import safe_name
from psbench_data.pixels import have_area
from psbench_data.scenes import UNLABELED, scenes_table
from psbench_data.sources.coco_document import PERSON_ID, Annotation, Box, Document, Id, Image, Query
from psbench_data.sources.coco_reading import CocoRows, Remarker, read_rows
from psbench_data.sources.source import Split

_PEOPLE = ("person", "pedestrian")
_RELATIVE = "Write file_name relative to FOLDER, or to DIR of -O images=DIR; without '..', backslash and colon."
_QUERY = "Name the annotation of somebody as annotation_id, or give image_id, bbox and person_id."


@dataclass
class CocoFile:
    """The columns of one file.

    Attributes:
        names, paths, camera_ids, sizes: of S scenes.
        boxes, person_ids: S arrays (n, 4) float64, xyxy, and (n,).
        people: the raw ids, by number.
        dataset, restricted: see `Info`.
        nobody: where no annotation says who it is: that, and what to do.
        faults: of the rows that are left out.
    """

    names: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    camera_ids: list[int | None] = field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    boxes: list[np.ndarray] = field(default_factory=list)
    person_ids: list[np.ndarray] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    dataset: str | None = None
    restricted: bool = False
    nobody: tuple[str, str] | None = None
    faults: list[str] = field(default_factory=list)
    _queries: list[tuple[int, np.ndarray, int]] = field(default_factory=list)

    def require_sound(self) -> Self:
        """The same, if no row has a fault.

        Raises:
            InputError: listing everything in the file that cannot be right.
        """
        if self.faults:
            raise InputError(self.faults)
        return self

    @property
    def has_cameras(self) -> bool:
        """Whether every scene's camera is known."""
        return None not in self.camera_ids

    @property
    def has_queries(self) -> bool:
        """Whether there is somebody to search for: the file has queries, or a person is in two scenes."""
        people = np.concatenate([np.zeros(0, np.int64), *self.person_ids])
        scenes = np.repeat(np.arange(len(self.names)), [len(ids) for ids in self.person_ids])
        labelled = people != UNLABELED
        places = np.unique(people[labelled] * len(self.names) + scenes[labelled])
        return bool(self._queries) or len(places) > len(np.unique(people[labelled]))

    def split(self) -> Split:
        """As a split."""
        table = scenes_table(self.names, self.paths, self.boxes, self.person_ids, self.camera_ids, self.sizes)
        return Split(table, self.people)

    def queries(self) -> QueryList | None:
        """The file's own queries, None if it has none."""
        if not self._queries:
            return None
        scenes, boxes, person_ids = zip(*self._queries, strict=True)
        return QueryList(np.array(scenes), np.array(boxes), np.array(person_ids))


def read_coco(path: Path, remark: Remarker, person_id: str = PERSON_ID) -> CocoFile:
    """Read a file.

    Args:
        path: of the file.
        remark: is told what is odd in it.
        person_id: the key of an annotation that says who it is; `attributes.id` is the key `id` within `attributes`.

    Returns:
        The rows that can be used, and the faults of the others: see `CocoFile.require_sound`.

    Raises:
        InputError: it is no such file.
    """
    faults = FaultsByKind(path)
    rows = read_rows(path, person_id, faults)
    document = rows.document
    # What was named by the user must be there; data without anybody known can still be looked at.
    if rows.nobody and person_id != PERSON_ID:
        faults.add("annotations", None, *rows.nobody)
    images = _images(rows, faults)
    annotations = _annotations(rows, images, path, remark, faults)
    labels = _labels(document, annotations.values(), faults)
    info = document.info
    data = CocoFile(people=list(labels), dataset=info.dataset, restricted=info.restricted, nobody=rows.nobody)
    of_image: dict[Id, list[Annotation]] = {id_: [] for id_ in images}
    for annotation in annotations.values():
        of_image[annotation.image_id].append(annotation)
    for id_, image in images.items():
        name = image.name or image.file_name
        data.names.append(name)
        data.paths.append(image.file_name)
        data.camera_ids.append(image.camera_id)
        if image.width and image.height:
            data.sizes[name] = (image.height, image.width)
        data.boxes.append(np.array([_xyxy(a.bbox) for a in of_image[id_]]).reshape(-1, 4))
        ids = [labels.get(_label(a.person_id) or "", UNLABELED) for a in of_image[id_]]
        data.person_ids.append(np.array(ids, np.int64))
    data._queries = _queries(rows, images, annotations, labels, faults)
    data.faults = faults.told()
    return data


def _images(rows: CocoRows, faults: FaultsByKind) -> dict[Id, Image]:
    """By id; those with faults are counted among the ones left out."""
    images: dict[Id, Image] = {}
    names: set[str] = set()
    for i, image in rows.document.rows("images"):
        name = image.name or image.file_name
        again = "is there a second time"
        try:
            safe_name(image.file_name, "FOLDER")
        except ValueError as error:
            faults.add("images", i, f"file_name: {error}", _RELATIVE)
        else:
            if image.id in images:
                faults.add("images", i, f"id {image.id!r} {again}", "Give each image an id of its own.")
                # Which one is meant by it is not known, nor what the other should have been called.
                rows.image_ids = None
            elif name in names:
                faults.add("images", i, f"name {name!r} {again}", "List each image once.")
            else:
                images[image.id] = image
                names.add(name)
                continue
        if rows.image_ids is not None:
            rows.image_ids.add(image.id)
    return images


def _annotations(
    rows: CocoRows, images: dict[Id, Image], path: Path, remark: Remarker, faults: FaultsByKind
) -> dict[Id, Annotation]:
    """Those of people with area, by id."""
    person = [category.id for category in rows.document.categories if category.name.lower() in _PEOPLE]
    kept: dict[Id, Annotation] = {}
    seen: set[Id] = set()
    for i, annotation in rows.document.rows("annotations"):
        if annotation.id in seen:
            what = f"id {annotation.id!r} is there a second time"
            faults.add("annotations", i, what, "Give each annotation an id of its own.")
            rows.annotation_ids = None
            continue
        seen.add(annotation.id)
        if person and annotation.category_id not in person:
            continue
        where = f"annotations {i}"
        listed = annotation.image_id in images
        if not listed and rows.image_ids is not None and annotation.image_id not in rows.image_ids:
            what = f"image_id {annotation.image_id!r} is not among the images"
            faults.add("annotations", i, what, "List the image, or correct image_id.")
        elif annotation.iscrowd:
            remark(path, where, "a crowd (iscrowd)", "It is left out.")
        elif not have_area(_xyxy(annotation.bbox)):
            remark(path, where, f"a box without area ({list(annotation.bbox)})", "It is left out.")
        elif listed:
            kept[annotation.id] = annotation
        elif rows.annotation_ids is not None:
            # That of an image which has a fault itself.
            rows.annotation_ids.add(annotation.id)
    return kept


def _labels(document: Document, annotations: Iterable[Annotation], faults: FaultsByKind) -> dict[str, int]:
    """The number of each identity."""
    found = {label for a in annotations if (label := _label(a.person_id)) is not None}
    given = [label for person_id in document.people if (label := _label(person_id)) is not None]
    if len(set(given)) < len(given):
        faults.add("people", None, "names somebody twice", "List each person once.")
    if given and (missing := sorted(found - set(given))):
        what = f"lacks {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        faults.add("people", None, what, "List everybody, or leave people out.")
    order = given or sorted(found, key=_by_number)
    return {label: number for number, label in enumerate(order)}


def _queries(
    rows: CocoRows,
    images: dict[Id, Image],
    annotations: dict[Id, Annotation],
    labels: dict[str, int],
    faults: FaultsByKind,
) -> list[tuple[int, np.ndarray, int]]:
    """The position of the scene, the box and the identity of each."""
    position = {id_: i for i, id_ in enumerate(images)}
    queries = []
    for i, query in rows.document.rows("queries"):
        try:
            scene, box, label = _query(query, annotations, position)
            if label is None or label not in labels:
                raise ValueError(f"person_id {label!r} is in no annotation")
        except ValueError as error:
            if not _lost(query, rows):
                faults.add("queries", i, str(error), _QUERY)
        else:
            queries.append((scene, box, labels[label]))
    return queries


def _lost(query: Query, rows: CocoRows) -> bool:
    """Whether what a query names may only be missing because its row has a fault."""
    if query.annotation_id is not None:
        return rows.annotation_ids is None or query.annotation_id in rows.annotation_ids
    # Somebody may be in no annotation but one that has a fault.
    return rows.annotation_ids != set() or rows.image_ids is None or query.image_id in rows.image_ids


def _query(
    query: Query, annotations: dict[Id, Annotation], position: dict[Id, int]
) -> tuple[int, np.ndarray, str | None]:
    if query.annotation_id is not None:
        if query.annotation_id not in annotations:
            raise ValueError(f"annotation_id {query.annotation_id!r} is not among the annotations of people")
        annotation = annotations[query.annotation_id]
        return position[annotation.image_id], _xyxy(annotation.bbox), _label(annotation.person_id)
    if query.image_id is None or query.bbox is None:
        raise ValueError("expected annotation_id, or image_id, bbox and person_id")
    if query.image_id not in position:
        raise ValueError(f"image_id {query.image_id!r} is not among the images")
    box = _xyxy(query.bbox)
    if not have_area(box):
        raise ValueError(f"the box has no area ({list(query.bbox)})")
    return position[query.image_id], box, _label(query.person_id)


def _label(person_id: Id | None) -> str | None:
    if person_id is None or re.fullmatch(r"|-\d+", label := str(person_id), re.ASCII):
        return None
    return label


def _by_number(label: str) -> tuple[bool, int, str, str]:
    """Numbers in their order, however many digits they have, then words."""
    is_number = label.isascii() and label.isdecimal()
    digits = label.lstrip("0") if is_number else ""
    return not is_number, len(digits), digits, label


def _xyxy(bbox: Box) -> np.ndarray:
    x, y, w, h = bbox
    return np.array([x, y, x + w, y + h])
