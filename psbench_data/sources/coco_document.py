"""The form of a COCO-style JSON file: which keys there are, what may stand under them, and where people's ids are."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasPath, BaseModel, ConfigDict, Field, ValidationError, create_model

from psbench_data.errors import InputError
from psbench_data.pixels import LIMIT
from psbench_data.sources.text_files import utf8_text
from psbench_data.validation import file_error

PERSON_ID = "person_id"
"""The key of an annotation that says who it is, if no other is named."""
REMEDY = "Correct the file."
Remarker = Callable[[Path, str, str, str], None]
Id = int | str
_Pixel = Annotated[float, Field(allow_inf_nan=False, gt=-LIMIT, lt=LIMIT)]
Box = tuple[_Pixel, _Pixel, _Pixel, _Pixel]
_NO_PERSON = ("id", "image_id", "category_id", "iscrowd", "area", "person_id")
"""Keys of annotations that say something else."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Image(_Model):
    """`file_name` is relative to the image folder; `name` is what the scene is called, `file_name` if not given."""

    id: Id
    file_name: str
    name: str | None = None
    width: Annotated[int, Field(gt=0, lt=2**31)] | None = None
    height: Annotated[int, Field(gt=0, lt=2**31)] | None = None
    camera_id: Annotated[int, Field(ge=0, lt=2**31)] | None = None


class Annotation(_Model):
    """`bbox` is x y w h, pixels; without a `person_id` (null, or negative) the person is unlabelled."""

    id: Id
    image_id: Id
    bbox: Box
    person_id: Id | None = None
    category_id: Id | None = None
    iscrowd: int = 0


class Category(_Model):
    """A kind of object; where one is called `person` or `pedestrian`, others are left out."""

    id: Id
    name: str


class Query(_Model):
    """Either the `annotation_id` of a person, or `image_id`, `bbox` and `person_id`."""

    annotation_id: Id | None = None
    image_id: Id | None = None
    bbox: Box | None = None
    person_id: Id | None = None


class Info(_Model):
    """`dataset` is what the data was exported from, and `restricted` whether its terms forbid passing it on."""

    dataset: str | None = None
    restricted: bool = False


class Document(_Model):
    """The file. `people` numbers the identities; without it they are numbered in the order of their ids."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category] = []
    people: list[Id] = []
    queries: list[Query] = []
    info: Info = Info()


def read_document(path: Path, person_id: str, remark: Remarker) -> Document:
    """The contents of a file, each of which can be right by itself; `person_id` and `remark` as in `read_coco`.

    Raises:
        InputError: it is no such file, or no annotation has the key that the user named.
    """
    text = utf8_text(path, REMEDY)
    try:
        document = _document_type(person_id).model_validate_json(text)
    except ValidationError as error:
        raise file_error(path, error, REMEDY) from error
    if document.annotations and all(annotation.person_id is None for annotation in document.annotations):
        _nobody_is_known(path, text, person_id, remark)
    return document


@functools.cache
def _document_type(person_id: str) -> type[Document]:
    """The file, with a person's identity under some key."""
    if person_id == PERSON_ID:
        return Document
    key = Field(default=None, validation_alias=AliasPath(*person_id.split(".")))
    annotation = create_model("Annotation", __base__=Annotation, person_id=(Id | None, key))
    return create_model("Document", __base__=Document, annotations=(list[annotation], ...))  # type: ignore[valid-type]


def _nobody_is_known(path: Path, text: str, person_id: str, remark: Remarker) -> None:
    """Say that no annotation has an identity, and under which keys there might be some.

    Raises:
        InputError: the key was named by the user.
    """
    keys = dict.fromkeys(key for row in json.loads(text)["annotations"] for key in _keys(row))
    others = ", ".join(key for key in keys if key not in _NO_PERSON)
    what = f"no annotation has the key {person_id!r}, which says who it is"
    remedy = f"Name the one that does as the option person_id (-O person_id=KEY): {others}." if others else "Add it."
    if person_id != PERSON_ID:
        raise InputError(f"{path}: {what}. {remedy}")
    remark(path, "annotations", what, remedy)


def _keys(row: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The keys of an annotation whose values could name somebody, dotted where they are within others."""
    for key, value in row.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")
        elif isinstance(value, int | str) and not isinstance(value, bool):
            yield prefix + key
