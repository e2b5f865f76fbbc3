"""Reads a COCO-style JSON file row by row: rows of another form are left out, and told in words of its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from psbench_data.errors import InputError
from psbench_data.faults import FaultsByKind
from psbench_data.pixels import LIMIT
from psbench_data.sources.coco_document import PERSON_ID, Document, Id, document_type
from psbench_data.sources.text_files import utf8_text

Remarker = Callable[[Path, str, str, str], None]
_FORM = "Write an object with the lists images and annotations; docs/own_data.md has an example."
_ID = "a whole number or a word"
_EXPECTED = {
    "id": (_ID, "Give each row an id of its own."),
    "file_name": ("text", "Write where the image is, relative to FOLDER."),
    "name": ("text", "Write name as text."),
    "width": ("a whole number of pixels from 1", "Write the size of the image, or leave width and height out."),
    "height": ("a whole number of pixels from 1", "Write the size of the image, or leave width and height out."),
    "camera_id": ("a whole number from 0", "Number your cameras, or leave camera_id out."),
    "image_id": (_ID, "Write the id of the image that the person is in."),
    "bbox": ("x, y, width, height", "Write bbox as [x, y, width, height], in pixels of the image."),
    "person_id": (_ID, "Write who it is, or null for an unlabelled person."),
    "category_id": (_ID, "Write the id of one of the categories, or leave categories out."),
    "iscrowd": ("0 or 1", "Leave iscrowd out where it is no crowd."),
    "annotation_id": (_ID, "Write the id of the annotation that is the query."),
    "dataset": ("text", "Leave dataset out of info."),
    "restricted": ("true or false", "Write whether the data may not be passed on, or leave restricted out."),
}
"""What stands under each key of a row, and what to do where it does not."""
_NO_PERSON = ("id", "image_id", "category_id", "iscrowd", "area", "person_id")
"""Keys of annotations that do not say who it is."""


@dataclass
class CocoRows:
    """What could be read of a file.

    Attributes:
        document: the rows that can be right by themselves.
        image_ids, annotation_ids: of the images and annotations that are left out; None where some cannot be known.
        nobody: where no annotation says who it is: that, and what to do; else "".
    """

    document: Document
    image_ids: set[Id] | None = field(default_factory=set)
    annotation_ids: set[Id] | None = field(default_factory=set)
    nobody: tuple[str, str] | None = None


def read_rows(path: Path, person_id: str, faults: FaultsByKind) -> CocoRows:
    """Read the rows of a file; `person_id` as in `read_coco`, `faults` is told why rows are left out.

    Raises:
        InputError: it is no such file.
    """
    text = utf8_text(path, "Save it as UTF-8.")
    try:
        rows = CocoRows(document_type(person_id).model_validate_json(text))
    except ValidationError as error:
        rows = _rows_without_faults(path, text, person_id, error, faults)
    annotations = rows.document.annotations
    if annotations and all(annotation.person_id is None for annotation in annotations):
        rows.nobody = _nobody_is_known(text, person_id)
    return rows


def _rows_without_faults(
    path: Path, text: str, person_id: str, error: ValidationError, faults: FaultsByKind
) -> CocoRows:
    try:
        content = from_json(text)
    except ValueError as invalid:
        what = f"it is no JSON ({invalid})" if text.strip() else "it is empty"
        raise InputError(f"{path}: the file: {what}. {_FORM}") from error
    if not isinstance(content, dict):
        what = f"it holds {_shown(content)}, expected an object with the lists images and annotations"
        raise InputError(f"{path}: the file: {what}. {_FORM}") from error
    left_out: dict[str, dict[int, Any]] = {}
    unusable: set[str] = set()
    # One fault a value: pydantic has one for each kind that it could be, and for each part of it.
    for table, row, key in dict.fromkeys(_value(fault["loc"], person_id) for fault in error.errors()):
        if row is None:
            unusable.add(table)
            faults.add(table, None, *_list_fault(content, table, key))
        else:
            left_out.setdefault(table, {})[row] = content[table][row]
            faults.add(table, row, *_row_fault(content[table][row], table, key, person_id))
    for table, rows in left_out.items():
        content[table] = [row for i, row in enumerate(content[table]) if i not in rows]
    # Empty ones in their place, so that the faults of the others are told, too.
    content |= {table: {} if table == "info" else [] for table in unusable}
    document = document_type(person_id).model_validate(content)
    document.leave_out({table: rows.keys() for table, rows in left_out.items()})
    images, annotations = (
        None if table in unusable else _ids(left_out.get(table, {})) for table in ("images", "annotations")
    )
    return CocoRows(document, images, annotations)


def _value(loc: tuple[int | str, ...], person_id: str) -> tuple[str, int | None, str]:
    """The list, row and key that a fault of pydantic is about."""
    table, row, key = (*loc, None, None)[:3]
    if not isinstance(row, int):
        return str(table), None, str(row or "")
    if table == "people":
        return table, row, ""
    people = tuple(person_id.split("."))
    return str(table), row, person_id if loc[2 : 2 + len(people)] == people else str(key or "")


def _list_fault(content: dict[str, Any], table: str, key: str) -> tuple[str, str]:
    """What is wrong with a list as a whole, or with a value of info."""
    if key in _EXPECTED:
        expected, remedy = _EXPECTED[key]
        return f"{key} is {_shown(content[table][key])}, expected {expected}", remedy
    if table in content:
        return f"expected {'an object' if table == 'info' else 'a list'}, found {_shown(content[table])}", _FORM
    others = [name for name in content if name not in Document.model_fields]
    near = get_close_matches(table, others, n=1, cutoff=0.5)
    remedy = f"Rename {near[0]!r} to it, if that is meant." if near else f"Add the list {table}."
    return f"this key is not there, only {', '.join(map(repr, content)) or 'an empty object'}", remedy


def _row_fault(row: Any, table: str, key: str, person_id: str) -> tuple[str, str]:
    """What is wrong with a row, or with what stands under its key, and what to do."""
    if not key:
        return f"expected {_ID if table == 'people' else 'an object'}, found {_shown(row)}", _FORM
    expected, remedy = _EXPECTED[PERSON_ID if key == person_id else key]
    value: Any = row
    for part in key.split("."):
        if part not in value:
            return f"has no {key}, expected {expected}", remedy
        value = value[part]
    if key != "bbox":
        return f"{key} is {_shown(value)}, expected {expected}", remedy
    if not isinstance(value, list):
        return f"bbox is {_shown(value)}, expected the list {expected}", remedy
    if len(value) != 4:
        return f"bbox has {len(value)} numbers, expected {expected}", remedy
    return f"bbox is {_shown(value)}, expected numbers within {LIMIT:,} pixels ({expected})", remedy


def _ids(rows: dict[int, Any]) -> set[Id] | None:
    """The ids of rows, None if one has none that can be known."""
    found = [row.get("id") if isinstance(row, dict) else None for row in rows.values()]
    ids = {id_ for id_ in found if isinstance(id_, int | str)}
    return ids if all(isinstance(id_, int | str) for id_ in found) else None


def _shown(value: Any) -> str:
    """A value of the file, short enough for a sentence."""
    return f"{value!r:.60}" + ("..." if len(repr(value)) > 60 else "")


def _nobody_is_known(text: str, person_id: str) -> tuple[str, str]:
    """That no annotation has an identity, and under which keys there might be some."""
    keys = dict.fromkeys(key for row in from_json(text)["annotations"] if isinstance(row, dict) for key in _keys(row))
    others = ", ".join(key for key in keys if key not in _NO_PERSON)
    what = f"no annotation has the key {person_id!r}, which says who it is"
    remedy = f"Name the one that does as the option person_id (-O person_id=KEY): {others}." if others else "Add it."
    return what, remedy


def _keys(row: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The keys of an annotation whose values could name somebody, dotted where they are within others."""
    for key, value in row.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")
        elif isinstance(value, int | str) and not isinstance(value, bool):
            yield prefix + key
